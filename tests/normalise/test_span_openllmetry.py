from __future__ import annotations

import pytest

from costspan.normalise.dialects import read
from costspan.records import AGENT, CALL, RUN, STEP, TOOL
from made_spans import meaning, span

LANGCHAIN = "opentelemetry.instrumentation.langchain"
CREWAI = "opentelemetry.instrumentation.crewai.instrumentation"
OWNER = {
    "traceloop.association.properties.lc_agent_name": "Dev",
    "traceloop.association.properties.langgraph_node": "model",
    "traceloop.association.properties.langgraph_checkpoint_ns": "dev:1|model:2",
    "traceloop.association.properties.thread_id": "thread-1",
    "traceloop.workflow.name": "pipeline",
}
CHAT = OWNER | {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.usage.input_tokens": 2303,
    "gen_ai.usage.output_tokens": 380,
    "gen_ai.usage.cache_read.input_tokens": 1024,
}


def test_a_call_belongs_to_the_agent_in_its_properties() -> None:
    reading = meaning(LANGCHAIN, CHAT)
    assert (reading.agent, reading.step, reading.workflow, reading.conversation_id) == ("Dev", "dev", "pipeline", "thread-1")
    assert (reading.usage.input_tokens, reading.usage.cache_read_tokens) == (2303, 1024)


def test_a_zero_that_means_not_found_is_unknown() -> None:
    lost = meaning(LANGCHAIN, CHAT | {"gen_ai.usage.cache_creation.input_tokens": 0})
    assert (lost.usage.cache_write_tokens, lost.problems) == (None, ("cache_write_lost",))
    found = meaning(LANGCHAIN, CHAT | {"gen_ai.usage.cache_creation.input_tokens": 600})
    assert (found.usage.cache_write_tokens, found.problems) == (600, ())
    openai = meaning(LANGCHAIN, CHAT | {"gen_ai.provider.name": "openai", "gen_ai.usage.cache_creation.input_tokens": 0})
    assert openai.usage.cache_write_tokens == 0


def test_an_anthropic_stream_may_count_its_placeholder() -> None:
    stream = {"gen_ai.is_streaming": True}
    assert meaning("opentelemetry.instrumentation.anthropic", CHAT | stream).problems == ("stream_placeholder_added",)
    assert meaning("opentelemetry.instrumentation.anthropic", CHAT).problems == ()


@pytest.mark.parametrize(
    ("attributes", "name", "parent_id", "kind", "told"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Dev"}, "invoke_agent Dev", 1, AGENT, "Dev"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "pipeline"}, "invoke_agent pipeline", 0, RUN, "pipeline"),
        (
            {"gen_ai.operation.name": "invoke_agent", "traceloop.span.kind": "workflow", "traceloop.entity.name": "pipeline"},
            "pipeline.workflow",
            1,
            RUN,
            "pipeline",
        ),
        (
            {"gen_ai.operation.name": "execute_task", "traceloop.span.kind": "task", "traceloop.entity.name": "qa"},
            "execute_task qa",
            1,
            STEP,
            "qa",
        ),
        (
            {"gen_ai.operation.name": "execute_tool", "traceloop.span.kind": "tool", "gen_ai.tool.name": "run_tests"},
            "execute_tool run_tests",
            1,
            TOOL,
            "run_tests",
        ),
    ],
)
def test_the_span_kind_tells_workflows_from_agents(
    attributes: dict[str, object], name: str, parent_id: int, kind: str, told: str
) -> None:
    reading = meaning(LANGCHAIN, attributes, name=name, parent_id=parent_id)
    assert (reading.kind, reading.name) == (kind, told)


@pytest.mark.parametrize("node", ["model", "tools", "tool_errors.before_model"])
def test_an_agents_own_plumbing_is_no_step(node: str) -> None:
    attributes = {"gen_ai.operation.name": "execute_task", "traceloop.span.kind": "task", "traceloop.entity.name": node}
    assert read(span(LANGCHAIN, attributes)) is None


def test_crewai_names_agents_by_role_and_tells_the_sum_as_text() -> None:
    agent = meaning(
        CREWAI,
        {"traceloop.span.kind": "agent", "gen_ai.operation.name": "invoke_agent", "crewai.agent.role": "Dev"},
        name="Dev.agent",
    )
    task = meaning(
        CREWAI,
        {"traceloop.span.kind": "task", "gen_ai.operation.name": "invoke_agent", "crewai.task.agent": "Dev"},
        name="implement it.task",
    )
    told = "total_tokens=120 prompt_tokens=100 cached_prompt_tokens=40 completion_tokens=20 cache_creation_tokens=0"
    crew = meaning(
        CREWAI,
        {"gen_ai.operation.name": "invoke_agent", "crewai.crew.name": "flow", "crewai.crew.token_usage": told},
        name="crewai.workflow",
    )
    assert (agent.kind, agent.name) == (AGENT, "Dev")
    assert (task.kind, task.name, task.agent) == (STEP, "implement it", "Dev")
    assert (crew.kind, crew.name, crew.repeats_children, crew.leaves_out_nested) == (RUN, "flow", True, True)
    assert (crew.usage.input_tokens, crew.usage.output_tokens, crew.usage.cache_read_tokens) == (100, 20, 40)
    assert (crew.usage.cache_write_tokens, crew.problems) == (None, ("sum_of_calls",))


def test_older_versions_tell_calls_by_request_type() -> None:
    attributes = {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 1}
    reading = meaning("opentelemetry.instrumentation.bedrock", attributes)
    assert (reading.kind, reading.usage.total_tokens) == (CALL, 4)
