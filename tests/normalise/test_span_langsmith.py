from __future__ import annotations

import json

from costspan.normalise.dialects import read
from costspan.records import AGENT, RUN, STEP, TOOL
from made_spans import meaning, span

SCOPE = "langsmith"
OWNER = {
    "langsmith.metadata.lc_agent_name": "Dev",
    "langsmith.metadata.langgraph_node": "model",
    "langsmith.metadata.langgraph_checkpoint_ns": "dev:1|model:2",
    "langsmith.metadata.thread_id": "t-1",
}
CALL = OWNER | {
    "langsmith.span.kind": "llm",
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "input_token_details": {"cache_creation": 10, "cache_read": 50},
    "output_token_details": {"reasoning": 7},
}


def test_the_parts_stand_in_the_metadata() -> None:
    reading = meaning(SCOPE, CALL | {"langsmith.metadata.usage_metadata": json.dumps(USAGE)})
    usage = reading.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (100, 50, 10, 7)
    assert (reading.agent, reading.step, reading.conversation_id) == ("Dev", "dev", "t-1")


def test_or_as_the_text_of_a_python_dict() -> None:
    details = {"gen_ai.usage.input_token_details": "{'cache_read': 50}", "gen_ai.usage.output_token_details": "{'reasoning': 7}"}
    usage = meaning(SCOPE, CALL | details).usage
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (50, 7)


def test_or_in_the_answer_with_its_id() -> None:
    metadata = {"id": "resp-1", "model_name": "gpt-5-mini-2025-08-07"}
    answer = json.dumps({"generations": [[{"message": {"kwargs": {"usage_metadata": USAGE, "response_metadata": metadata}}}]]})
    reading = meaning(SCOPE, CALL | {"gen_ai.completion": answer})
    assert (reading.response_id, reading.response_model, reading.usage.cache_write_tokens) == (
        "resp-1",
        "gpt-5-mini-2025-08-07",
        10,
    )


def test_parts_of_another_call_are_not_taken() -> None:
    reading = meaning(SCOPE, CALL | {"langsmith.metadata.usage_metadata": json.dumps(USAGE | {"input_tokens": 7})})
    assert (reading.usage.input_tokens, reading.usage.cache_read_tokens) == (100, None)
    assert reading.problems == ("inconsistent_usage",)


def test_chains_are_sorted_like_langchains_runs() -> None:
    def chain(name: str, parent_id: int = 1, **metadata: str) -> object:
        attributes = {"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain"}
        attributes |= {f"langsmith.metadata.{key}": value for key, value in metadata.items()}
        reading = read(span(SCOPE, attributes, name=name, parent_id=parent_id))
        return reading and (reading.kind, reading.name)

    assert chain("pipeline", parent_id=0) == (RUN, "pipeline")
    assert chain("Dev", lc_agent_name="Dev", langgraph_node="dev") == (AGENT, "Dev")
    assert chain("qa", langgraph_node="qa") == (STEP, "qa")
    assert chain("tools", langgraph_node="tools", lc_agent_name="Dev") is None


def test_a_tool() -> None:
    reading = meaning(
        SCOPE, OWNER | {"langsmith.span.kind": "tool", "gen_ai.tool.name": "run_tests", "gen_ai.tool.call.id": "c1"}
    )
    assert (reading.kind, reading.name, reading.tool_call_id, reading.agent) == (TOOL, "run_tests", "c1", "Dev")
