"""A JSON run record back into a `Run`, for programs that compare, store or show runs.

What this version does not know is ignored; what an older or damaged record lacks is unknown. A value of the wrong type
is unknown too, so that one bad field does not cost the rest of the record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from costspan.errors import InputError
from costspan.records import (
    MISSING,
    AgentTotals,
    Call,
    Cost,
    Coverage,
    Duplicate,
    Efficiency,
    ModelTotals,
    Owner,
    Run,
    Step,
    ToolTotals,
    Totals,
    Unpriced,
    Usage,
    Waste,
)

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT_END: Final = 2**63
"""Beyond it a number is damaged: no count, and no moment in nanoseconds, is as great."""
_DIGITS_MAX: Final = 100
"""Digits of an amount of dollars before the point, and behind it."""
_NOTHING: Final[Mapping[str, object]] = {}

Part = Mapping[str, object]


def is_record(data: object) -> bool:
    """True for parsed JSON that says it is a run record."""
    return isinstance(data, Mapping) and "schema_version" in data and isinstance(data.get("run"), Mapping)


def read(path: Path) -> Run:
    """The run in a record file. Raises InputError with one line when it is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: cannot be read as a run record ({error})"
        raise InputError(message) from error
    if not is_record(data):
        message = f"{path}: is no run record (it has no schema_version and run); trace files are read by `costspan report`"
        raise InputError(message)
    return from_record(data)


def from_record(record: Part) -> Run:
    """The run that a record describes. Raises InputError for a schema version that this costspan does not know."""
    told = record.get("schema_version")
    if told != SCHEMA_VERSION:
        message = f"the run record has schema_version {told!r}, this costspan reads {SCHEMA_VERSION}: use a newer costspan"
        raise InputError(message)
    head = _part(record.get("run"))
    started = _ns(head.get("started_at"))
    return Run(
        id=_text(head.get("id")) or "",
        workflow=_text(head.get("workflow")),
        started_ns=started,
        ended_ns=_ns(head.get("ended_at")),
        outcome=_text(head.get("outcome")) or "ok",
        trace_ids=_texts(head.get("trace_ids")),
        totals=_totals(record.get("totals")),
        agents=tuple(_agent(item) for item in _parts(record.get("agents"))),
        tools=tuple(_tool(item) for item in _parts(record.get("tools"))),
        steps=tuple(_step(item) for item in _parts(record.get("steps"))),
        models=tuple(_model(item) for item in _parts(record.get("models"))),
        calls=tuple(_call(item) for item in _parts(record.get("calls"))),
        unattributed=_totals(record.get("unattributed")),
        waste=tuple(_waste(item) for item in _parts(record.get("waste"))),
        efficiency=_efficiency(_part(record.get("efficiency"))),
        notes=_texts(record.get("notes")),
    )


def _part(value: object) -> Part:
    return value if isinstance(value, Mapping) else _NOTHING


def _parts(value: object) -> list[Part]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _COUNT_END else None


def _number(value: object) -> float | None:
    if type(value) is int:
        return float(value) if abs(value) < _COUNT_END else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _money(value: object) -> Decimal | None:
    if not isinstance(value, str):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    # Written out, as records are, a great exponent would be as many zeros.
    exponent = amount.as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= -_DIGITS_MAX and amount.adjusted() < _DIGITS_MAX
    return amount if fits and amount >= 0 else None


def _amounts(value: object) -> dict[str, Decimal]:
    found = {name: _money(amount) for name, amount in _part(value).items()}
    return {name: amount for name, amount in found.items() if amount is not None}


def _ns(value: object) -> int:
    """Nanoseconds since the epoch; 0 for no time. `datetime` keeps six digits of a second, the record has nine."""
    if not isinstance(value, str):
        return 0
    try:
        whole = datetime.fromisoformat(value)
    except ValueError:
        return 0
    if whole.tzinfo is None:
        whole = whole.replace(tzinfo=UTC)
    fraction = value.partition(".")[2].rstrip("Z")
    rest = int(fraction[6:9].ljust(3, "0")) if len(fraction) > 6 and fraction[6:9].isdecimal() else 0
    return max(0, (whole - _EPOCH) // timedelta(microseconds=1) * 1000 + rest)


def _after(started_ns: int, duration: object) -> int:
    seconds = _number(duration) or 0.0
    if not 0 < seconds < _COUNT_END / 1e9:
        return started_ns
    # In whole numbers: of a long duration a float that is multiplied loses its last digits.
    above, beneath = seconds.as_integer_ratio()
    return started_ns + (2 * above * 10**9 + beneath) // (2 * beneath)


def _usage(value: object) -> Usage:
    part = _part(value)
    return Usage(
        _count(part.get("input_tokens")),
        _count(part.get("output_tokens")),
        _count(part.get("cache_read_tokens")),
        _count(part.get("cache_write_tokens")),
        _count(part.get("cache_write_1h_tokens")),
        _count(part.get("reasoning_tokens")),
        _count(part.get("input_audio_tokens")),
        _count(part.get("output_audio_tokens")),
        _text(part.get("source")) or MISSING,
    )


def _totals(value: object) -> Totals:
    part, cost, coverage = _part(value), _part(_part(value).get("cost")), _part(_part(value).get("coverage"))
    amount = _money(cost.get("amount_usd"))
    return Totals(
        calls=_count(part.get("calls")) or 0,
        usage=_usage(part.get("usage")),
        cost_usd=amount,
        cost_by_type=_amounts(cost.get("by_cost_type")) if amount is not None else {},
        cost_by_source=_amounts(cost.get("by_source")) if amount is not None else {},
        price_refs=_texts(cost.get("price_refs")),
        coverage=Coverage(
            calls=_count(coverage.get("calls")) or 0,
            reported_calls=_count(coverage.get("reported_calls")) or 0,
            estimated_calls=_count(coverage.get("estimated_calls")) or 0,
            missing_calls=_count(coverage.get("missing_calls")) or 0,
            refused_calls=_count(coverage.get("refused_calls")) or 0,
            priced_calls=_count(coverage.get("priced_calls")) or 0,
            share=_number(coverage.get("share")),
        ),
        errors=_count(part.get("errors")) or 0,
        cache_hits=_count(part.get("cache_hits")) or 0,
        duration_seconds=_number(part.get("duration_seconds")) or 0.0,
    )


def _agent(part: Part) -> AgentTotals:
    return AgentTotals(
        _text(part.get("name")) or "",
        _totals(part.get("self")),
        _totals(part.get("subtree")),
        _count(part.get("steps")) or 0,
        _texts(part.get("models")),
    )


def _tool(part: Part) -> ToolTotals:
    call, result, carried = _part(part.get("call")), _part(part.get("result")), _part(part.get("carried"))
    return ToolTotals(
        name=_text(part.get("name")) or "",
        calls=_count(part.get("calls")) or 0,
        errors=_count(part.get("errors")) or 0,
        duration_seconds=_number(part.get("duration_seconds")) or 0.0,
        agents=_texts(part.get("agents")),
        nested=_totals(part.get("nested")),
        call_tokens=_count(call.get("tokens")),
        call_cost_usd=_money(call.get("cost_usd")),
        result_tokens=_count(result.get("tokens")),
        result_cost_usd=_money(result.get("cost_usd")),
        carried_tokens=_count(carried.get("tokens")),
        carried_cost_usd=_money(carried.get("cost_usd")),
    )


def _step(part: Part) -> Step:
    started = _ns(part.get("started_at"))
    return Step(
        index=_count(part.get("index")) or 0,
        agent=_text(part.get("agent")),
        name=_text(part.get("name")) or "",
        started_ns=started,
        ended_ns=_after(started, part.get("duration_seconds")),
        totals=_totals(part),
        outcome=_text(part.get("outcome")) or "ok",
    )


def _model(part: Part) -> ModelTotals:
    window = _count(part.get("context_window_tokens"))
    return ModelTotals(_text(part.get("provider")), _text(part.get("model")), _totals(part), window)


def _cost(value: object) -> Cost | None:
    part = _part(value)
    amount = _money(part.get("amount_usd"))
    if amount is None:
        return None
    refs = _texts(part.get("price_refs"))
    return Cost(amount, _amounts(part.get("by_cost_type")), _text(part.get("source")) or "", refs[0] if refs else "")


def _call(part: Part) -> Call:
    started = _ns(part.get("started_at"))
    unpriced = _part(part.get("unpriced"))
    reason = _text(unpriced.get("reason"))
    fees = {name: count for name, n in _part(part.get("fees")).items() if (count := _count(n)) is not None}
    owner = Owner(*(_text(part.get(name)) for name in ("workflow", "agent", "step", "tool")))
    return Call(
        id=_text(part.get("id")) or "",
        trace_id=_text(part.get("trace_id")) or "",
        parent_id=_text(part.get("parent_id")),
        owner=owner,
        operation=_text(part.get("operation")) or "chat",
        provider=_text(part.get("provider")),
        model=_text(part.get("model")),
        request_model=_text(part.get("request_model")),
        response_model=_text(part.get("response_model")),
        response_id=_text(part.get("response_id")),
        started_ns=started,
        ended_ns=_after(started, part.get("duration_seconds")),
        time_to_first_token_seconds=_number(part.get("time_to_first_token_seconds")),
        stream=part.get("stream") is True,
        usage=_usage(part.get("usage")),
        cost=_cost(part.get("cost")),
        unpriced=Unpriced(reason, _text(unpriced.get("detail")) or "") if reason else None,
        outcome=_text(part.get("outcome")) or "ok",
        error_type=_text(part.get("error_type")),
        finish_reason=_text(part.get("finish_reason")),
        service_tier=_text(part.get("service_tier")),
        batch=part.get("batch") is True,
        fees=fees or None,
        missing_reason=_text(part.get("missing_reason")),
        refused=part.get("refused") is True,
        cache_hit=part.get("cache_hit") is True,
        retry_count=_count(part.get("retry_count")) or 0,
        waste=_text(part.get("waste")),
        context_window_tokens=_count(part.get("context_window_tokens")),
        conversation_id=_text(part.get("conversation_id")),
        estimator=_text(part.get("estimator")),
        scope=_text(part.get("scope")) or "",
        dialect=_text(part.get("dialect")) or "",
        problems=_texts(part.get("problems")),
        duplicates=tuple(_duplicate(item) for item in _parts(part.get("duplicates"))),
    )


def _duplicate(part: Part) -> Duplicate:
    return Duplicate(
        _text(part.get("span_id")) or "",
        _text(part.get("trace_id")) or "",
        _text(part.get("scope")) or "",
        _usage(part.get("usage")),
    )


def _waste(part: Part) -> Waste:
    return Waste(
        _text(part.get("reason")) or "",
        _text(part.get("agent")),
        _count(part.get("calls")) or 0,
        _count(part.get("tokens")),
        _money(part.get("cost_usd")),
    )


def _efficiency(part: Part) -> Efficiency:
    return Efficiency(
        average_tokens_per_agent=_number(part.get("average_tokens_per_agent")),
        max_agent_tokens=_count(part.get("max_agent_tokens")),
        max_agent=_text(part.get("max_agent")),
        input_output_ratio=_number(part.get("input_output_ratio")),
        cache_hit_ratio=_number(part.get("cache_hit_ratio")),
        output_tokens_per_second=_number(part.get("output_tokens_per_second")),
        context_window_peak_percent=_number(part.get("context_window_peak_percent")),
        cost_per_step_usd=_money(part.get("cost_per_step")),
    )
