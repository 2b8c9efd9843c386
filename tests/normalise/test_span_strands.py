from __future__ import annotations

from costspan.normalise.dialects import read
from made_spans import meaning, span

SCOPE = "strands.telemetry.tracer"
USAGE = {
    "gen_ai.system": "strands-agents",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.prompt_tokens": 2303,
    "gen_ai.usage.input_tokens": 2303,
    "gen_ai.usage.output_tokens": 380,
    "gen_ai.usage.cache_read_input_tokens": 0,
    "gen_ai.usage.cache_write_input_tokens": 512,
}


def test_the_framework_is_no_provider_and_times_are_milliseconds() -> None:
    reading = meaning(SCOPE, USAGE | {"gen_ai.operation.name": "chat", "gen_ai.server.time_to_first_token": 250})
    assert (reading.provider, reading.request_model, reading.time_to_first_token_seconds) == (None, "gpt-5-mini", 0.25)
    assert (reading.usage.input_tokens, reading.usage.cache_write_tokens) == (2303, 512)


def test_agents_repeat_their_calls() -> None:
    reading = meaning(SCOPE, USAGE | {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Dev"})
    assert (reading.name, reading.repeats_children) == ("Dev", True)


def test_a_cycle_is_only_a_link() -> None:
    assert read(span(SCOPE, {"gen_ai.operation.name": "execute_event_loop_cycle", "gen_ai.system": "strands-agents"})) is None
