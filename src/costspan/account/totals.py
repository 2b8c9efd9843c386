"""Sums of calls: exact, and honest about what they do not know.

A count of a sum is None only when no member knew it; how much of the sum is measured is in `Totals.coverage`.
`usage.source` of a sum is `missing` when no call told its usage, `estimated` when any known usage was estimated, else
`reported`. Money is added with `records.MONEY`, so a sum does not depend on the order of its members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.conventions import COST_TYPES
from costspan.records import ESTIMATED, MISSING, MONEY, NO_USAGE, REPORTED, Coverage, Totals, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from costspan.records import Call, Cost

_NO_CALLS: Final = Totals()
_WAITING_MAX: Final = 64


def plus(known: int | None, more: int | None) -> int | None:
    """Add two counts of which either may be unknown: None only when both are."""
    if more is None:
        return known
    return more if known is None else known + more


def money_plus(known: Decimal | None, more: Decimal | None) -> Decimal | None:
    """Add two amounts exactly; None only when both are unknown."""
    if more is None:
        return known
    return more if known is None else MONEY.add(known, more)


class Tally:
    """A sum of calls in the making: `add` calls, `merge` other tallies, `freeze` into `Totals`.

    A cache hit is counted in `cache_hits` and nowhere else. Not thread-safe: the owner of a tally holds the lock.
    """

    __slots__ = (
        "_by_source",
        "_by_type",
        "_cost_usd",
        "_costs",
        "_refs",
        "cache_hits",
        "cache_read_tokens",
        "cache_write_1h_tokens",
        "cache_write_tokens",
        "calls",
        "duration_ns",
        "errors",
        "estimated_calls",
        "input_audio_tokens",
        "input_tokens",
        "measured_calls",
        "missing_calls",
        "output_audio_tokens",
        "output_tokens",
        "priced_calls",
        "reasoning_tokens",
        "refused_calls",
        "reported_calls",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cache_read_tokens: int | None = None
        self.cache_write_tokens: int | None = None
        self.cache_write_1h_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.input_audio_tokens: int | None = None
        self.output_audio_tokens: int | None = None
        self._cost_usd: Decimal | None = None
        self._costs: list[Cost] = []
        self._by_type: dict[str, Decimal] = {}
        self._by_source: dict[str, Decimal] = {}
        self._refs: set[str] = set()
        self.reported_calls = 0
        self.estimated_calls = 0
        self.missing_calls = 0
        self.refused_calls = 0
        self.priced_calls = 0
        self.measured_calls = 0
        self.errors = 0
        self.cache_hits = 0
        self.duration_ns = 0

    def add(self, call: Call) -> None:
        """Count one call."""
        if call.cache_hit:
            self.cache_hits += 1
            return
        self.calls += 1
        if call.outcome == "error":
            self.errors += 1
        if call.ended_ns > call.started_ns:
            self.duration_ns += call.ended_ns - call.started_ns
        usage = call.usage
        if usage.source == REPORTED:
            self.reported_calls += 1
        elif usage.source == ESTIMATED:
            self.estimated_calls += 1
        elif call.refused:
            self.refused_calls += 1
        else:
            self.missing_calls += 1
        self._add_usage(usage)
        if call.cost is not None:
            self.priced_calls += 1
            self.measured_calls += usage.source == REPORTED
            costs = self._costs
            costs.append(call.cost)
            if len(costs) >= _WAITING_MAX:
                self._settle()

    def _add_usage(self, usage: Usage) -> None:
        more = usage.input_tokens
        if more is not None:
            self.input_tokens = more + (self.input_tokens or 0)
        more = usage.output_tokens
        if more is not None:
            self.output_tokens = more + (self.output_tokens or 0)
        more = usage.cache_read_tokens
        if more is not None:
            self.cache_read_tokens = more + (self.cache_read_tokens or 0)
        more = usage.cache_write_tokens
        if more is not None:
            self.cache_write_tokens = more + (self.cache_write_tokens or 0)
        more = usage.reasoning_tokens
        if more is not None:
            self.reasoning_tokens = more + (self.reasoning_tokens or 0)
        self.cache_write_1h_tokens = plus(self.cache_write_1h_tokens, usage.cache_write_1h_tokens)
        self.input_audio_tokens = plus(self.input_audio_tokens, usage.input_audio_tokens)
        self.output_audio_tokens = plus(self.output_audio_tokens, usage.output_audio_tokens)

    def _settle(self) -> None:
        """Add the costs that wait: many at once take half the time of one by one."""
        costs = self._costs
        if not costs:
            return
        by_type, by_source, refs, add = self._by_type, self._by_source, self._refs, MONEY.add
        total_usd = self._cost_usd
        for cost in costs:
            amount, source = cost.amount_usd, cost.source
            total_usd = amount if total_usd is None else add(total_usd, amount)
            for name, part in cost.by_type.items():
                by_type[name] = add(by_type[name], part) if name in by_type else part
            by_source[source] = add(by_source[source], amount) if source in by_source else amount
            if cost.ref:
                refs.add(cost.ref)
        self._cost_usd = total_usd
        costs.clear()

    @property
    def cost_usd(self) -> Decimal | None:
        """The sum of what is priced; None when nothing is."""
        self._settle()
        return self._cost_usd

    def merge(self, other: Tally) -> None:
        """Add everything that `other` has counted."""
        self.calls += other.calls
        self.reported_calls += other.reported_calls
        self.estimated_calls += other.estimated_calls
        self.missing_calls += other.missing_calls
        self.refused_calls += other.refused_calls
        self.priced_calls += other.priced_calls
        self.measured_calls += other.measured_calls
        self.errors += other.errors
        self.cache_hits += other.cache_hits
        self.duration_ns += other.duration_ns
        self.input_tokens = plus(self.input_tokens, other.input_tokens)
        self.output_tokens = plus(self.output_tokens, other.output_tokens)
        self.cache_read_tokens = plus(self.cache_read_tokens, other.cache_read_tokens)
        self.cache_write_tokens = plus(self.cache_write_tokens, other.cache_write_tokens)
        self.cache_write_1h_tokens = plus(self.cache_write_1h_tokens, other.cache_write_1h_tokens)
        self.reasoning_tokens = plus(self.reasoning_tokens, other.reasoning_tokens)
        self.input_audio_tokens = plus(self.input_audio_tokens, other.input_audio_tokens)
        self.output_audio_tokens = plus(self.output_audio_tokens, other.output_audio_tokens)
        self._cost_usd = money_plus(self.cost_usd, other.cost_usd)
        self._by_type = _money_sums(self._by_type, other._by_type)
        self._by_source = _money_sums(self._by_source, other._by_source)
        self._refs |= other._refs

    @property
    def empty(self) -> bool:
        """True when nothing was counted, not even a cache hit."""
        return not self.calls and not self.cache_hits

    @property
    def total_tokens(self) -> int | None:
        """Input plus output so far; None when neither is known."""
        return plus(self.input_tokens, self.output_tokens)

    def freeze(self) -> Totals:
        """The sum so far, as a record. The tally may go on counting."""
        if not self.calls:
            return Totals(cache_hits=self.cache_hits) if self.cache_hits else _NO_CALLS
        self._settle()
        billed = self.calls - self.refused_calls
        coverage = Coverage(
            self.calls,
            self.reported_calls,
            self.estimated_calls,
            self.missing_calls,
            self.refused_calls,
            self.priced_calls,
            self.measured_calls / billed if billed else None,
        )
        return Totals(
            self.calls,
            self._usage(),
            self._cost_usd,
            _in_cost_order(self._by_type),
            dict(sorted(self._by_source.items())) if len(self._by_source) > 1 else self._by_source.copy(),
            tuple(sorted(self._refs) if len(self._refs) > 1 else self._refs),
            coverage,
            self.errors,
            self.cache_hits,
            self.duration_ns / 1e9,
        )

    def _usage(self) -> Usage:
        if self.missing_calls + self.refused_calls == self.calls and self.total_tokens is None:
            return NO_USAGE
        source = ESTIMATED if self.estimated_calls else REPORTED if self.reported_calls else MISSING
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.cache_write_1h_tokens,
            self.reasoning_tokens,
            self.input_audio_tokens,
            self.output_audio_tokens,
            source,
        )


def _money_sums(known: dict[str, Decimal], more: dict[str, Decimal]) -> dict[str, Decimal]:
    sums = known.copy()
    for name, part in more.items():
        sums[name] = MONEY.add(sums[name], part) if name in sums else part
    return sums


def _in_cost_order(parts: dict[str, Decimal]) -> dict[str, Decimal]:
    ordered: dict[str, Decimal] = {name: parts[name] for name in COST_TYPES if name in parts}
    if len(ordered) < len(parts):
        ordered.update(sorted((name, part) for name, part in parts.items() if name not in ordered))
    return ordered


def total(calls: Iterable[Call]) -> Totals:
    """Sum calls; each counts as it is, so pass calls that were already de-duplicated."""
    tally = Tally()
    for call in calls:
        tally.add(call)
    return tally.freeze()
