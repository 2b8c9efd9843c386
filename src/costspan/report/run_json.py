"""The JSON run record, `schema_version` 1: a `Run` as plain data, and a file of it.

Dollars are decimal strings, exact to the last digit, and null where unknown; counts are whole numbers or null; durations
are seconds; times are RFC 3339 in UTC. Fields may be added within a schema version, never renamed or removed. The JSON
Schema is `run.schema.json` beside this file (`schema()`). `metadata.token_usage` repeats the main figures in an older
shape, rounded, with dollars as plain numbers, for programs that read that one.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costspan.errors import SettingsError
from costspan.report.token_usage import token_usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from costspan.records import (
        AgentTotals,
        Call,
        Cost,
        Coverage,
        Efficiency,
        ModelTotals,
        Run,
        Step,
        ToolTotals,
        Totals,
        Usage,
        Waste,
    )

SCHEMA_VERSION: Final = 1
MIXED: Final = "mixed"
"""`cost.source` of a sum whose parts have prices of several sources; `by_source` has the parts."""
UNKNOWN: Final = "unknown"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_MAX: Final = 60

Json = dict[str, object]


def to_record(run: Run) -> Json:
    """The run record: only dicts, lists, strings, ints, floats, bools and None, valid against `schema()`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": {"name": "costspan", "version": _version()},
        "run": {
            "id": run.id,
            "workflow": run.workflow,
            "started_at": _time(run.started_ns),
            "ended_at": _time(run.ended_ns),
            "duration_seconds": run.duration_seconds,
            "outcome": run.outcome,
            "trace_ids": list(run.trace_ids),
        },
        "totals": _totals(run.totals),
        "agents": [_agent(agent) for agent in run.agents],
        "tools": [_tool(tool) for tool in run.tools],
        "steps": [_step(step) for step in run.steps],
        "models": [_model(model) for model in run.models],
        "calls": [_call(call) for call in run.calls],
        "unattributed": _totals(run.unattributed),
        "waste": [_waste(item) for item in run.waste],
        "efficiency": _efficiency(run.efficiency),
        "notes": list(run.notes),
        "metadata": {"token_usage": token_usage(run)},
    }


def totals_record(totals: Totals) -> Json:
    """A sum of calls in the record's shape: calls, usage, cost, coverage, errors, cache_hits, duration_seconds."""
    return _totals(totals)


def to_json(run: Run) -> str:
    """The record as text, indented, ending in a newline."""
    return json.dumps(to_record(run), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(run: Run, directory: Path | str) -> Path:
    """Write the record into `directory` (made if need be) and return its path.

    The file appears whole or not at all. Raises SettingsError with one line that says what to do when the folder
    cannot be written to. Writing the same run again replaces its file.
    """
    folder = Path(directory)
    path = folder / file_name(run)
    draft = folder / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    # A name with half a surrogate pair has no UTF-8; written as \udxxx it is a JSON escape, and the file stays valid.
    body = to_json(run).encode("utf-8", "backslashreplace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(body)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = (
            f"the run record could not be written to {str(folder)!r} ({reason}): "
            "set COSTSPAN_RECORD_DIR to a folder that this process may write to, or unset it"
        )
        raise SettingsError(message) from error
    return path


def file_name(run: Run) -> str:
    """`<start, UTC>_<workflow>_<id>.json`: sorts by time, and is safe whatever the run is called."""
    started = _EPOCH + timedelta(microseconds=max(0, run.started_ns) // 1000 % (10**17))
    parts = [f"{started:%Y%m%dT%H%M%SZ}", _safe(run.workflow or "run"), _safe(run.id or "unnamed")]
    return "_".join(parts) + ".json"


def schema() -> Json:
    """The JSON Schema (draft 2020-12) of the run record, as shipped."""
    loaded: Json = json.loads(Path(__file__).with_name("run.schema.json").read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return version("costspan")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree that was never installed


def _safe(name: str) -> str:
    plain = _UNSAFE.sub("-", name).strip("-.")[:_NAME_MAX]
    if plain == name:
        return plain
    mark = sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else mark


def _time(ns: int) -> str | None:
    """Nanoseconds since the epoch as RFC 3339 in UTC, to the nanosecond; None for a time that nobody knows."""
    if not 0 < ns < 2**63:
        return None
    seconds, rest = divmod(ns, 10**9)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _duration(part: Call | Step) -> float | None:
    """Seconds; None for what has no start or no end, as calls that were only counted."""
    return part.duration_seconds if part.started_ns and part.ended_ns else None


def _dollars(amount: Decimal | None) -> str | None:
    """Exact, without an exponent."""
    return None if amount is None else f"{amount:f}"


def _number(value: float | None) -> float | None:
    """JSON has no NaN and no infinity: a number that is none is not known."""
    return value if value is not None and math.isfinite(value) else None


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "input_audio_tokens": usage.input_audio_tokens,
        "output_audio_tokens": usage.output_audio_tokens,
        "source": usage.source,
    }


def _amounts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{amount:f}" for name, amount in amounts.items()}


def _cost(cost: Cost | None) -> Json:
    return {
        "amount_usd": _dollars(cost.amount_usd) if cost else None,
        "by_cost_type": _amounts(cost.by_type) if cost else {},
        "source": cost.source if cost else UNKNOWN,
        "by_source": {cost.source: f"{cost.amount_usd:f}"} if cost else {},
        "price_refs": [cost.ref] if cost and cost.ref else [],
    }


def _sum_cost(totals: Totals) -> Json:
    sources = list(totals.cost_by_source)
    known = sources[0] if len(sources) == 1 else MIXED
    return {
        "amount_usd": _dollars(totals.cost_usd),
        "by_cost_type": _amounts(totals.cost_by_type),
        "source": known if totals.cost_usd is not None and sources else UNKNOWN,
        "by_source": _amounts(totals.cost_by_source),
        "price_refs": list(totals.price_refs),
    }


def _coverage(coverage: Coverage) -> Json:
    return {
        "calls": coverage.calls,
        "reported_calls": coverage.reported_calls,
        "estimated_calls": coverage.estimated_calls,
        "missing_calls": coverage.missing_calls,
        "refused_calls": coverage.refused_calls,
        "priced_calls": coverage.priced_calls,
        "share": _number(coverage.share),
    }


def _totals(totals: Totals) -> Json:
    return {
        "calls": totals.calls,
        "usage": _usage(totals.usage),
        "cost": _sum_cost(totals),
        "coverage": _coverage(totals.coverage),
        "errors": totals.errors,
        "cache_hits": totals.cache_hits,
        "duration_seconds": _number(totals.duration_seconds),
    }


def _agent(agent: AgentTotals) -> Json:
    return {
        "name": agent.name,
        "self": _totals(agent.self_totals),
        "subtree": _totals(agent.subtree),
        "calls": agent.self_totals.calls,
        "steps": agent.steps,
        "models": list(agent.models),
    }


def _part(tokens: int | None, cost: Decimal | None) -> Json:
    return {"tokens": tokens, "cost_usd": _dollars(cost)}


def _tool(tool: ToolTotals) -> Json:
    return {
        "name": tool.name,
        "agents": list(tool.agents),
        "calls": tool.calls,
        "errors": tool.errors,
        "duration_seconds": _number(tool.duration_seconds),
        "nested": _totals(tool.nested),
        "call": _part(tool.call_tokens, tool.call_cost_usd),
        "result": _part(tool.result_tokens, tool.result_cost_usd),
        "carried": _part(tool.carried_tokens, tool.carried_cost_usd),
        "tokens_per_call": _number(tool.tokens_per_call),
    }


def _step(step: Step) -> Json:
    return {
        "index": step.index,
        "agent": step.agent,
        "name": step.name,
        "started_at": _time(step.started_ns),
        "duration_seconds": _duration(step),
        "calls": step.totals.calls,
        "usage": _usage(step.totals.usage),
        "cost": _sum_cost(step.totals),
        "coverage": _coverage(step.totals.coverage),
        "tokens_per_second": _number(step.tokens_per_second),
        "outcome": step.outcome,
    }


def _model(model: ModelTotals) -> Json:
    return {
        "provider": model.provider,
        "model": model.model,
        "context_window_tokens": model.context_window_tokens,
        "calls": model.totals.calls,
        "usage": _usage(model.totals.usage),
        "cost": _sum_cost(model.totals),
        "coverage": _coverage(model.totals.coverage),
    }


def _call(call: Call) -> Json:
    return {
        "id": call.id,
        "trace_id": call.trace_id,
        "parent_id": call.parent_id,
        "workflow": call.owner.workflow,
        "agent": call.owner.agent,
        "step": call.owner.step,
        "tool": call.owner.tool,
        "operation": call.operation,
        "provider": call.provider,
        "model": call.model,
        "request_model": call.request_model,
        "response_model": call.response_model,
        "response_id": call.response_id,
        "started_at": _time(call.started_ns),
        "duration_seconds": _duration(call),
        "time_to_first_token_seconds": _number(call.time_to_first_token_seconds),
        "stream": call.stream,
        "usage": _usage(call.usage),
        "cost": _cost(call.cost),
        "outcome": call.outcome,
        "error_type": call.error_type,
        "finish_reason": call.finish_reason,
        **_evidence(call),
        "duplicates": [
            {"span_id": item.span_id, "trace_id": item.trace_id, "scope": item.scope, "usage": _usage(item.usage)}
            for item in call.duplicates
        ],
    }


def _evidence(call: Call) -> Json:
    """How a call was billed and what is known of it."""
    return {
        "service_tier": call.service_tier,
        "batch": call.batch,
        "fees": dict(call.fees) if call.fees else {},
        "unpriced": {"reason": call.unpriced.reason, "detail": call.unpriced.detail} if call.unpriced else None,
        "missing_reason": call.missing_reason,
        "refused": call.refused,
        "cache_hit": call.cache_hit,
        "retry_count": call.retry_count,
        "waste": call.waste,
        "context_window_tokens": call.context_window_tokens,
        "conversation_id": call.conversation_id,
        "estimator": call.estimator,
        "scope": call.scope,
        "dialect": call.dialect,
        "problems": list(call.problems),
    }


def _waste(waste: Waste) -> Json:
    return {
        "reason": waste.reason,
        "agent": waste.agent,
        "calls": waste.calls,
        "tokens": waste.tokens,
        "cost_usd": _dollars(waste.cost_usd),
    }


def _efficiency(efficiency: Efficiency) -> Json:
    return {
        "average_tokens_per_agent": _number(efficiency.average_tokens_per_agent),
        "max_agent_tokens": efficiency.max_agent_tokens,
        "max_agent": efficiency.max_agent,
        "input_output_ratio": _number(efficiency.input_output_ratio),
        "cache_hit_ratio": _number(efficiency.cache_hit_ratio),
        "output_tokens_per_second": _number(efficiency.output_tokens_per_second),
        "context_window_peak_percent": _number(efficiency.context_window_peak_percent),
        "cost_per_step": _dollars(efficiency.cost_per_step_usd),
    }
