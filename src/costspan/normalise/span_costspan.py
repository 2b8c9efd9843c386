"""Spans that costspan's own hooks wrote -> Reading. Every attribute is one of `conventions`, so this is a plain look-up."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.records import AGENT, CALL, NO_USAGE, REPORTED, RUN, STEP, TOOL, Reading, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costspan.records import SpanRecord

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
        outcome=_outcome(record),
        error_type=_text(attributes.get(c.ERROR_TYPE)),
        tool_call_id=_text(attributes.get(c.TOOL_CALL_ID)),
    )


def _call(record: SpanRecord) -> Reading:
    get = record.attributes.get
    finish = get(c.FINISH_REASONS)
    fees = get(c.FEES)
    problems = get(c.USAGE_PROBLEMS)
    return Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=_text(get(c.AGENT_NAME)),
        workflow=_text(get(c.WORKFLOW_NAME)),
        step=_text(get(c.STEP)),
        tool=_text(get(c.TOOL)),
        conversation_id=_text(get(c.CONVERSATION_ID)),
        operation=_text(get(c.OPERATION_NAME)),
        provider=_text(get(c.PROVIDER_NAME)),
        request_model=_text(get(c.REQUEST_MODEL)),
        response_model=_text(get(c.RESPONSE_MODEL)),
        response_id=_text(get(c.RESPONSE_ID)),
        usage=usage_from(record.attributes),
        missing_reason=_text(get(c.MISSING_REASON)),
        stated_cost_usd=_money(get(c.STATED_COST)),
        outcome=_outcome(record),
        error_type=_text(get(c.ERROR_TYPE)),
        finish_reason=str(finish[0]) if isinstance(finish, (list, tuple)) and finish else None,
        stream=get(c.REQUEST_STREAM) is True,
        time_to_first_token_seconds=_seconds(get(c.TIME_TO_FIRST_CHUNK)),
        service_tier=_text(get(c.OPENAI_SERVICE_TIER)) or _text(get(c.ANTHROPIC_SERVICE_TIER)),
        batch=get(c.BATCH) is True,
        fees=_fees(fees) if fees else None,
        cache_hit=get(c.CACHE_HIT) is True,
        retry_count=_count(get(c.RETRY_COUNT)) or 0,
        waste=_text(get(c.WASTE)),
        metered=get(c.METERED) is True,
        refused=(_count(get(c.HTTP_STATUS_CODE)) or 0) >= _FIRST_ERROR_STATUS,
        request_lengths=_text(get(c.REQUEST_LENGTHS)),
        request_hash=_text(get(c.REQUEST_HASH)),
        problems=tuple(str(word) for word in problems) if isinstance(problems, (list, tuple)) else (),
    )


def usage_from(attributes: Mapping[str, object]) -> Usage:
    """Usage from the newest names of the convention; `costspan.usage.source` says if it is an estimate, or missing in part."""
    counts = [_count(attributes.get(name)) for name in _COUNTS]
    if counts[0] is None and counts[1] is None:
        return NO_USAGE
    return Usage(*counts, source=str(attributes.get(c.USAGE_SOURCE, REPORTED)))


def usage_attributes(usage: Usage) -> dict[str, int | str]:
    """The inverse of `usage_from`: what a hook writes on a call's span; unknown counts are left out."""
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
    )
    found: dict[str, int | str] = {name: count for name, count in zip(_COUNTS, counts, strict=True) if count is not None}
    found[c.USAGE_SOURCE] = usage.source
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None


def _money(value: object) -> Decimal | None:
    """Stated cost travels as a string, so that no digit is lost to a float."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _fees(value: object) -> Mapping[str, int] | None:
    try:
        found = json.loads(str(value))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): count for name, count in found.items() if _count(count)}


def _outcome(record: SpanRecord) -> str:
    error = record.attributes.get(c.ERROR_TYPE)
    if error is None:
        return "error" if record.error else "ok"
    return "cancelled" if str(error).rpartition(".")[2] in CANCELLING else "error"
