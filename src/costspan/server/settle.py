"""From stored spans to booked runs: normalised spans -> de-duplicated, priced, owned -> history, metrics, forwarding."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan import guard
from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.account.cachehit import CacheHits
from costspan.history.books import Entry
from costspan.records import RUN
from costspan.server.going import with_stand_ins
from costspan.server.lone import lone_runs
from costspan.server.metering import Metering, tool_spans
from costspan.server.traces import OpenTraces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from costspan.account.assemble import Assembled
    from costspan.account.meters import Meters
    from costspan.history.store import Store
    from costspan.price.book import PriceBook
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call, Owner, Run

    Pair = tuple[SpanRecord, Reading | None]
    Told = Callable[[Iterable[Call], Iterable[int]], None]

BATCH_SPANS: Final = 4_000
"""Spans that are assembled and booked in one go; receivers wait no longer than that takes."""
RESTORED_MAX: Final = 50_000
LIVE_MAX: Final = 50
LIVE_SPANS_MAX: Final = 5_000
LIVE_SECONDS: Final = 1.0


class _Batch(NamedTuple):
    """Families that are settled together. `before`: span ids of calls that were booked for them earlier."""

    families: list[list[int]]
    pairs: list[Pair]
    before: set[int]


class Settler:
    """One thread adds spans and settles; any thread may ask for what is live.

    `told` is called after each booking with the calls and trace ids that it settled (forwarding).
    """

    def __init__(
        self, store: Store, book: PriceBook, meters: Meters, *, quiet_seconds: float = 3.0, told: Told | None = None
    ) -> None:  # fmt: skip
        self._store = store
        self._book = book
        self._meters = meters
        self._metering = Metering(meters)
        self._told = told
        self._open = OpenTraces(int(quiet_seconds * 1e9))
        self._lock = threading.Lock()
        self._hits = CacheHits()
        self._waiting: list[list[int]] = []
        self._live: tuple[float, tuple[Run, ...]] = (float("-inf"), ())
        self._now_ns = 0
        self.settled_runs = 0
        self.settled_spans = 0

    @property
    def open_spans(self) -> int:
        """Spans in memory of traces that are not settled."""
        return self._open.count

    @property
    def open_count(self) -> int:
        """Traces that are not settled."""
        return len(self._open.traces)

    def restore(self, now_ns: int) -> int:
        """Take up the traces that the last process left open; how many there were."""
        found = self._store.open_traces(RESTORED_MAX)
        with self._lock:
            for trace_id, ended in found:
                self._open.restore(trace_id, now_ns, ended=ended)
        return len(found)

    def add(self, pairs: Sequence[Pair], now_ns: int) -> None:
        """Spans that are on disk."""
        for _, reading in pairs:
            if reading is not None and reading.kind == RUN and not reading.metered:
                self._meters.known(workflow=reading.workflow or reading.name)
        with self._lock:
            self._open.add(pairs, now_ns)

    def tick(self, now_ns: int) -> bool:
        """Settle what is due, one batch of it; True when more is waiting. Raises HistoryError, and then tries again next time."""
        self._now_ns = now_ns
        if not self._waiting:
            with self._lock:
                self._waiting = self._open.due(now_ns)
        return self._next()

    def stop(self) -> None:
        """Settle everything whose root has ended; the rest stays open on disk for the next process."""
        with self._lock:
            self._waiting = self._open.ended()
        while self._next():
            pass

    def _next(self) -> bool:
        families: list[list[int]] = []
        size = 0
        while self._waiting and size < BATCH_SPANS:
            families.append(self._waiting.pop())
            size += sum(len(trace.pairs) for one in families[-1] if (trace := self._open.traces.get(one)) is not None)
        if families:
            self._settle(self._batch(families))
        return bool(self._waiting)

    def _batch(self, families: list[list[int]]) -> _Batch:
        """All spans of these families. Where more is on disk than here (late spans, a restart, another process), from there."""
        open_traces = self._open.traces
        here = {
            one: len(open_traces[one].pairs) if open_traces[one].whole else -1
            for family in families
            for one in family
            if one in open_traces
        }
        again = self._store.incomplete(here)
        before: set[int] = set()
        if again:
            before = self._store.booked_spans(again)
            for family in families:
                for one in [each for each in family if each in again]:
                    family += [other for other in self._store.relatives(one) if other not in family]
                    self._fill(family)
        pairs = [pair for family in families for one in family if one in open_traces for pair in open_traces[one].pairs]
        return _Batch(families, pairs, before)

    def _fill(self, family: Sequence[int]) -> None:
        for one in family:
            pairs = self._store.load((one,))
            with self._lock:
                self._open.fill(one, pairs)

    def _make(self, record: SpanRecord, reading: Reading, owner: Owner) -> Call:
        return make_call(record, reading, owner, self._book)

    def _settle(self, batch: _Batch) -> None:
        found = assemble(batch.pairs, make=self._make, hits=self._hits)
        lone = lone_runs(found.lone_calls)
        leads = _leads(batch.families, found, lone)
        entries = [(leads[_trace(run)], self._entry(run)) for run in found.runs]
        entries += [(leads[_trace(run)], self._entry(run, lone=True)) for run in lone]
        clusters: dict[int, list[int]] = {}
        for trace_id, lead in leads.items():
            clusters.setdefault(lead, []).append(trace_id)
        self._store.settle(entries, clusters)
        open_traces = self._open.traces
        unfinished = {one for one in leads if one in open_traces and open_traces[one].goes_on(self._now_ns)}
        with self._lock:
            self._open.remove(leads)
        self.settled_runs += len(found.runs)
        self.settled_spans += len(batch.pairs)
        with guard.Guard("server.metering"):
            self._meter(found, batch, unfinished)
        if self._told is not None:
            with guard.Guard("server.told"):
                self._told([call for _, entry in entries for call in entry.run.calls], leads)

    def _entry(self, run: Run, *, lone: bool = False) -> Entry:
        trace = self._open.traces.get(_trace(run))
        service, environment = (trace.service, trace.environment) if trace is not None else (None, None)
        return Entry(run, service, environment, lone=lone)

    def _meter(self, found: Assembled, batch: _Batch, unfinished: set[int]) -> None:
        metering = self._metering
        executions = tool_spans(batch.pairs)
        for run in found.runs:
            metering.calls(run.calls, batch.before)
            if _trace(run) not in unfinished:
                metering.run(run, executions)
        metering.calls(found.lone_calls, batch.before)

    def preview(self, trace_ids: Iterable[int]) -> list[Call]:
        """The calls of traces that are not settled, from the spans that have come so far."""
        with self._lock:
            traces = self._open.traces
            pairs = [pair for one in trace_ids if one in traces for pair in traces[one].pairs]
        found = assemble(pairs, make=self._make)
        return [*(call for run in found.runs for call in run.calls), *found.lone_calls]

    # --- what is going on now ----------------------------------------------------------------------------
    def live_runs(self) -> tuple[Run, ...]:
        """Runs whose trace is not settled, from the spans that have come so far, the newest first."""
        made, runs = self._live
        if time.monotonic() - made < LIVE_SECONDS:
            return runs
        with self._lock:
            traces = [
                list(trace.pairs)
                for trace in reversed(self._open.traces.values())
                if trace.units and 0 < len(trace.pairs) <= LIVE_SPANS_MAX
            ][:LIVE_MAX]
        found: list[Run] = []
        for pairs in traces:
            with guard.Guard("server.live"):
                found += assemble(with_stand_ins(pairs), make=self._make).runs
        runs = tuple(sorted(found, key=lambda run: -run.started_ns)[:LIVE_MAX])
        self._live = (time.monotonic(), runs)
        return runs


def _trace(run: Run) -> int:
    return int(run.trace_ids[0], 16)


def _leads(families: list[list[int]], found: Assembled, lone: list[Run]) -> dict[int, int]:
    """For each trace the one that leads its cluster: the traces that one run, or one call, was told of in."""
    above: dict[int, int] = {}

    def lead(one: int) -> int:
        while (higher := above.get(one, one)) != one:
            one = higher
        return one

    for run in (*found.runs, *lone):
        traces = [int(trace_id, 16) for trace_id in run.trace_ids]
        for other in traces[1:]:
            first, second = sorted((lead(traces[0]), lead(other)))
            if first != second:
                above[second] = first
    return {one: lead(one) for family in families for one in family}
