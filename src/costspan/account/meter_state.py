"""The state under `Meters`: all series behind one lock, read as a whole, mirrored if asked, empty again after a fork."""

from __future__ import annotations

import os
import threading
import time
import weakref
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan import conventions as names
from costspan import guard
from costspan.account.meter_specs import SPECS, Spec
from costspan.account.series import Buckets, Caps, Family, Origin, Series, Single
from costspan.records import MONEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from costspan.records import ActiveRun

FORK_WAIT_SECONDS: Final = 1.0
ACTIVE: Final = (
    names.ACTIVE_RUNS,
    names.ACTIVE_RUN_CALLS_MAX,
    names.ACTIVE_RUN_TOKENS_MAX,
    names.ACTIVE_RUN_COST_USD_MAX,
)
_REFRESHED: Final = (*ACTIVE, names.PRICE_TABLE_TIMESTAMP, names.INTERNAL_ERRORS, names.BUILD_INFO)


class Metric(NamedTuple):
    """One metric as it was read: what it is, and copies of its series."""

    spec: Spec
    series: list[Series]


class MeterState:
    """Every metric of `conventions.LABELS`; `meters.Meters` adds the booking and says what the arguments are."""

    def __init__(
        self,
        *,
        version: str = "",
        active_runs: Callable[[], Iterable[ActiveRun]] = tuple,
        price_table_timestamp: Callable[[], float | None] = lambda: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._version = version
        self._active_runs = active_runs
        self._price_table_timestamp = price_table_timestamp
        self._clock = clock
        self.mirror: Callable[[Iterable[Series]], None] | None = None
        """Told, under the lock, which series a booking may have changed (multiprocess mode)."""
        self.on_first: tuple[Callable[[], None], ...] = ()
        """Each called once, at the next call: how an exporter notices that a forked child counts at all."""
        self._errors_before: dict[str, int] = {}
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._caps = Caps()
        self._families = {name: Family(spec, self._caps, self._clock) for name, spec in SPECS.items()}
        self._families[names.BUILD_INFO].single((self._version,)).value = 1

    def collect(self) -> list[Metric]:
        """A copy of every metric that has series, in the order of `SPECS`; gauges of runs in flight are asked now."""
        runs: Sequence[ActiveRun] = ()
        with guard.Guard("meters.active_runs"):
            runs = list(self._active_runs())
        stamp = None
        with guard.Guard("meters.price_table_timestamp"):
            stamp = self._price_table_timestamp()
        with self._lock:
            self._refresh(runs, stamp)
            return [
                Metric(family.spec, [_copy(series) for series in family.series.values()])
                for family in self._families.values()
                if family.series
            ]

    def overflow(self) -> dict[str, int]:
        """How many bookings became `_other`, by the label or the metric that had too many values."""
        with self._lock:
            return dict(self._caps.overflow)

    def runs_in_flight(self) -> list[ActiveRun]:
        """The runs in flight, longest first; what `/debug/runs` shows."""
        with guard.Guard("meters.active_runs"):
            return sorted(self._active_runs(), key=lambda run: run.started_ns)
        return []

    def refresh_gauges(self) -> None:
        """Bring the gauges of runs in flight up to date without reading (multiprocess mode mirrors them)."""
        runs: Sequence[ActiveRun] = ()
        with guard.Guard("meters.active_runs"):
            runs = list(self._active_runs())
        with self._lock:
            self._refresh(runs, None)

    def _refresh(self, runs: Sequence[ActiveRun], price_table_timestamp: float | None) -> None:
        """Gauges and internal errors, which are asked for instead of booked. A workflow at rest stays at 0."""
        for metric in ACTIVE:
            for series in self._families[metric].series.values():
                series.value = 0  # type: ignore[union-attr]  # gauges are Single
        for run in runs:
            labels = (run.workflow,)
            self._families[names.ACTIVE_RUNS].single(labels).value += 1
            for metric, value in zip(ACTIVE[1:], run[4:], strict=True):
                single = self._families[metric].single(labels)
                if value > single.value:
                    single.value = value
        if price_table_timestamp is not None:
            self._families[names.PRICE_TABLE_TIMESTAMP].single(()).value = price_table_timestamp
        for where, count in guard.swallowed().items():
            single = self._families[names.INTERNAL_ERRORS].single((where,))
            single.value = max(0, count - self._errors_before.get(where, 0))
        if self.mirror is not None:
            for metric in _REFRESHED:
                self.mirror(self._families[metric].series.values())

    # --- small steps, all under the lock -------------------------------------------------------------------------

    def _count(self, metric: str, labels: tuple[str | None, ...], amount: int | Decimal, origin: Origin | None) -> None:
        self._add(self._families[metric].single(labels), amount, origin)

    def _add(self, single: Single, amount: int | Decimal, origin: Origin | None) -> None:
        single.value = MONEY.add(single.value, amount) if isinstance(amount, Decimal) else single.value + amount
        single.last = amount
        if origin is not None:
            single.origin = origin
        if self.mirror is not None:
            self.mirror((single,))

    def _observe(self, metric: str, labels: tuple[str | None, ...], value: float, origin: Origin | None) -> None:
        buckets = self._families[metric].buckets(labels)
        buckets.observe(value, origin)
        if self.mirror is not None:
            self.mirror((buckets,))

    def _observe_money(self, metric: str, labels: tuple[str | None, ...], value: Decimal, origin: Origin | None) -> None:
        buckets = self._families[metric].buckets(labels)
        buckets.observe_money(value, MONEY.add(buckets.total, value), origin)
        if self.mirror is not None:
            self.mirror((buckets,))

    # --- mirror and fork -----------------------------------------------------------------------------------------

    def start_mirror(self, mirror: Callable[[Iterable[Series]], None]) -> None:
        """Hand every series to `mirror`, and from now on each one that changes. It runs under the lock: keep it short."""
        with self._lock:
            self.mirror = mirror
            for family in self._families.values():
                mirror(family.series.values())

    def pause(self) -> bool:
        """Before a fork: let a mirror finish writing, for locks of others that it holds would stay locked in the child."""
        return self.mirror is not None and self._lock.acquire(timeout=FORK_WAIT_SECONDS)

    def resume(self) -> None:
        """After a fork, in the parent, when `pause` answered True."""
        self._lock.release()

    def forget(self) -> None:
        """Start again at nothing, in a forked child: a new lock (the old one may be held for ever), empty families."""
        self._errors_before = guard.swallowed()
        self._begin()


def _copy(series: Series) -> Series:
    if isinstance(series, Single):
        single = Single(series.spec, series.labels, series.created_ns)
        single.value, single.last, single.origin = series.value, series.last, series.origin
        return single
    buckets = Buckets(series.spec, series.labels, series.created_ns)
    buckets.total, buckets.counts, buckets.exemplars = series.total, series.counts.copy(), series.exemplars.copy()
    return buckets


_alive: weakref.WeakSet[MeterState] = weakref.WeakSet()
_paused: list[MeterState] = []


def _before_fork() -> None:
    _paused.extend(meters for meters in list(_alive) if meters.pause())


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume()


def _after_fork_in_child() -> None:
    _paused.clear()
    for meters in list(_alive):
        meters.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
