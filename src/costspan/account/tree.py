"""Parent links of a set of spans: any order, cycles cut, repeated spans dropped, missing parents noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costspan.readings import Reading, SpanRecord

    Spans = Sequence[tuple[SpanRecord, Reading | None]]


class Tree:
    """Where each span hangs. `parent[i]` is the index of span i's parent, or -1 for a root.

    `order` lists indexes so that a parent comes before its children, and siblings in time. A span that was delivered
    twice (same trace and span id) is in `repeated` and not in `order`. `missing` counts spans whose parent is not here,
    `cycles` the links that were cut because they led back to the span itself.
    """

    __slots__ = ("children", "cycles", "missing", "order", "parent", "repeated", "spans")

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.parent = [-1] * len(spans)
        self.repeated: set[int] = set()
        self.missing = 0
        self.cycles = 0
        index = self._index()
        self._link(index)
        self.children: dict[int, list[int]] = {}
        self.order = self._in_order()

    def _index(self) -> dict[tuple[int, int], int]:
        index: dict[tuple[int, int], int] = {}
        for place, (record, _) in enumerate(self.spans):
            key = (record.trace_id, record.span_id)
            first = index.setdefault(key, place)
            if first != place:
                dropped, index[key] = _fuller(self.spans, first, place)
                self.repeated.add(dropped)
        return index

    def _link(self, index: dict[tuple[int, int], int]) -> None:
        parent = self.parent
        for place, (record, _) in enumerate(self.spans):
            if record.parent_id:
                above = index.get((record.trace_id, record.parent_id), -1)
                if above >= 0:
                    parent[place] = above
                elif place not in self.repeated:
                    self.missing += 1

    def _in_order(self) -> list[int]:
        spans, parent, children = self.spans, self.parent, self.children
        by_time = sorted(range(len(spans)), key=lambda place: (spans[place][0].start_ns, spans[place][0].span_id))
        if self.repeated:
            by_time = [place for place in by_time if place not in self.repeated]
        order = []
        for place in by_time:
            above = parent[place]
            if above < 0:
                order.append(place)
            else:
                children.setdefault(above, []).append(place)
        self._spread(order, 0)
        if len(order) < len(by_time):
            self._cut_cycles(by_time, order)
        return order

    def _spread(self, order: list[int], reached: int) -> None:
        children = self.children
        while reached < len(order):
            beneath = children.get(order[reached])
            if beneath:
                order.extend(beneath)
            reached += 1

    def _cut_cycles(self, by_time: list[int], order: list[int]) -> None:
        """What no root reaches hangs in a cycle: its earliest span becomes a root."""
        seen = set(order)
        for place in by_time:
            if place in seen:
                continue
            self.cycles += 1
            self.children[self.parent[place]].remove(place)
            self.parent[place] = -1
            reached = len(order)
            order.append(place)
            self._spread(order, reached)
            seen.update(order[reached:])


def _fuller(spans: Spans, first: int, second: int) -> tuple[int, int]:
    """Of two deliveries of one span: (the one to drop, the one to keep). An ended, longer one wins, else the first."""
    one, other = spans[first][0], spans[second][0]
    if (bool(other.end_ns), len(other.attributes)) > (bool(one.end_ns), len(one.attributes)):
        return first, second
    return second, first
