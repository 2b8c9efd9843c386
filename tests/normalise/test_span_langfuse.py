from __future__ import annotations

import json

import pytest

from costspan.records import MISSING, RUN, TOOL, Usage
from made_spans import meaning

SCOPE = "langfuse-sdk"
METADATA = "langfuse.observation.metadata."
CALL = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-5-mini-2025-08-07",
    METADATA + "ls_provider": '"openai"',
    METADATA + "ls_model_name": '"gpt-5-mini"',
    METADATA + "lc_agent_name": '"Dev"',
    METADATA + "langgraph_checkpoint_ns": '"dev:1|model:2"',
    "session.id": "s-1",
}


def usage_of(details: dict[str, object], **attributes: object) -> Usage:
    return meaning(SCOPE, CALL | attributes | {"langfuse.observation.usage_details": json.dumps(details)}).usage


def test_owner_model_and_provider_are_quoted_as_json() -> None:
    reading = meaning(SCOPE, CALL)
    assert (reading.agent, reading.step, reading.conversation_id, reading.provider) == ("Dev", "dev", "s-1", "openai")
    assert (reading.request_model, reading.response_model) == ("gpt-5-mini", "gpt-5-mini-2025-08-07")


@pytest.mark.parametrize(
    ("details", "wanted"),
    [
        (
            {"input": 79, "output": 185, "total": 1363, "input_audio": 0, "input_cache_read": 1024, "output_reasoning": 75},
            (1103, 260, 1024, None, None, 75),
        ),
        (
            {"input": 503, "output": 380, "cache_creation_input_tokens": 1800, "cache_read_input_tokens": 0,
             "cache_creation_ephemeral_1h_input_tokens": 800, "cache_creation_ephemeral_5m_input_tokens": 1000},
            (2303, 380, 0, 1800, 800, None),
        ),
        (
            {"input": 2086, "output": 424, "total": 4235, "input_cache_creation": 600, "input_cache_read": 1024,
             "output_reasoning": 101},
            (3710, 525, 1024, 600, None, 101),
        ),
        (
            {"input": 10, "output": 5, "input_cache_creation": 0, "input_ephemeral_5m_input_tokens": 3,
             "input_ephemeral_1h_input_tokens": 4},
            (17, 5, None, 7, 4, None),
        ),
        ({"input": 10, "output": 5, "input_priority_cache_read": 90}, (100, 5, 90, None, None, None)),
        (
            {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_tokens_details": {"cached_tokens": 30}},
            (100, 20, 30, None, None, None),
        ),
    ],
)  # fmt: skip
def test_buckets_are_summed_as_their_emitter_split_them(details: dict[str, object], wanted: tuple[int | None, ...]) -> None:
    usage = usage_of(details)
    assert (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
    ) == wanted


def test_a_total_that_disagrees_settles_the_input() -> None:
    details = {"input": 0, "output": 5, "total": 105, "input_cache_creation": 60, "input_cache_read": 60}
    reading = meaning(SCOPE, CALL | {"langfuse.observation.usage_details": json.dumps(details)})
    assert reading.usage.input_tokens == 100
    assert "inconsistent_usage" in reading.problems


def test_a_cache_hit_is_a_bucket_of_no_cost() -> None:
    hit = meaning(SCOPE, CALL | {"langfuse.observation.usage_details": '{"total_cost": 0, "input": 79, "output": 185}'})
    assert hit.cache_hit


def test_an_error_is_a_level() -> None:
    attributes = {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "Error code: 429 - Rate limit"}
    reading = meaning(SCOPE, CALL | attributes | {"langfuse.observation.cost_details": '{"total": 0}'})
    assert (reading.outcome, reading.error_type, reading.usage.source) == ("error", "429", MISSING)
    assert not reading.cache_hit


def test_tools_and_the_root() -> None:
    tool = meaning(
        SCOPE,
        {"langfuse.observation.type": "tool", METADATA + "tool_call_id": '"call_1"', METADATA + "lc_agent_name": '"Dev"'},
        name="run_tests",
    )
    root = meaning(SCOPE, {"langfuse.observation.type": "chain"}, name="pipeline", parent_id=0)
    assert (tool.kind, tool.name, tool.tool_call_id, tool.agent) == (TOOL, "run_tests", "call_1", "Dev")
    assert (root.kind, root.name) == (RUN, "pipeline")
