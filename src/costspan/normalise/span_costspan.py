"""Spans that costspan's own hooks wrote -> Reading. Every attribute is one of `conventions`, so this is a plain look-up."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan.normalise.span_attributes import dollars
from costspan.readings import Reading
from costspan.records import AGENT, CALL, COUNTS, NO_USAGE, REPORTED, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from costspan.readings import SpanRecord

_counts: Final = attrgetter(*COUNTS)
DIALECT: Final = "costspan"
CANCELLING: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "Interrupted"})
"""Classes of exceptions that end work without being an error."""
_FIRST_ERROR_STATUS: Final = 400
_NAME: Final = {AGENT: c.AGENT_NAME, TOOL: c.TOOL_NAME, STEP: c.STEP, RUN: c.WORKFLOW_NAME}
_COUNTS: Final = (
    c.INPUT_TOKENS,
    c.OUTPUT_TOKENS,
    c.CACHE_READ_TOKENS,
    c.CACHE_WRITE_TOKENS,
    c.CACHE_WRITE_1H_TOKENS,
    c.REASONING_TOKENS,
    c.AUDIO_INPUT_TOKENS,
    c.AUDIO_OUTPUT_TOKENS,
)


def read(record: SpanRecord) -> Reading | None:
    """The meaning of one of our own spans; None for a span in our scope that carries no `costspan.kind`."""
    attributes = record.attributes
    kind = attributes.get(c.KIND)
    if kind == CALL:
        return _call(record)
    if kind not in _NAME:
        return None
    return Reading(
        kind=str(kind),
        dialect=DIALECT,
        name=_text(attributes.get(_NAME[str(kind)])),
        agent=_text(attributes.get(c.AGENT_NAME)) if kind != AGENT else None,
        workflow=_text(attributes.get(c.WORKFLOW_NAME)) if kind != RUN else None,
        step=_text(attributes.get(c.STEP)) if kind != STEP else None,
        conversation_id=_text(attributes.get(c.CONVERSATION_ID)),
        outcome=outcome(record.attributes, error=record.error),
        error_type=_text(attributes.get(c.ERROR_TYPE)),
        tool_call_id=_text(attributes.get(c.TOOL_CALL_ID)),
    )


def _call(record: SpanRecord) -> Reading:
    attributes = record.attributes
    texts: list[Any] = [*map(attributes.get, _TEXTS)]
    for value in texts:
        if value is not None and (type(value) is not str or not value):
            texts = [_text(each) for each in texts]
            break
    lengths, number, *named = texts
    # By position, and nothing that is rare: this runs at the end of every call.
    fields: list[Any] = [CALL, DIALECT, None, *named, usage_from(attributes)]
    reading = Reading(*fields)
    reading.request_lengths = lengths
    reading.request_hash = number
    reading.finish_reason = _first(attributes.get(c.FINISH_REASONS))
    if record.error or c.ERROR_TYPE in attributes:
        reading.outcome = outcome(attributes, error=record.error)
    rarer = _RARER.intersection(attributes)
    if rarer:
        for name in sorted(rarer):  # in one order, should both service tiers be there
            field, told = _OTHERS[name]
            if (value := attributes[name]) is not None:
                setattr(reading, field, told(value))
    return reading


def usage_from(attributes: Mapping[str, object]) -> Usage:
    """Usage from the newest names of the convention; `costspan.usage.source` says if it is an estimate, or missing in part."""
    counts: list[Any] = [*map(attributes.get, _COUNTS)]
    if counts[0] is None and counts[1] is None:
        return NO_USAGE
    for count in counts:
        if count is not None and (type(count) is not int or count < 0):
            counts = [_count(value) for value in counts]
            if counts[0] is None and counts[1] is None:
                return NO_USAGE
            break
    counts.append(str(attributes.get(c.USAGE_SOURCE, REPORTED)))
    return Usage(*counts)


def usage_attributes(usage: Usage) -> dict[str, int | str]:
    """The inverse of `usage_from`: what a hook writes on a call's span; unknown counts are left out."""
    found: dict[str, int | str] = {name: count for name, count in zip(_COUNTS, _counts(usage), strict=True) if count is not None}
    found[c.USAGE_SOURCE] = usage.source
    return found


def _first(value: object) -> str | None:
    return str(value[0]) if isinstance(value, (list, tuple)) and value else None


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, (list, tuple)) else ()


def _is_true(value: object) -> bool:
    return value is True


def _is_refused(value: object) -> bool:
    return (_count(value) or 0) >= _FIRST_ERROR_STATUS


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None


def _fees(value: object) -> Mapping[str, int] | None:
    try:
        found = json.loads(str(value))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): count for name, count in found.items() if _count(count)}


def outcome(attributes: Mapping[str, object], *, error: bool) -> str:
    """How a span of ours ended: `ok`, `error` or `cancelled`; `error` is the span's status."""
    name = attributes.get(c.ERROR_TYPE)
    if name is None:
        return "error" if error else "ok"
    return "cancelled" if str(name).rpartition(".")[2] in CANCELLING else "error"


_TEXTS: Final = (
    c.REQUEST_LENGTHS,
    c.REQUEST_HASH,
    c.AGENT_NAME,
    c.WORKFLOW_NAME,
    c.STEP,
    c.TOOL,
    c.CONVERSATION_ID,
    c.OPERATION_NAME,
    c.PROVIDER_NAME,
    c.REQUEST_MODEL,
    c.RESPONSE_MODEL,
    c.RESPONSE_ID,
)
"""What most calls have, taken as it is. From the agent's name on: in the order of `Reading`'s fields."""
_OTHERS: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    c.ANTHROPIC_SERVICE_TIER: ("service_tier", _text),
    c.OPENAI_SERVICE_TIER: ("service_tier", _text),
    c.MISSING_REASON: ("missing_reason", _text),
    c.ERROR_TYPE: ("error_type", _text),
    c.WASTE: ("waste", _text),
    c.ESTIMATOR: ("estimator", _text),
    c.USAGE_PROBLEMS: ("problems", _words),
    c.STATED_COST: ("stated_cost_usd", dollars),
    c.REQUEST_STREAM: ("stream", _is_true),
    c.TIME_TO_FIRST_CHUNK: ("time_to_first_token_seconds", _seconds),
    c.BATCH: ("batch", _is_true),
    c.FEES: ("fees", _fees),
    c.CACHE_HIT: ("cache_hit", _is_true),
    c.RETRY_COUNT: ("retry_count", lambda value: _count(value) or 0),
    c.METERED: ("metered", _is_true),
    c.HTTP_STATUS_CODE: ("refused", _is_refused),
}
"""Attributes that few calls have, and that are checked or changed on the way."""
_RARER: Final = frozenset(_OTHERS)
