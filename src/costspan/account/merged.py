"""One reading of a call from the readings of all spans that told of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from costspan.records import ESTIMATED, MISSING, REPORTED, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.account.layer import Layer
    from costspan.readings import Reading

_EVIDENCE: Final = {REPORTED: 2, ESTIMATED: 1, MISSING: 0}
_INPUT_PARTS: Final = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens")
_OUTPUT_PARTS: Final = ("reasoning_tokens", "output_audio_tokens")
_PARTS: Final = tuple(field.name for field in fields(Usage) if field.name not in {"input_tokens", "output_tokens", "source"})
_OUTERMOST: Final = ("operation", "agent", "workflow", "step", "tool", "conversation_id", "waste")
_OUTERMOST_TOO: Final = (
    "request_lengths",
    "request_hash",
    "error_type",
    "finish_reason",
    "time_to_first_token_seconds",
    "tool_call_id",
)
_INNERMOST: Final = ("provider", "request_model", "response_model", "response_id", "service_tier", "fees", "stated_cost_usd")


def merged(layers: list[Layer]) -> Reading:
    """The outermost layer's reading with the richest usage, and with what it does not know from the others.

    `layers` are outermost first. What the provider said (model, id, tier) is taken from the innermost layer that knows it,
    what the framework knows (owner, conversation) from the outermost.
    """
    if len(layers) == 1:
        return layers[0].reading
    readings = [layer.reading for layer in layers]
    inward = readings[::-1]
    best = max(inward, key=_richness)
    told: dict[str, object] = {name: _first(readings, name) for name in (*_OUTERMOST, *_OUTERMOST_TOO)}
    told |= {name: _first(inward, name) for name in _INNERMOST}
    usage = completed(best.usage, (reading.usage for reading in inward))
    told["missing_reason"] = _first(readings, "missing_reason") if usage.source == MISSING else None
    return replace(
        readings[0],
        usage=usage,
        estimator=best.estimator,
        stream=any(reading.stream for reading in readings),
        batch=any(reading.batch for reading in readings),
        cache_hit=any(reading.cache_hit for reading in readings),
        metered=any(reading.metered for reading in readings),
        retry_count=max(reading.retry_count for reading in readings),
        problems=tuple(dict.fromkeys(best.problems)),
        **told,  # type: ignore[arg-type]
    )


def _first(readings: Iterable[Reading], name: str) -> object:
    for reading in readings:
        value = getattr(reading, name)
        if value is not None:
            return value
    return None


def _richness(reading: Reading) -> tuple[int, int, bool, int, int]:
    """Reported before estimated, whole before partial, without complaints, then who knows most parts, then who saw most."""
    usage = reading.usage
    whole = (usage.input_tokens is not None) + (usage.output_tokens is not None)
    parts = sum(getattr(usage, name) is not None for name in _PARTS)
    return _EVIDENCE.get(usage.source, 0), whole, not reading.problems, parts, usage.total_tokens or 0


def completed(usage: Usage, others: Iterable[Usage]) -> Usage:
    """Fill the unknown parts of a usage from others that agree with its sums, as long as the parts still fit into them."""
    if usage.source != REPORTED:
        return usage
    found: dict[str, int] = {}
    for other in others:
        if other is usage or other.source != REPORTED:
            continue
        for whole, parts in (("input_tokens", _INPUT_PARTS), ("output_tokens", _OUTPUT_PARTS)):
            if getattr(other, whole) != getattr(usage, whole):
                continue
            for name in parts:
                value = getattr(other, name)
                if value is not None and getattr(usage, name) is None:
                    found.setdefault(name, value)
    if not found:
        return usage
    filled = replace(usage, **found)  # type: ignore[arg-type]
    return filled if _fits(filled) else usage


def _fits(usage: Usage) -> bool:
    read, written, hourly = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0, usage.cache_write_1h_tokens or 0
    inputs = read + written + (usage.input_audio_tokens or 0)
    outputs = (usage.reasoning_tokens or 0) + (usage.output_audio_tokens or 0)
    return inputs <= (usage.input_tokens or 0) and outputs <= (usage.output_tokens or 0) and hourly <= written
