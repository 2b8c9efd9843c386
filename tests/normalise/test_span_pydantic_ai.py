from __future__ import annotations

import json

from costspan.records import AGENT, MISSING
from made_spans import meaning

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.agent.name": "PM",
    "gen_ai.usage.input_tokens": 1161,
    "gen_ai.usage.output_tokens": 260,
}
RAW = {
    "input_tokens": 41,
    "output_tokens": 260,
    "cache_read_input_tokens": 1024,
    "cache_creation_input_tokens": 96,
    "cache_creation": {"ephemeral_5m_input_tokens": 90, "ephemeral_1h_input_tokens": 6},
    "output_tokens_details": {"thinking_tokens": 75},
}


def test_details_of_pydantic_ai() -> None:
    details = {
        "gen_ai.usage.details.cache_read_tokens": 1024,
        "gen_ai.usage.details.cache_write_tokens": 96,
        "gen_ai.usage.details.ephemeral_1h_input_tokens": 6,
        "gen_ai.usage.details.thinking_tokens": 75,
        "operation.cost": 0.004,
    }
    reading = meaning("pydantic-ai", CHAT | details)
    usage = reading.usage
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens) == (1024, 96, 6)
    assert (usage.reasoning_tokens, reading.agent, reading.stated_cost_usd) == (75, "PM", None)


def test_an_agent_repeats_its_calls_under_names_of_its_own() -> None:
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Dev",
        "model_name": "gpt-5-mini",
        "gen_ai.aggregated_usage.input_tokens": 11120,
        "gen_ai.aggregated_usage.output_tokens": 1652,
    }
    reading = meaning("pydantic-ai", attributes)
    assert (reading.kind, reading.repeats_children, reading.request_model) == (AGENT, True, "gpt-5-mini")
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (11120, 1652)


def test_logfires_raw_usage_has_the_parts() -> None:
    usage = meaning("logfire.anthropic", CHAT | {"gen_ai.usage.raw": json.dumps(RAW)}).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (1161, 260, 1024)
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.reasoning_tokens) == (96, 6, 75)


def test_a_raw_usage_that_disagrees_is_named() -> None:
    reading = meaning("logfire.anthropic", CHAT | {"gen_ai.usage.raw": json.dumps(RAW | {"output_tokens": 9})})
    assert (reading.usage.cache_read_tokens, reading.problems) == (None, ("inconsistent_usage",))


def test_a_streams_usage_comes_on_a_log_line() -> None:
    request = {key: value for key, value in CHAT.items() if "usage" not in key} | {"logfire.span_type": "span"}
    opener = meaning("logfire.anthropic", request)
    log = meaning("logfire.anthropic", CHAT | {"logfire.span_type": "log", "duration": 0.2})
    assert (opener.usage.source, opener.stream, opener.ends_stream) == (MISSING, True, False)
    assert (log.usage.input_tokens, log.stream, log.ends_stream) == (1161, True, True)
