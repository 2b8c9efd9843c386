from __future__ import annotations

import pytest

from costspan.normalise.dialects import read
from costspan.records import RUN, TOOL
from made_spans import meaning, span

SCOPE = "com.anthropic.claude_code.tracing"
REQUEST = {
    "span.type": "llm_request",
    "session.id": "s-1",
    "model": "claude-opus-4-8",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-opus-4-8",
    "query_source": "repl_main_thread",
    "input_tokens": 2,
    "output_tokens": 1200,
    "cache_read_tokens": 84562,
    "cache_creation_tokens": 7096,
    "ttft_ms": 1500,
    "attempt": 2,
    "stop_reason": "tool_use",
    "success": True,
}


def test_input_is_told_without_the_cache() -> None:
    reading = meaning(SCOPE, REQUEST, name="claude_code.llm_request")
    usage = reading.usage
    assert (usage.input_tokens, usage.output_tokens) == (2 + 84562 + 7096, 1200)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (84562, 7096)
    assert (reading.provider, reading.request_model, reading.conversation_id) == ("anthropic", "claude-opus-4-8", "s-1")
    assert (reading.retry_count, reading.time_to_first_token_seconds, reading.finish_reason) == (1, 1.5, "tool_use")


@pytest.mark.parametrize(
    ("source", "agent"),
    [("repl_main_thread", None), ("sdk", None), ("agent:builtin:Explore", "builtin:Explore"), ("compact", "compact")],
)
def test_which_part_of_it_asked(source: str, agent: str | None) -> None:
    assert meaning(SCOPE, REQUEST | {"query_source": source}, name="claude_code.llm_request").agent == agent


def test_a_request_that_failed() -> None:
    attributes = {"model": "claude-opus-4-8", "success": False, "error": "overloaded_error"}
    reading = meaning(SCOPE, attributes, name="claude_code.llm_request")
    assert (reading.outcome, reading.error_type, reading.usage.source) == ("error", "overloaded_error", "missing")


def test_turns_and_tools_and_what_lies_inside_them() -> None:
    turn = meaning(SCOPE, {"session.id": "s-1"}, name="claude_code.interaction", parent_id=0)
    tool = meaning(SCOPE, {"tool_name": "Bash", "tool_use_id": "toolu_1"}, name="claude_code.tool")
    assert (turn.kind, turn.conversation_id) == (RUN, "s-1")
    assert (tool.kind, tool.name, tool.tool_call_id) == (TOOL, "Bash", "toolu_1")
    assert read(span(SCOPE, {"success": True}, name="claude_code.tool.execution")) is None
