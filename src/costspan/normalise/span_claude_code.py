"""Claude Code's traces (spans `claude_code.*`, scope `com.anthropic.claude_code.tracing`) -> Reading.

`claude_code.llm_request` carries the counts of the API's usage block under bare names: input is exclusive of the cache.
`claude_code.interaction` is one turn of the user, `claude_code.tool` one tool call; what lies inside a tool (waiting for
permission, execution) is only a link. Source: code.claude.com/docs/en/monitoring-usage, "Traces (beta)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.extracted import plus
from costspan.normalise.span_attributes import count, first_text, outcome, seconds, settled, text
from costspan.readings import Reading
from costspan.records import CALL, RUN, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "claude_code"
SCOPE: Final = "com.anthropic.claude_code.tracing"
KIND: Final = "span.type"
_NAMES: Final = {"claude_code.llm_request": CALL, "claude_code.tool": TOOL, "claude_code.interaction": RUN}
_MODEL: Final = ("model", "gen_ai.request.model")
_MAIN: Final = frozenset({"repl_main_thread", "sdk"})
_AGENT_PREFIX: Final = "agent:"


def read(record: SpanRecord) -> Reading | None:
    """The meaning of one of Claude Code's spans."""
    kind = _NAMES.get(record.name)
    get = record.attributes.get
    if kind is None:
        return None
    if kind == CALL:
        return _call(record, get)
    ended, error_type = _outcome(record, get)
    return Reading(
        kind=kind,
        dialect=DIALECT,
        name=text(get("tool_name")) or "tool" if kind == TOOL else "claude_code",
        agent=_agent(get) if kind == TOOL else None,
        conversation_id=text(get("session.id")),
        outcome=ended,
        error_type=error_type,
        tool_call_id=first_text(get, ("tool_use_id", "gen_ai.tool.call.id")),
    )


def _call(record: SpanRecord, get: Get) -> Reading:
    problems: list[str] = []
    ended, error_type = _outcome(record, get)
    attempt = count(get("attempt"))
    return Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=_agent(get),
        conversation_id=text(get("session.id")),
        operation="chat",
        provider="anthropic",
        request_model=first_text(get, _MODEL),
        response_model=text(get("gen_ai.response.model")),
        response_id=text(get("gen_ai.response.id")),
        usage=settled(_usage(get), problems),
        outcome=ended,
        error_type=error_type,
        finish_reason=text(get("stop_reason")),
        stream=get("ttft_ms") is not None,
        time_to_first_token_seconds=seconds(get("ttft_ms"), 1e-3),
        service_tier="fast" if get("speed") == "fast" else None,
        retry_count=attempt - 1 if attempt else 0,
        problems=tuple(problems),
    )


def _usage(get: Get) -> Usage:
    read_tokens, written = count(get("cache_read_tokens")), count(get("cache_creation_tokens"))
    bare = count(get("input_tokens"))
    whole = None if bare is None else plus(bare, read_tokens, written)
    return Usage(whole, count(get("output_tokens")), read_tokens, written)


def _agent(get: Get) -> str | None:
    """Which part of Claude Code asked: the main thread has no name of its own, a sub-agent is `agent:<kind>:<name>`."""
    source = text(get("query_source"))
    if source is None or source in _MAIN:
        return text(get("agent_name"))
    return source.removeprefix(_AGENT_PREFIX)


def _outcome(record: SpanRecord, get: Get) -> tuple[str, str | None]:
    if get("success") is False and not record.error:
        return "error", text(get("error"))
    return outcome(record)
