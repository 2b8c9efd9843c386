from __future__ import annotations

from decimal import Decimal

import pytest

from costspan.normalise.dialects import read
from costspan.records import AGENT, CALL, MISSING, RUN, TOOL
from made_spans import meaning, span

OFFICIAL = "opentelemetry.instrumentation.genai.openai"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
}


def test_the_newest_names() -> None:
    reading = meaning(
        OFFICIAL,
        CHAT
        | {
            "gen_ai.response.model": "gpt-5-mini-2025-08-07",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.cache_read.input_tokens": 600,
            "gen_ai.usage.cache_write.input_tokens": 100,
            "gen_ai.usage.reasoning.output_tokens": 50,
            "gen_ai.usage.audio.input_tokens": 7,
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.conversation.id": "thread-1",
            "openai.response.service_tier": "flex",
        },
    )
    usage = reading.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (1000, 200, 600, 100)
    assert (usage.reasoning_tokens, usage.input_audio_tokens, usage.source) == (50, 7, "reported")
    assert (reading.response_id, reading.finish_reason, reading.service_tier) == ("chatcmpl-1", "stop", "flex")
    assert (reading.stream, reading.time_to_first_token_seconds, reading.conversation_id) == (True, 0.25, "thread-1")


@pytest.mark.parametrize(
    ("attribute", "part"),
    [
        ("gen_ai.usage.cache_read_input_tokens", "cache_read_tokens"),
        ("gen_ai.usage.input_tokens.cached", "cache_read_tokens"),
        ("gen_ai.usage.cache_creation.input_tokens", "cache_write_tokens"),
        ("gen_ai.usage.cache_creation_input_tokens", "cache_write_tokens"),
        ("gen_ai.usage.cache_write_input_tokens", "cache_write_tokens"),
        ("gen_ai.usage.reasoning_tokens", "reasoning_tokens"),
        ("gen_ai.usage.details.reasoning_tokens", "reasoning_tokens"),
        ("gen_ai.usage.output_tokens.reasoning", "reasoning_tokens"),
    ],
)
def test_older_and_foreign_names_of_parts(attribute: str, part: str) -> None:
    assert getattr(meaning("any.emitter", CHAT | {attribute: 42}).usage, part) == 42


def test_what_is_not_told_is_unknown_and_not_zero() -> None:
    usage = meaning(OFFICIAL, CHAT).usage
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (None, None, None)


def test_a_cache_larger_than_the_input_is_named_and_dropped() -> None:
    reading = meaning("any.emitter", CHAT | {"gen_ai.usage.cache_read.input_tokens": 5000})
    assert reading.problems == ("inconsistent_usage",)
    assert (reading.usage.input_tokens, reading.usage.cache_read_tokens) == (1000, None)


def test_an_embedding_has_no_output() -> None:
    usage = meaning(OFFICIAL, {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 42}).usage
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (42, 0, "reported")


def test_a_call_without_usage_is_missing() -> None:
    reading = meaning(OFFICIAL, {"gen_ai.operation.name": "chat", "gen_ai.request.stream": True})
    assert (reading.usage.source, reading.stream, reading.outcome) == (MISSING, True, "ok")


def test_only_the_providers_own_cost_is_taken() -> None:
    stated = {"gen_ai.usage.cost.amount": 0.0123, "gen_ai.usage.cost.currency": "USD"}
    assert meaning("any", CHAT | stated | {"gen_ai.usage.cost.source": "provider"}).stated_cost_usd == Decimal("0.0123")
    assert meaning("any", CHAT | stated | {"gen_ai.usage.cost.source": "local"}).stated_cost_usd is None
    assert meaning("any", CHAT | {"gen_ai.usage.cost": 0.5, "operation.cost": 0.5}).stated_cost_usd is None


@pytest.mark.parametrize(
    ("error_type", "message", "outcome", "told"),
    [
        ("openai.RateLimitError", "", "error", "openai.RateLimitError"),
        ("asyncio.exceptions.CancelledError", "", "cancelled", "asyncio.exceptions.CancelledError"),
        ("GeneratorExit", "", "cancelled", "GeneratorExit"),
        (None, "Error code: 429 - Rate limit reached", "error", "429"),
        (None, "went wrong", "error", None),
    ],
)
def test_how_a_call_ended(error_type: str | None, message: str, outcome: str, told: str | None) -> None:
    attributes = {"gen_ai.operation.name": "chat"} | ({"error.type": error_type} if error_type else {})
    reading = meaning(OFFICIAL, attributes, error=message)
    assert (reading.outcome, reading.error_type) == (outcome, told)


def test_an_error_type_may_stand_in_the_exception_event() -> None:
    events = [("exception", 1, {"exception.type": "litellm.exceptions.Timeout"})]
    assert meaning("any", CHAT, error="", events=events).error_type == "litellm.exceptions.Timeout"


def test_agents_tools_and_workflows() -> None:
    agent = meaning(OFFICIAL, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Dev"})
    tool = meaning(
        OFFICIAL,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "run_tests",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.agent.name": "Dev",
        },
    )
    run = meaning(OFFICIAL, {"gen_ai.operation.name": "invoke_workflow"}, name="invoke_workflow pipeline")
    assert (agent.kind, agent.name, agent.agent) == (AGENT, "Dev", None)
    assert (tool.kind, tool.name, tool.tool_call_id, tool.agent) == (TOOL, "run_tests", "call_1", "Dev")
    assert (run.kind, run.name) == (RUN, "pipeline")


def test_a_parent_with_usage_repeats_its_children() -> None:
    sums = {"gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 50, "gen_ai.request.model": "gpt-5-mini"}
    reading = meaning(OFFICIAL, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Dev"} | sums)
    assert reading.repeats_children
    assert (reading.usage.input_tokens, reading.request_model) == (5000, "gpt-5-mini")


def test_without_an_operation_the_usage_tells_a_call() -> None:
    assert (
        meaning("any", {"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 1}).kind
        == CALL
    )
    assert read(span("any", {"gen_ai.system": "openai"})) is None


ABORTED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.stream": True,
    "gen_ai.usage.input_tokens": 1583,
    "gen_ai.usage.output_tokens": 2,
}


def test_the_placeholder_of_a_broken_off_anthropic_stream_is_no_output() -> None:
    reading = meaning("opentelemetry.instrumentation.genai.anthropic", ABORTED)
    assert (reading.usage.input_tokens, reading.usage.output_tokens, reading.usage.source) == (1583, None, MISSING)
    assert (reading.missing_reason, reading.problems) == ("aborted", ("partial_usage",))


def test_a_stream_that_ended_keeps_its_output() -> None:
    reading = meaning("com.anthropic.sdk.python", ABORTED | {"anthropic.message.stop_reason": "end_turn"})
    assert (reading.usage.output_tokens, reading.finish_reason) == (2, "end_turn")


def test_an_unknown_emitter_without_finish_reasons_is_believed() -> None:
    assert meaning("any.emitter", ABORTED).usage.output_tokens == 2


def test_the_anthropic_sdk_tells_lasting_writes_and_retries() -> None:
    reading = meaning(
        "com.anthropic.sdk.python",
        CHAT
        | {
            "gen_ai.provider.name": "anthropic",
            "gen_ai.usage.cache_write.input_tokens": 600,
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 500,
            "anthropic.response.service_tier": "standard",
            "http.request.resend_count": 2,
        },
    )
    assert (reading.usage.cache_write_1h_tokens, reading.retry_count, reading.service_tier) == (500, 2, "standard")
