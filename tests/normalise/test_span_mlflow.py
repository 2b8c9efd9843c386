from __future__ import annotations

import json

from costspan.records import AGENT, MISSING, RUN, STEP, TOOL
from made_spans import meaning

SCOPE = "mlflow.tracing.provider"
METADATA = json.dumps({"lc_agent_name": "Dev", "langgraph_node": "dev", "langgraph_checkpoint_ns": "dev:1", "thread_id": "t-1"})
CALL = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.llm.model": '"gpt-5-mini"',
    "mlflow.llm.provider": '"openai"',
    "mlflow.chat.tokenUsage": json.dumps(
        {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "cache_read_input_tokens": 50,
            "cache_creation_input_tokens": 0,
        }
    ),
    "metadata": METADATA,
}


def test_every_value_is_json() -> None:
    reading = meaning(SCOPE, CALL)
    usage = reading.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (100, 20, 50, 0)
    assert (reading.provider, reading.request_model, reading.agent, reading.step) == ("openai", "gpt-5-mini", "Dev", "dev")
    assert reading.conversation_id == "t-1"


def test_anthropics_lost_writes_are_unknown() -> None:
    reading = meaning(SCOPE, CALL | {"mlflow.llm.provider": '"anthropic"'})
    assert (reading.usage.cache_write_tokens, reading.problems) == (None, ("cache_write_lost",))


def test_a_call_without_counts_is_missing() -> None:
    assert meaning(SCOPE, CALL | {"mlflow.chat.tokenUsage": "{}"}).usage.source == MISSING


def test_agents_steps_tools_and_runs() -> None:
    def kind(span_type: str, name: str, parent_id: int = 1, metadata: str = METADATA) -> tuple[str, str | None]:
        reading = meaning(SCOPE, {"mlflow.spanType": f'"{span_type}"', "metadata": metadata}, name=name, parent_id=parent_id)
        return reading.kind, reading.name

    assert kind("CHAIN", "Dev") == (AGENT, "Dev")
    assert kind("CHAIN", "dev") == (STEP, "dev")
    assert kind("CHAIN", "pipeline", 0, "{}") == (RUN, "pipeline")
    assert kind("AGENT", "Writer", 1, "{}") == (AGENT, "Writer")
    assert kind("TOOL", "run_tests") == (TOOL, "run_tests")
