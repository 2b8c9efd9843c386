"""De-duplication in a living process: the rules of `fold`, applied as soon as nothing can change the answer any more.

A call is settled at once while only one scope tells of calls. With more, it waits until every call span that was open when
it ended has ended too (whatever is to come later cannot overlap it), or its run has ended, or 15 seconds have gone by.
Counting at first sight would give the call to nobody: the inner span ends first, and often sits in another trace.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.account.cachehit import CacheHits
from costspan.account.fold import clusters, outermost_first
from costspan.account.layer import Layer, known_tokens
from costspan.account.merged import merged
from costspan.account.sums import CallSums
from costspan.conventions import SCOPE
from costspan.records import CALL, MISSING, Duplicate, span_hex, trace_hex

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.account.layer import Cluster
    from costspan.readings import Reading, SpanRecord

WAIT_NS: Final = 15_000_000_000
"""How long a call waits for spans that are still open."""
OPEN_MAX: Final = 10_000
"""Open spans that are tracked; the oldest are forgotten first, as spans that will never end."""
PENDING_MAX: Final = 10_000
"""Calls that wait at the same time; beyond it all of them are settled with what is known."""
BOOKED_MAX: Final = 1_000
"""Calls that had to be settled early and are remembered, so that a late span of theirs is not counted again."""
_LAZY: Final = 8
"""Settling looks at all waiting calls, so it is done for at least one in eight of them at a time."""


class Folded(NamedTuple):
    """One settled call. `record` is the outermost span, `reading` the merged meaning of `spans`, all that told of it, from the
    outermost inwards.

    `already_booked`: the call was settled before for want of time, and only the `duplicates` are news: count no call.
    """

    record: SpanRecord
    reading: Reading
    cache_hit: bool
    spans: tuple[tuple[SpanRecord, Reading], ...]
    duplicates: tuple[Duplicate, ...]
    already_booked: bool = False


class _Open:
    """A span between its start and its end. `barrier`: an agent, tool, step or run, beyond which calls are different ones."""

    __slots__ = ("barrier", "has_call", "has_child", "has_sum", "layer", "number", "parent", "sums")

    def __init__(self, number: int, parent: _Open | None, *, barrier: bool) -> None:
        self.number = number
        self.parent = parent
        self.barrier = barrier
        self.has_call = False
        self.has_child = False
        self.has_sum = False
        self.sums: CallSums | None = None
        self.layer: Layer | None = None


class _Waiting:
    """A call that has ended. `number` tells which spans were open then: those with a smaller one that have not ended."""

    __slots__ = ("due_ns", "looked_at", "number", "reading", "record", "report_due", "span")

    def __init__(self, record: SpanRecord, reading: Reading, span: _Open, number: int) -> None:
        self.record = record
        self.reading = reading
        self.span = span
        self.number = number
        self.due_ns = record.end_ns + WAIT_NS
        self.looked_at = False
        # A span without usage may be followed by a report of it from the same scope (see evidence 1 of `fold`).
        self.report_due = reading.usage.source == MISSING and reading.outcome == "ok" and record.scope != SCOPE


class _Booked:
    """A call that was settled, kept for as long as a late span of it may come."""

    __slots__ = ("ended_ns", "keep_until_ns", "members", "number")

    def __init__(self, members: list[_Waiting]) -> None:
        self.members = members
        self.ended_ns = max(waiting.record.end_ns for waiting in members)
        self.number = max(waiting.number for waiting in members)
        self.keep_until_ns = max((waiting.due_ns for waiting in members if waiting.report_due), default=0)


class Folder:
    """Takes spans of models, agents and tools as they start and end; answers with calls, each once.

    Not thread-safe: the caller holds one lock around every method. Memory is bounded by the constants of this module.
    """

    def __init__(self) -> None:
        self._scopes: set[str] = set()
        self._spans: OrderedDict[tuple[int, int], _Open] = OrderedDict()
        self._open_calls: OrderedDict[int, _Open] = OrderedDict()
        self._blocking: OrderedDict[int, _Open] = OrderedDict()
        self._pending: OrderedDict[int, _Waiting] = OrderedDict()
        self._booked: deque[_Booked] = deque()
        self._hits = CacheHits()
        self._number = 0

    @property
    def waiting(self) -> int:
        """Calls that have ended and are not settled yet."""
        return len(self._pending)

    # --- what happens ---------------------------------------------------------------------------------
    def started(self, record: SpanRecord, reading: Reading | None, *, may_be_call: bool = True) -> None:
        """A span has started; `reading` is None as long as its kind cannot be told.

        `may_be_call=False` marks a span that is certainly none (an HTTP client's, a database's): it only links others.
        """
        parent = self._spans.get((record.trace_id, record.parent_id)) if record.parent_id else None
        if parent is not None:
            parent.has_child = True
        self._number += 1
        barrier = reading is not None and reading.kind != CALL
        span = _Open(self._number, parent, barrier=barrier)
        self._spans[record.trace_id, record.span_id] = span
        if may_be_call and not barrier:
            # Also while its kind cannot be told: what looks like a chain now may turn out to be the outer layer of a call.
            self._scopes.add(record.scope)
            self._open_calls[span.number] = self._blocking[span.number] = span
        if len(self._spans) > OPEN_MAX:
            self._close(next(iter(self._spans)))

    def ended(self, record: SpanRecord, reading: Reading | None) -> list[Folded]:
        """A span has ended, with its final reading (None: it tells nothing). Answers with the calls that this settles."""
        settled = self._ended(self._close((record.trace_id, record.span_id)), record, reading)
        if self._booked:
            self._forget_booked(record.end_ns)
        return settled

    def _ended(self, span: _Open, record: SpanRecord, reading: Reading | None) -> list[Folded]:
        if reading is None or not _is_call(record, reading, span):
            _pass_on(span)
            span.barrier = reading is not None and reading.kind != CALL
            return self._settle() if self._pending else []
        _mark_above(span, is_sum=reading.repeats_children)
        _add_up(span, record, reading)
        self._scopes.add(record.scope)
        waiting = _Waiting(record, reading, span, self._number)
        if len(self._scopes) == 1 and not self._pending and not waiting.report_due:
            return [self._alone(waiting)]
        self._pending[id(waiting)] = waiting
        if len(self._pending) > PENDING_MAX:
            return self.flush()
        return [*self.expire(record.end_ns), *self._settle()]

    def expire(self, now_ns: int) -> list[Folded]:
        """Settle what has waited for 15 seconds at `now_ns` (nanoseconds since the epoch)."""
        first = next(iter(self._pending.values()), None)
        if first is None or first.due_ns > now_ns:
            return []
        late = {key for key, waiting in self._pending.items() if waiting.due_ns <= now_ns}
        newest = max(self._pending[key].number for key in late)
        # What kept a call waiting for so long may never end: it keeps nobody waiting any more.
        while self._blocking and next(iter(self._blocking)) <= newest:
            self._blocking.popitem(last=False)
        return self._emit(lambda waiting: id(waiting) in late)

    def run_ended(self, trace_id: int) -> list[Folded]:
        """A run has ended: settle its calls, that is all with a span in its trace."""
        if not any(waiting.record.trace_id == trace_id for waiting in self._pending.values()):
            return []
        return self._emit(lambda waiting: waiting.record.trace_id == trace_id, any_member=True)

    def flush(self) -> list[Folded]:
        """Settle everything with what is known."""
        return self._emit(lambda _: True) if self._pending else []

    # --- how it is settled ------------------------------------------------------------------------------
    def _close(self, key: tuple[int, int]) -> _Open:
        span = self._spans.pop(key, None)
        if span is None:
            return _Open(0, None, barrier=False)
        self._open_calls.pop(span.number, None)
        self._blocking.pop(span.number, None)
        return span

    def _forget_booked(self, now_ns: int) -> None:
        """Drop booked calls that no span can join any more."""
        booked = self._booked
        oldest = min(
            next(iter(self._open_calls), self._number + 1),
            min((waiting.span.number for waiting in self._pending.values()), default=self._number + 1),
        )
        while booked and (len(booked) > BOOKED_MAX or (booked[0].number < oldest and booked[0].keep_until_ns <= now_ns)):
            booked.popleft()

    def _alone(self, waiting: _Waiting) -> Folded:
        layer = self._layer(waiting, 0)
        return self._folded([layer], [waiting], already_booked=False)

    def _settle(self) -> list[Folded]:
        """Settle what no open span can join any more."""
        oldest = next(iter(self._blocking), self._number + 1)
        ready = 0
        for waiting in self._pending.values():
            if waiting.number >= oldest:
                break
            ready += not waiting.looked_at
        if not ready or (self._blocking and ready * _LAZY < len(self._pending)):
            return []
        return self._emit(lambda waiting: waiting.number < oldest, may_wait=True)

    def _emit(self, ready: Callable[[_Waiting], bool], *, any_member: bool = False, may_wait: bool = False) -> list[Folded]:
        reachable = self._reachable()
        everything = [waiting for booked in reachable for waiting in booked.members]
        known = len(everything)
        everything += self._pending.values()
        layers = [self._layer(waiting, place) for place, waiting in enumerate(everything)]
        for waiting, layer in zip(everything, layers, strict=True):
            waiting.span.layer = layer
        for waiting, layer in zip(everything, layers, strict=True):
            layer.above = _layer_above(waiting.span)
        _rejoin(reachable, layers)
        settled = []
        for cluster in clusters(layers):
            fresh = [everything[layer.place] for layer in cluster.layers if layer.place >= known]
            if not fresh or not (any if any_member else all)(map(ready, fresh)):
                continue
            for waiting in fresh:
                waiting.looked_at = True
            if not (may_wait and len(cluster.layers) == 1 and fresh[0].report_due):
                settled.append(self._book(cluster, everything, fresh))
        for waiting in everything:
            waiting.span.layer = None
        return settled

    def _reachable(self) -> list[_Booked]:
        """Settled calls that a waiting one may be a late span of."""
        if not self._booked:
            return []
        began = min((waiting.record.start_ns for waiting in self._pending.values()), default=0)
        reports = any(waiting.reading.ends_stream for waiting in self._pending.values())
        return [booked for booked in self._booked if booked.ended_ns >= began or (reports and booked.keep_until_ns)]

    def _book(self, cluster: Cluster, everything: list[_Waiting], fresh: list[_Waiting]) -> Folded:
        layers = outermost_first(cluster)
        members = [everything[layer.place] for layer in layers]
        already = len(fresh) < len(members)
        for waiting in fresh:
            self._pending.pop(id(waiting), None)
        booked = _Booked(members)
        if already:
            for before in [each for each in self._booked if each.members[0] in members]:
                self._booked.remove(before)
        if booked.keep_until_ns or booked.number >= next(iter(self._open_calls), self._number + 1):
            self._booked.append(booked)
        return self._folded(layers, members, already_booked=already, news=fresh)

    def _folded(
        self, layers: list[Layer], members: list[_Waiting], *, already_booked: bool, news: list[_Waiting] | None = None
    ) -> Folded:
        reading = merged(layers)
        hit = not already_booked and self._hits.seen(layers, reading)
        if hit and not reading.cache_hit:
            reading = self._hits.marked(reading)
        spans = tuple((waiting.record, waiting.reading) for waiting in members)
        told = (news or []) if already_booked else members[1:]
        duplicates = tuple(
            Duplicate(
                span_hex(waiting.record.span_id), trace_hex(waiting.record.trace_id), waiting.record.scope, waiting.reading.usage
            )
            for waiting in told
        )
        return Folded(layers[0].record, reading, hit, spans, duplicates, already_booked)

    @staticmethod
    def _layer(waiting: _Waiting, place: int) -> Layer:
        layer = Layer(waiting.record, waiting.reading, place)
        layer.lone = not waiting.span.has_child
        return layer


def _rejoin(booked: list[_Booked], layers: list[Layer]) -> None:
    """What was settled as one call stays one call; the layers of `booked` come first, in its order."""
    place = 0
    for each in booked:
        first = layers[place]
        for layer in layers[place + 1 : place + len(each.members)]:
            first.cluster.absorb(layer.cluster)
        place += len(each.members)


def _mark_above(span: _Open, *, is_sum: bool) -> None:
    at = span.parent
    while at is not None and not (at.has_sum if is_sum else at.has_call):
        if is_sum:
            at.has_sum = True
        else:
            at.has_call = True
        at = at.parent


def _add_up(span: _Open, record: SpanRecord, reading: Reading) -> None:
    tokens = known_tokens(reading)
    if tokens is not None and span.parent is not None:
        span.sums = span.sums or CallSums()
        span.sums.add(record.scope, tokens, reading.response_id)
    _pass_on(span)


def _pass_on(span: _Open) -> None:
    """What a span saw beneath it, its parent has beneath it too."""
    parent, sums, span.sums = span.parent, span.sums, None
    if parent is None or sums is None:
        return
    if parent.sums is None:
        parent.sums = sums
    else:
        parent.sums.merge(sums)


def _is_call(record: SpanRecord, reading: Reading, span: _Open) -> bool:
    """A span that repeats its children's sum is a call only where no call was seen beneath it (see `sums`)."""
    if reading.repeats_children:
        summed = span.has_sum and not reading.leaves_out_nested
        return reading.usage.source != MISSING and not span.has_call and not summed
    if reading.kind != CALL or span.sums is None:
        return reading.kind == CALL
    tokens = known_tokens(reading)
    return tokens is None or not span.sums.repeated_by(record.scope, tokens, reading.response_id)


def _layer_above(span: _Open) -> Layer | None:
    at = span.parent
    while at is not None and at.layer is None:
        if at.barrier:
            return None
        at = at.parent
    return None if at is None else at.layer
