from __future__ import annotations

import json
from typing import TYPE_CHECKING

from costspan.normalise.dialects import read
from costspan.records import AGENT, MISSING, RUN, STEP, TOOL
from made_spans import meaning, span

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGCHAIN = "openinference.instrumentation.langchain"
OPENAI = "openinference.instrumentation.openai"
ANTHROPIC = "openinference.instrumentation.anthropic"
CREWAI = "openinference.instrumentation.crewai"
CALL = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.model_name": "gpt-5-mini-2025-08-07",
    "llm.invocation_parameters": '{"model": "gpt-5-mini", "stream": false}',
    "llm.token_count.prompt": 1000,
    "llm.token_count.completion": 200,
    "llm.token_count.prompt_details.cache_read": 600,
    "llm.token_count.completion_details.reasoning": 50,
}


def result(usage: Mapping[str, object], **metadata: object) -> str:
    """LangChain's result as the package exports it."""
    message = {
        "kwargs": {
            "content": 'said "usage_metadata": {"input_tokens": 9}',
            "response_metadata": metadata,
            "usage_metadata": usage,
        }
    }
    return json.dumps({"generations": [[{"text": "", "message": message}]], "llm_output": None, "type": "LLMResult"})


def test_counts_model_and_owner_of_a_call() -> None:
    metadata = {"lc_agent_name": "PM", "langgraph_node": "model", "langgraph_checkpoint_ns": "pm:1|model:2"}
    reading = meaning(LANGCHAIN, CALL | {"session.id": "s-1", "metadata": json.dumps(metadata)})
    usage = reading.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens) == (1000, 200, 600, 50)
    assert (reading.provider, reading.request_model, reading.response_model) == ("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07")
    assert (reading.agent, reading.step, reading.conversation_id) == ("PM", "pm", "s-1")


def test_langchains_result_completes_the_call() -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 200,
        "total_tokens": 1200,
        "input_token_details": {"cache_read": 600, "cache_creation": 100},
    }
    answer = result(usage, id="chatcmpl-1", service_tier="flex", model_provider="openai")
    reading = meaning(LANGCHAIN, CALL | {"output.value": answer})
    assert (reading.response_id, reading.service_tier, reading.cache_hit) == ("chatcmpl-1", "flex", False)
    assert (reading.usage.cache_write_tokens, reading.usage.reasoning_tokens) == (100, 50)


def test_a_result_of_another_size_completes_nothing() -> None:
    usage = {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8, "input_token_details": {"cache_creation": 5}}
    assert meaning(LANGCHAIN, CALL | {"output.value": result(usage)}).usage.cache_write_tokens is None


def test_a_cost_of_zero_is_langchains_mark_of_a_cache_hit() -> None:
    usage = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200, "total_cost": 0}
    assert meaning(LANGCHAIN, CALL | {"output.value": result(usage)}).cache_hit


def test_a_providers_response_completes_the_call() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 33},
    }
    answer = json.dumps({"id": "chatcmpl-7", "choices": [], "service_tier": "priority", "usage": usage})
    reading = meaning(OPENAI, CALL | {"output.value": answer})
    assert (reading.response_id, reading.service_tier, reading.usage.cache_write_tokens) == ("chatcmpl-7", "priority", 33)


def test_a_responses_id_may_stand_in_the_parameters() -> None:
    attributes = CALL | {"llm.invocation_parameters": '{"id": "resp_1", "model": "gpt-5-mini"}', "output.value": "[]"}
    assert meaning("openinference.instrumentation.openai_agents", attributes).response_id == "resp_1"


def test_a_broken_off_anthropic_stream_has_no_output() -> None:
    attributes = CALL | {
        "llm.system": "anthropic",
        "llm.token_count.completion": 2,
        "llm.invocation_parameters": '{"stream": true}',
    }
    reading = meaning(ANTHROPIC, attributes)
    assert (reading.usage.output_tokens, reading.usage.source, reading.stream) == (None, MISSING, True)
    assert meaning(ANTHROPIC, attributes | {"llm.finish_reason": "end_turn"}).usage.output_tokens == 2


def test_the_first_token_is_an_event() -> None:
    reading = meaning(OPENAI, CALL, events=[("First Token Stream Event", 1_250_000_000, {})])
    assert (reading.stream, reading.time_to_first_token_seconds) == (True, 0.25)


def test_an_embedding_has_no_output() -> None:
    attributes = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "text-embedding-3-small",
        "llm.token_count.prompt": 42,
    }
    reading = meaning(OPENAI, attributes)
    assert (reading.operation, reading.response_model) == ("embeddings", "text-embedding-3-small")
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (42, 0)


def test_langgraphs_chains_are_agents_steps_or_plumbing() -> None:
    def chain(name: str, parent_id: int = 1, **metadata: object) -> object:
        attributes = {"openinference.span.kind": "CHAIN", "metadata": json.dumps(metadata)}
        reading = read(span(LANGCHAIN, attributes, name=name, parent_id=parent_id))
        return reading and (reading.kind, reading.name, reading.agent)

    assert chain("pipeline", parent_id=0) == (RUN, "pipeline", None)
    assert chain("pm", langgraph_node="pm", langgraph_checkpoint_ns="pm:1") == (STEP, "pm", "pm")
    assert chain("PM", langgraph_node="pm", lc_agent_name="PM") == (AGENT, "PM", None)
    assert chain("PM", parent_id=0, lc_agent_name="PM") == (AGENT, "PM", None)
    assert chain("model", langgraph_node="model", lc_agent_name="PM") is None
    assert chain("RunnableLambda", langgraph_node="pm", lc_agent_name="PM") is None


def test_tools_and_agents() -> None:
    tool = meaning(LANGCHAIN, {"openinference.span.kind": "TOOL", "tool.name": "run_tests"})
    agent = meaning(CREWAI, {"openinference.span.kind": "AGENT", "graph.node.id": "Dev", "task_name": "implement"})
    trace = meaning("openinference.instrumentation.openai_agents", {"openinference.span.kind": "AGENT"}, name="flow", parent_id=0)
    assert (tool.kind, tool.name) == (TOOL, "run_tests")
    assert (agent.kind, agent.name, agent.step) == (AGENT, "Dev", "implement")
    assert (trace.kind, trace.name) == (RUN, "flow")


def test_a_crew_repeats_the_sum_of_its_own_calls() -> None:
    counts = {
        "prompt_tokens": 500,
        "completion_tokens": 60,
        "cached_prompt_tokens": 100,
        "cache_creation_tokens": 0,
        "successful_requests": 2,
    }
    answer = json.dumps({"raw": "done", "token_usage": counts})
    reading = meaning(CREWAI, {"openinference.span.kind": "CHAIN", "output.value": answer}, name="my_crew.kickoff")
    assert (reading.kind, reading.name, reading.repeats_children, reading.leaves_out_nested) == (RUN, "my_crew", True, True)
    assert (reading.usage.input_tokens, reading.usage.cache_read_tokens, reading.usage.cache_write_tokens) == (500, 100, None)


def test_passes_that_anthropic_billed_beside_the_answer_are_told_of() -> None:
    usage = {
        "input_tokens": 180,
        "output_tokens": 8,
        "iterations": [{"type": "message"}, {"type": "compaction", "input_tokens": 9000, "output_tokens": 300}],
    }
    told = {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.token_count.prompt": 180,
        "llm.token_count.completion": 8,
        "output.value": json.dumps({"id": "msg_1", "usage": usage}),
    }
    reading = meaning(ANTHROPIC, told)
    assert (reading.usage.input_tokens, reading.problems) == (180, ("other_iterations_billed",))
