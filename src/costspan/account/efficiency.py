"""The ratios of a run. Every formula is here, each None where its denominator is 0 or unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costspan.records import MONEY, Efficiency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from costspan.records import AgentTotals, Call, Totals


def efficiency(totals: Totals, agents: Sequence[AgentTotals], calls: Iterable[Call], steps: int) -> Efficiency:
    """The efficiency of a run.

    - `average_tokens_per_agent`: tokens of the agents' own calls over the number of agents that made any.
    - `max_agent`, `max_agent_tokens`: the agent whose own calls used most tokens; the first by name among equals.
    - `input_output_ratio`: input over output tokens.
    - `cache_hit_ratio`: cache reads over input tokens (0..1); None when no call told its cache reads.
    - `output_tokens_per_second`: output tokens over the time spent in the calls that told them.
    - `context_window_peak_percent`: greatest (input + output) of one call over its model's window, times 100.
    - `cost_per_step_usd`: cost over the number of steps, to 12 decimals.
    """
    calls = [call for call in calls if not call.cache_hit]
    usage = totals.usage
    own = [(agent.self_totals.usage.total_tokens, agent.name) for agent in agents if agent.self_totals.calls]
    known = [(tokens, name) for tokens, name in own if tokens is not None]
    top = min(known, key=lambda entry: (-entry[0], entry[1]), default=None)
    return Efficiency(
        average_tokens_per_agent=sum(tokens for tokens, _ in known) / len(own) if known else None,
        max_agent_tokens=None if top is None else top[0],
        max_agent=None if top is None else top[1],
        input_output_ratio=_ratio(usage.input_tokens, usage.output_tokens),
        cache_hit_ratio=_ratio(usage.cache_read_tokens, usage.input_tokens),
        output_tokens_per_second=_speed(calls),
        context_window_peak_percent=_peak(calls),
        cost_per_step_usd=_per_step(totals.cost_usd, steps),
    )


def _ratio(above: int | None, beneath: int | None) -> float | None:
    return above / beneath if above is not None and beneath else None


def _speed(calls: Iterable[Call]) -> float | None:
    tokens = spent_ns = 0
    for call in calls:
        if call.usage.output_tokens is not None and call.ended_ns > call.started_ns:
            tokens += call.usage.output_tokens
            spent_ns += call.ended_ns - call.started_ns
    return tokens * 1e9 / spent_ns if spent_ns else None


def _peak(calls: Iterable[Call]) -> float | None:
    peak: float | None = None
    for call in calls:
        window = call.context_window_tokens
        tokens = call.usage.total_tokens if window else None
        if window and tokens is not None and (peak is None or tokens * 100 / window > peak):
            peak = tokens * 100 / window
    return peak


def _per_step(cost_usd: Decimal | None, steps: int) -> Decimal | None:
    if cost_usd is None or not steps:
        return None
    return MONEY.quantize(MONEY.divide(cost_usd, MONEY.create_decimal(steps)), MONEY.create_decimal("1e-12")).normalize(MONEY)
