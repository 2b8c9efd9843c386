"""Two sets of runs side by side: what changed in cost, tokens, calls and time, by agent, model and tool. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from costspan.account.totals import total
from costspan.errors import UsageError
from costspan.records import MONEY, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from costspan.records import Call, Run

MEASURES: Final = ("cost", "tokens", "calls")
"""What a limit can be on."""
KINDS: Final = ("agent", "model", "tool")
"""What is compared line by line. A `tool` line holds the calls made inside the tool."""
UNATTRIBUTED: Final = "(unattributed)"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its label, sums over all its calls, and the same by kind and name."""

    label: str
    runs: int
    totals: Totals
    parts: Mapping[str, Mapping[str, Totals]]
    duration_seconds: float = 0.0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One line: what it is, and its sums before and after; None where it is only on the other side."""

    name: str
    before: Totals | None
    after: Totals | None

    @property
    def cost_usd(self) -> Decimal | None:
        """After less before in dollars; None when either is not known (what is not there is 0)."""
        before, after = _cost(self.before), _cost(self.after)
        return None if before is None or after is None else MONEY.subtract(after, before)

    @property
    def tokens(self) -> int | None:
        """The same in tokens."""
        before, after = _tokens(self.before), _tokens(self.after)
        return None if before is None or after is None else after - before

    @property
    def calls(self) -> int:
        """The same in calls."""
        return (self.after.calls if self.after else 0) - (self.before.calls if self.before else 0)


@dataclass(frozen=True, slots=True)
class Diff:
    """`changes` by kind, the greatest change of cost first. `whole` is the line over everything."""

    before: Side
    after: Side
    whole: Change
    changes: Mapping[str, Sequence[Change]]

    @property
    def partial(self) -> tuple[str, ...]:
        """One line for each side whose figures are not fully measured: its cost is a lower bound."""
        lines = []
        for side in (self.before, self.after):
            share = side.totals.coverage.share
            if share is not None and share < 1:
                lines.append(f"{side.label} is only {100 * share:.0f} % reported and priced, its figures are lower bounds")
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much more the second side may be: a `share` of the first (0.1 is 10 %) or an `amount` of the measure's unit."""

    measure: str
    share: Decimal | None = None
    amount: Decimal | None = None


def side(label: str, runs: Sequence[Run], calls: Iterable[Call] | None = None) -> Side:
    """Sum up runs; `calls` are all calls of the input where some belong to no run."""
    every = list(calls) if calls is not None else [call for run in runs for call in run.calls]
    return Side(
        label=label,
        runs=len(runs),
        totals=total(every),
        parts={kind: _parts(every, name) for kind, name in _NAMES.items()},
        duration_seconds=sum(run.duration_seconds for run in runs),
        steps=sum(len(run.steps) for run in runs),
    )


def diff(before: Side, after: Side) -> Diff:
    """Compare line by line; a line is one name on either side."""
    changes = {}
    for kind in KINDS:
        names = {**before.parts[kind], **after.parts[kind]}
        lines = [Change(name, before.parts[kind].get(name), after.parts[kind].get(name)) for name in names]
        changes[kind] = tuple(sorted(lines, key=_greatest_first))
    return Diff(before, after, Change("total", before.totals, after.totals), changes)


def check_measure(measure: str) -> None:
    """Raises UsageError for a measure that nothing is compared by."""
    if measure not in MEASURES:
        message = f"--on takes {', '.join(MEASURES)}; not {measure!r}"
        raise UsageError(message)


def read_limit(text: str, measure: str) -> Limit:
    """`10%` or `0%` is a share, `$0.05` or `0.05` an amount of the measure. Raises UsageError for anything else."""
    check_measure(measure)
    plain = text.strip().removeprefix("$").removesuffix("%").strip()
    try:
        value = Decimal(plain)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        message = f"--fail-over takes a percentage such as 10% or an amount such as 0.05; not {text!r}"
        raise UsageError(message)
    return Limit(measure, share=value / 100) if text.strip().endswith("%") else Limit(measure, amount=value)


def exceeds(found: Diff, limit: Limit) -> bool | None:
    """Whether the second side is over the limit; None when that cannot be told (no calls, no price, a lower bound)."""
    before, after = (_measured(side.totals, limit.measure) for side in (found.before, found.after))
    if before is None or after is None or not found.before.totals.calls or not found.after.totals.calls:
        return None
    allowed = limit.amount if limit.amount is not None else MONEY.multiply(before, limit.share or Decimal(0))
    over = MONEY.subtract(after, before) > allowed
    gaps = [side.totals.coverage.share not in (None, 1) for side in (found.before, found.after)]
    if limit.measure == "calls" or not any(gaps):
        return over
    # More of what is not known can only add to the second side; it decides only if the first is fully known.
    return True if over and not gaps[0] else None


def _measured(totals: Totals, measure: str) -> Decimal | None:
    if measure == "cost":
        return totals.cost_usd
    count = totals.calls if measure == "calls" else totals.usage.total_tokens
    return None if count is None else Decimal(count)


def _parts(calls: Iterable[Call], name: Callable[[Call], str | None]) -> dict[str, Totals]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        key = name(call)
        if key is not None:
            groups.setdefault(key, []).append(call)
    return {key: total(found) for key, found in groups.items()}


_NAMES: Final[Mapping[str, Callable[[Call], str | None]]] = {
    "agent": lambda call: call.owner.agent or UNATTRIBUTED,
    "model": lambda call: call.model or call.response_model or call.request_model or "(unnamed model)",
    "tool": lambda call: call.owner.tool,
}


def _cost(totals: Totals | None) -> Decimal | None:
    return Decimal(0) if totals is None or not totals.calls else totals.cost_usd


def _tokens(totals: Totals | None) -> int | None:
    return 0 if totals is None or not totals.calls else totals.usage.total_tokens


def _greatest_first(change: Change) -> tuple[bool, Decimal, int, str]:
    cost = change.cost_usd
    return (cost is None, -abs(cost or Decimal(0)), -abs(change.tokens or 0), change.name)
