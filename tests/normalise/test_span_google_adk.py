from __future__ import annotations

import pytest

from costspan.normalise.dialects import read
from made_spans import meaning, span

SCOPE = "gcp.vertex.agent"
CALL = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.agent.name": "Dev",
    "gen_ai.usage.input_tokens": 2303,
    "gen_ai.usage.output_tokens": 467,
    "gen_ai.usage.reasoning.output_tokens": 87,
}


@pytest.mark.parametrize(
    ("provider", "output"), [("openai", 380), ("anthropic", 380), ("gcp.vertex_ai", 467), ("gcp.gemini", 467)]
)
def test_reasoning_is_added_twice_for_models_behind_litellm(provider: str, output: int) -> None:
    reading = meaning(SCOPE, CALL | {"gen_ai.provider.name": provider})
    assert (reading.usage.output_tokens, reading.usage.reasoning_tokens, reading.agent) == (output, 87, "Dev")


def test_a_workflow_inside_a_workflow_is_only_a_link() -> None:
    nested = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "Researcher", "gen_ai.workflow.nested": True}
    assert read(span(SCOPE, nested)) is None
    assert meaning(SCOPE, nested | {"gen_ai.workflow.nested": False}).name == "Researcher"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("invoke_agent Dev", "agent"),
        ("execute_tool lookup", "tool"),
        ("generate_content gemini-2.5-flash", "call"),
        ("invocation", "run"),
    ],
)
def test_a_span_that_has_no_attributes_yet_is_known_by_its_name(name: str, kind: str) -> None:
    reading = read(span(SCOPE, {}, name=name))
    assert reading is not None
    assert reading.kind == kind


@pytest.mark.parametrize("name", ["execute_tool (merged)", "handle_context_caching", "execute_node x"])
def test_plumbing_is_nothing(name: str) -> None:
    assert read(span(SCOPE, {"gen_ai.operation.name": "execute_tool"} if "tool" in name else {}, name=name)) is None


def test_a_span_around_a_call_repeats_it() -> None:
    repeated = {key: value for key, value in CALL.items() if "operation" not in key} | {"gen_ai.system": "gcp.vertex.agent"}
    reading = read(span(SCOPE, repeated | {"gen_ai.request.model": "openai/gpt-5-mini"}, name="call_llm"))
    assert reading is not None
    assert (reading.kind, reading.repeats_children, reading.provider, reading.usage.output_tokens) == (
        "call",
        True,
        "openai",
        380,
    )
