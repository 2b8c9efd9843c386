"""Traces that are not settled yet: their spans as far as they have come, and when each may be settled. Bounded.

A trace is ready when its root has ended and it has been quiet for a moment; one without a root after two quiet minutes (its
root may belong to a program that does not send here), and any after ten minutes, so that a run of hours shows. What comes
later opens it again. Traces that may tell of one call (`intake.kinship`) are settled together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.history.span_store import environment_of, service_of
from costspan.intake.hold import slim
from costspan.intake.kinship import Kinship
from costspan.records import CALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from costspan.readings import Reading, SpanRecord

    Pair = tuple[SpanRecord, Reading | None]

SECOND_NS: Final = 1_000_000_000
LONE_NS: Final = 15 * SECOND_NS
"""A trace of calls alone waits so long for another layer's span, which may come with the next export of its program."""
ROOTLESS_NS: Final = 120 * SECOND_NS
AGE_NS: Final = 600 * SECOND_NS
FAMILY_NS: Final = 20 * SECOND_NS
"""A ready trace waits so long for a relative that is not."""
PAIRS_MAX: Final = 60_000
"""Spans in memory, about 1 kB each; with more, whatever has ended is settled without waiting, then the oldest is let go."""


class OpenTrace:
    """One trace. `whole`: all its spans that this process knows of are in `pairs`; else they are read from disk."""

    __slots__ = ("ended", "environment", "first_ns", "last_ns", "pairs", "scopes", "service", "units", "whole")

    def __init__(self, now_ns: int) -> None:
        self.pairs: list[Pair] = []
        self.first_ns = now_ns
        self.last_ns = now_ns
        self.ended = False
        self.units = False
        self.whole = True
        self.scopes: set[str] = set()
        self.service: str | None = None
        self.environment: str | None = None

    def add(self, record: SpanRecord, reading: Reading | None) -> None:
        """Take one span in; what only `normalise` needed of it is let go."""
        root = not record.parent_id
        if root or self.service is None:
            self.service = service_of(record.resource)
            self.environment = environment_of(record.resource)
        if root and record.end_ns:
            self.ended = True
        if reading is not None:
            if reading.kind == CALL:
                self.scopes.add(record.scope)
            else:
                self.units = True
        slim(record)
        self.pairs.append((record, reading))

    def ready_ns(self, quiet_ns: int, lone_ns: int) -> int:
        """When this trace may be settled if nothing more comes."""
        wait = quiet_ns if self.units or not self.scopes else lone_ns
        return min(self.last_ns + (wait if self.ended else ROOTLESS_NS), self.first_ns + AGE_NS)

    def goes_on(self, now_ns: int) -> bool:
        """Whether more of it is to be expected: it is settled by its age only."""
        return not self.ended and now_ns - self.last_ns < ROOTLESS_NS


class OpenTraces:
    """Not thread-safe: the caller holds a lock."""

    def __init__(self, quiet_ns: int) -> None:
        self._quiet_ns = quiet_ns
        self._scopes: set[str] = set()
        self.traces: dict[int, OpenTrace] = {}
        self.count = 0

    def add(self, pairs: Iterable[Pair], now_ns: int) -> None:
        """Spans that are on disk."""
        traces = self.traces
        for record, reading in pairs:
            trace = traces.get(record.trace_id)
            if trace is None:
                trace = traces[record.trace_id] = OpenTrace(now_ns)
            trace.last_ns = now_ns
            trace.add(record, reading)
            self.count += 1
        if self.count > PAIRS_MAX:
            self._let_go()

    def restore(self, trace_id: int, now_ns: int, *, ended: bool) -> None:
        """A trace that an earlier process left open; its spans are on disk."""
        trace = self.traces[trace_id] = OpenTrace(now_ns)
        trace.whole = False
        trace.ended = ended
        trace.units = True

    def fill(self, trace_id: int, pairs: Sequence[Pair]) -> None:
        """The spans of a trace as they are on disk."""
        trace = self.traces.setdefault(trace_id, OpenTrace(0))
        self.count += len(pairs) - len(trace.pairs)
        service, environment = trace.service, trace.environment
        trace.pairs = []
        for record, reading in pairs:
            trace.add(record, reading)
        trace.service, trace.environment = trace.service or service, trace.environment or environment
        trace.whole = True

    def remove(self, trace_ids: Iterable[int]) -> None:
        """Settled: nothing of these is kept."""
        for trace_id in trace_ids:
            trace = self.traces.pop(trace_id, None)
            if trace is not None:
                self.count -= len(trace.pairs)

    def due(self, now_ns: int) -> list[list[int]]:
        """Families of traces that can be settled now, the oldest first."""
        ready = self._ready(now_ns)
        if not ready:
            return []
        for trace_id in ready:
            self._scopes |= self.traces[trace_id].scopes
        if len(self._scopes) < 2:
            return [[trace_id] for trace_id in ready]
        return [family for family in self._families() if self._settles(family, ready, now_ns)]

    def ended(self) -> list[list[int]]:
        """Families whose every root has ended, ready or not: what is settled when the server stops."""
        return [family for family in self._families() if all(self.traces[trace_id].ended for trace_id in family)]

    def _ready(self, now_ns: int) -> dict[int, int]:
        """When each trace became ready, of those that are."""
        lone_ns = LONE_NS if len(self._scopes) > 1 else self._quiet_ns
        moments = {trace_id: trace.ready_ns(self._quiet_ns, lone_ns) for trace_id, trace in self.traces.items()}
        ready = {trace_id: moment for trace_id, moment in moments.items() if moment <= now_ns}
        surplus = self.count - PAIRS_MAX // 2
        if surplus > 0:
            surplus -= sum(len(self.traces[trace_id].pairs) for trace_id in ready)
            for trace_id, trace in self.traces.items():
                if surplus <= 0:
                    break
                if trace.ended and trace_id not in ready:
                    ready[trace_id] = now_ns
                    surplus -= len(trace.pairs)
        return ready

    def _settles(self, family: Sequence[int], ready: dict[int, int], now_ns: int) -> bool:
        moments = [ready[trace_id] for trace_id in family if trace_id in ready]
        return len(moments) == len(family) or (bool(moments) and now_ns - min(moments) > FAMILY_NS)

    def _families(self) -> list[list[int]]:
        kinship = Kinship()
        for trace in self.traces.values():
            for record, reading in trace.pairs:
                if reading is not None and (reading.kind == CALL or reading.repeats_children):
                    kinship.add(record, reading)
        return list(kinship.families({trace_id: trace.first_ns for trace_id, trace in self.traces.items()}))

    def _let_go(self) -> None:
        """More spans than memory is meant for, of traces that go on and on: their spans are on disk and come back from there."""
        for trace in sorted(self.traces.values(), key=lambda each: each.last_ns):
            if self.count <= PAIRS_MAX * 3 // 4:
                return
            if not trace.ended and trace.pairs:
                self.count -= len(trace.pairs)
                trace.pairs = []
                trace.whole = False
