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
