"""Recording rules: what was spent, exactly, out of counters that restart, are born late and vanish.

`increase()` cannot do that: it never sees the first value of a series, and it extrapolates. The ledger remembers what it has
seen of each counter (`instance:…:seen`) and books the difference to what it sees now:

- a counter that it knew and that did not fall: the difference;
- one that fell, or whose created timestamp moved (a restart, even one that climbed over the old value): all of the new value;
- one seen for the first time and born while the rules were running: all of it, for nothing of it was booked before;
- one seen for the first time that is older than that (a fresh Prometheus): nothing, its spend was not today's;
- one seen for the first time without a created timestamp: nothing but what it grew under our eyes, and
  `CostspanLedgerBlind` says so.

Because what is compared is what was recorded, samples that arrive late (remote write) and missed evaluations lose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costspan import conventions as names
from costspan.generate.thresholds import notation, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.generate.thresholds import Duration, Thresholds

WORKFLOW: Final = ("job", "environment", "workflow")
"""Labels that dollars are kept by: the scraper's, without the single process, and the workflow."""
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_DAYS_KEPT: Final = 26 * HOUR  # two hours more than a day, so that an outage at midnight does not cut yesterday short


@dataclass(frozen=True, slots=True)
class Record:
    """One recording rule: the series' name, its expression, and labels put on it."""

    name: str
    expr: str
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What a ledger reads and what it writes: a counter with matchers, the names recorded, and the labels of the sum."""

    counter: str
    matchers: str
    seen: str
    born: str
    before: str
    delta: str
    by: tuple[str, ...]
    labels: Mapping[str, str] | None = None
    unbooked: str | None = None


WORKFLOW_SPEND: Final = Account(
    names.WORKFLOW_COST_USD,
    "",
    names.INSTANCE_COST_SEEN,
    names.INSTANCE_COST_BORN,
    names.INSTANCE_COST_BEFORE,
    names.WORKFLOW_COST_DELTA,
    WORKFLOW,
    unbooked=names.WORKFLOW_COST_UNBOOKED,
)
RUNS_OK: Final = Account(
    names.RUNS,
    '{outcome="ok"}',
    names.INSTANCE_RUNS_OK_SEEN,
    names.INSTANCE_RUNS_OK_BORN,
    names.INSTANCE_RUNS_OK_BEFORE,
    names.WORKFLOW_RUNS_OK_DELTA,
    WORKFLOW,
)


def created(counter: str) -> str:
    """The series that carries a counter's, or a histogram's, created timestamp."""
    return f"{counter.removesuffix('_total')}_created"


def by(labels: Sequence[str]) -> str:
    """An aggregation's label list."""
    return f"by ({', '.join(labels)})"


def within(amount_seconds: float, interval: str) -> Duration:
    """A range that holds exactly the evaluations of that time: Prometheus 2 includes both ends of a range, 3 does not."""
    return notation(amount_seconds - seconds(interval) / 2)


def clock(knobs: Thresholds) -> list[Record]:
    """When the rules run, and which day it is. A counter born after the earliest of these times was never missed."""
    offset = knobs.calendar.utc_offset_hours
    now = f"vector(time() + {offset * HOUR:g})" if offset else "vector(time())"
    day = f"year({now}) * 10000 + month({now}) * 100 + day_of_month({now})"
    month = f"year({now}) * 100 + month({now})"
    calendar = f'count_values("day", {day})\n  * on () group_left (month) count_values("month", {month})'
    return [Record(names.LEDGER_HEARTBEAT, "vector(time())"), Record(names.LEDGER_CALENDAR, calendar)]


def book(account: Account, knobs: Thresholds) -> list[Record]:
    """The rules that turn counters into dollars (or runs) added since the last evaluation, whenever that was."""
    fresh, lookback, slack = knobs.ledger.fresh, knobs.ledger.lookback, seconds(knobs.ledger.slack)
    own = _selector(account)
    seen, born, before = (f"{series}{own}" for series in (account.seen, account.born, account.before))
    raw = f"{account.counter}{account.matchers}"
    # 1ms back leaves out what this very evaluation recorded.
    born_before = f"last_over_time({born}[{lookback}] offset 1ms)"
    watching = f"scalar(min_over_time({names.LEDGER_HEARTBEAT}[{lookback}])) - {slack:g}"
    delta = f"""sum {by(account.by)} (
  # known, and it did not fall: what it grew
  (
    ({seen} - {before} >= 0)
    unless
    ({born} - {born_before} > 0)
  )
  # known, but it fell or began anew: all of it
  or ({seen} and {before})
  # new to us, and born while we were watching: all of it
  or ({seen} and {born} >= {watching})
  # new to us, and nothing says when it was born: what it grew under our eyes
  or ({seen} - min_over_time({raw}[{fresh}]) unless {born})
)"""
    records = [
        Record(account.seen, f"last_over_time({raw}[{fresh}])", account.labels),
        Record(account.born, f"last_over_time({created(account.counter)}{account.matchers}[{fresh}])", account.labels),
        Record(account.before, f"last_over_time({seen}[{lookback}] offset 1ms)", account.labels),
        Record(account.delta, delta, account.labels),
    ]
    if account.unbooked:
        unseen = f"sum {by(account.by)} (\n  min_over_time({raw}[{fresh}])\n  unless {born}\n  unless {before}\n)"
        records.append(Record(account.unbooked, unseen))
    return records


def windows(level: str, delta: str, labels: tuple[str, ...], knobs: Thresholds, *, own: str = "") -> list[Record]:
    """Burn rates, day, month and forecast of one level (`workflow` or `budget`), all sums over its delta."""
    step = knobs.rules.interval
    rates = [("5m", 12.0, 300.0), ("10m", 6.0, 600.0), ("30m", 2.0, 1800.0), ("6h", 1 / 6, 6 * HOUR), ("1d", 1 / 24, DAY)]
    if level == "budget":
        rates = [rate for rate in rates if rate[0] != "10m"]
    records = [Record(f"{level}:costspan_cost_usd:last1h", f"sum_over_time({delta}{own}[{within(HOUR, step)}])")]
    for window, factor, length in rates:
        scale = f"* {factor:g}" if factor >= 1 else f"/ {1 / factor:g}"
        expr = f"sum_over_time({delta}{own}[{within(length, step)}]) {scale}"
        records.append(Record(f"{level}:costspan_cost_usd_per_hour:avg{window}", expr))
    stamped, day_sum = f"{level}_day:costspan_cost_usd:delta", f"{level}_day:costspan_cost_usd:sum"
    today, month = f"{level}:costspan_cost_usd:today", f"{level}:costspan_cost_usd:month_to_date"
    this_day = f"{day_sum}{own} and on (day) {names.LEDGER_CALENDAR}"
    in_month = f"""sum {by(labels)} (
  (
    ({this_day})
    or max_over_time({day_sum}{own}[31d:1h])
  )
  and on (month) {names.LEDGER_CALENDAR}
)"""
    return [
        *records,
        Record(stamped, f"{delta}{own} * on () group_left (day, month) {names.LEDGER_CALENDAR}"),
        Record(day_sum, f"sum_over_time({stamped}{own}[{within(_DAYS_KEPT, step)}])"),
        Record(today, f"sum {by(labels)} ({this_day})"),
        # A past day's sum only shrinks once its minutes slide out of the range, so its maximum is the whole day.
        Record(month, in_month),
        Record(f"{level}:costspan_cost_usd:month_forecast", _forecast(level, labels, knobs, own)),
    ]


def _forecast(level: str, labels: tuple[str, ...], knobs: Thresholds, own: str) -> str:
    """What the month will have cost if the rest of it goes on like the last day."""
    offset = knobs.calendar.utc_offset_hours
    now = f"vector(time() + {offset * HOUR:g})" if offset else "vector(time())"
    left = f"((days_in_month({now}) - day_of_month({now}) + 1) * 24 - hour({now}) - minute({now}) / 60)"
    month, rate = f"{level}:costspan_cost_usd:month_to_date{own}", f"{level}:costspan_cost_usd_per_hour:avg1d{own}"
    return f"""(
  {month}
    + on ({", ".join(labels)}) {rate} * on () group_left () {left}
)
or {month}"""


def recent(metric: str, labels: Sequence[str], window: str, *, matchers: str = "", fresh: str = "5m") -> str:
    """What counters added within a window, by labels; a series that is new counts from zero. For shares, not for money."""
    now = f"last_over_time({metric}{matchers}[{fresh}])"
    return f"""sum {by(labels)} (
    ({now} - last_over_time({metric}{matchers}[{fresh}] offset {window}) >= 0)
  or
    {now}
)"""


def agents(knobs: Thresholds, *, matchers: str = "", by_labels: Sequence[str] = (*WORKFLOW, "agent")) -> Record:
    """Dollars of the last hour by agent, for the texts of alerts: who spends right now. Not a part of the ledger.

    A series born within the hour counts whole, an older one by its growth; without a created timestamp only growth counts.
    """
    fresh, metric = knobs.ledger.fresh, f"{names.COST_USD}{matchers}"
    now, past = f"last_over_time({metric}[{fresh}])", f"{metric} offset 1h"
    young = f"last_over_time({created(names.COST_USD)}{matchers}[{fresh}]) > time() - {HOUR:g}"
    expr = f"""sum {by(by_labels)} (
    ({now} and {young})
  or
    ({now} - {past} >= 0)
)"""
    return Record(names.AGENT_COST_LAST_HOUR, expr)


def cost_per_run(knobs: Thresholds) -> Record:
    """Dollars of the last day over its successful runs, where there were enough of them."""
    day = within(DAY, knobs.rules.interval)
    cost, runs = f"sum_over_time({names.WORKFLOW_COST_DELTA}[{day}])", f"sum_over_time({names.WORKFLOW_RUNS_OK_DELTA}[{day}])"
    return Record(names.WORKFLOW_COST_PER_RUN, f"{cost} / ({runs} >= {knobs.cost_per_run.floor_runs:g})")


def _selector(account: Account) -> str:
    """Matchers for the series that this account itself recorded."""
    if not account.labels:
        return ""
    return "{" + ", ".join(f'{key}="{value}"' for key, value in account.labels.items()) + "}"
