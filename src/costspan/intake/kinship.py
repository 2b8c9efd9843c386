"""Which traces must be assembled together, because spans of theirs may tell of one and the same call.

The rules are wider than those of `account.fold`, which then decides: joining two traces too many only makes a batch larger,
leaving two apart could count a call twice. Numbers only are kept, about 100 bytes for a call.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from costspan.readings import Reading, SpanRecord

_FOREVER: Final = 1 << 63
_UNKNOWN: Final = (None, None)
_REPEATS_MAX: Final = 32
_CACHE_WINDOW_NS: Final = 3_600_000_000_000


class _Told(NamedTuple):
    """A span that tells of tokens. `tokens` is a hash of the counts, 0 where there are none."""

    start_ns: int
    end_ns: int
    trace_id: int
    scope: int
    tokens: int
    response: int
    sums: bool
    root: bool


_told = partial(tuple.__new__, _Told)  # half the time of calling the class


class Kinship:
    """Collects what calls have in common, and says which traces form a family."""

    def __init__(self) -> None:
        self._told: list[_Told] = []
        self._scopes: dict[str, int] = {}
        self._parent: dict[int, int] = {}

    def add(self, record: SpanRecord, reading: Reading) -> None:
        """Note a span that tells of tokens: a call, or a sum of its children's."""
        usage = reading.usage
        tokens = (usage.input_tokens, usage.output_tokens)
        start, end = record.start_ns, record.end_ns
        self._told.append(
            _told(
                (
                    start,
                    max(start, end) if end else _FOREVER,
                    record.trace_id,
                    self._scopes.setdefault(record.scope, len(self._scopes)),
                    hash(tokens) or 1 if tokens != _UNKNOWN else 0,
                    hash(reading.response_id) if reading.response_id else 0,
                    reading.repeats_children,
                    not record.parent_id,
                )
            )
        )

    def families(self, started: Mapping[int, int]) -> Iterator[list[int]]:
        """All these traces (id -> when it started), each in one family, the families in order of their first span."""
        told = sorted(self._told)
        self._told = []
        ids = [one.response for one in told if one.response]
        if len(set(ids)) < len(ids):
            self._by_response(told)
        if len(self._scopes) > 1:
            self._by_overlap([one for one in told if one.tokens and not one.sums], attrgetter("tokens"))
            self._by_overlap([one for one in told if one.response], attrgetter("response"))
            self._wild(told)
        members: dict[int, list[int]] = {}
        for trace_id in sorted(started, key=lambda each: (started[each], each)):
            members.setdefault(self._root(trace_id), []).append(trace_id)
        yield from members.values()

    def _by_response(self, told: list[_Told]) -> None:
        """A framework's cache hands an answer out again within the hour; an id that comes too often is none."""
        last: dict[tuple[int, int], tuple[_Told, int]] = {}
        for one in told:
            if not one.response:
                continue
            key = (one.scope, one.response)
            before, times = last.get(key, (one, 0))
            if times < _REPEATS_MAX and one.start_ns - before.end_ns <= _CACHE_WINDOW_NS:
                self._join(before.trace_id, one.trace_id)
            last[key] = (one, times + 1)

    def _by_overlap(self, told: list[_Told], key_of: Callable[[_Told], Hashable]) -> None:
        active: dict[Hashable, list[_Told]] = {}
        for one in told:
            key = key_of(one)
            still = [other for other in active.get(key, ()) if other.end_ns >= one.start_ns]
            for other in still:
                if other.scope != one.scope and other.trace_id != one.trace_id:
                    self._join(other.trace_id, one.trace_id)
            still.append(one)
            active[key] = still

    def _wild(self, told: list[_Told]) -> None:
        """What has no tokens may go with anything at the same time; a sum with calls that have no parent."""
        active: list[_Told] = []
        if all(one.tokens and not one.sums for one in told):
            return
        for one in told:
            active = [other for other in active if other.end_ns >= one.start_ns]
            for other in active:
                if other.scope == one.scope or other.trace_id == one.trace_id:
                    continue
                if _wild_pair(one, other) or _wild_pair(other, one):
                    self._join(other.trace_id, one.trace_id)
            active.append(one)

    def _root(self, trace_id: int) -> int:
        parent = self._parent
        while (above := parent.get(trace_id, trace_id)) != trace_id:
            parent[trace_id] = parent.get(above, above)
            trace_id = above
        return trace_id

    def _join(self, one: int, other: int) -> None:
        first, second = self._root(one), self._root(other)
        if first != second:
            self._parent[max(first, second)] = min(first, second)


def _wild_pair(wild: _Told, other: _Told) -> bool:
    return (not wild.tokens and not other.sums) or (wild.sums and other.root)
