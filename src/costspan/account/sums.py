"""Spans that tell the sum of others: they count only where those others were never told."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from costspan.account.layer import known_tokens
from costspan.records import CALL, MISSING

if TYPE_CHECKING:
    from costspan.account.tree import Tree
    from costspan.readings import Reading, SpanRecord


def promoted(tree: Tree) -> set[int]:
    """Spans that repeat their children's sum, but have no call beneath them: the only trace of what was spent.

    Of two such sums inside each other the inner one counts, and the outer one too if it leaves out nested sums.
    """
    spans = tree.spans
    if not any(reading is not None and reading.repeats_children for _, reading in spans):
        return set()
    roots = _RootCalls(tree)
    found: set[int] = set()
    has_call: set[int] = set()
    has_sum: set[int] = set()
    for place in reversed(tree.order):
        record, reading = spans[place]
        if reading is not None and place not in has_call:
            if reading.repeats_children:
                summed = place in has_sum and not reading.leaves_out_nested
                if not summed and reading.usage.source != MISSING and not roots.make_up(record, reading):
                    found.add(place)
                    has_sum.add(place)
            elif reading.kind == CALL:
                has_call.add(place)
        parent = tree.parent[place]
        if place in has_call:
            has_call.add(parent)
        if place in has_sum:
            has_sum.add(parent)
    return found


class _RootCalls:
    """Calls that lost their parents: roots of traces of their own, in order of time."""

    def __init__(self, tree: Tree) -> None:
        self._calls: list[tuple[SpanRecord, Reading]] = []
        for place in tree.order:
            record, reading = tree.spans[place]
            if tree.parent[place] < 0 and reading is not None and reading.kind == CALL and not reading.repeats_children:
                self._calls.append((record, reading))
        self._calls.sort(key=lambda call: call[0].start_ns)
        self._starts = [record.start_ns for record, _ in self._calls]

    def make_up(self, record: SpanRecord, reading: Reading) -> bool:
        """Whether those of other traces inside the span's time make up just its input."""
        inside = 0
        for place in range(bisect_left(self._starts, record.start_ns), len(self._calls)):
            root, told = self._calls[place]
            if root.start_ns > record.end_ns:
                break
            if root.end_ns <= record.end_ns and root.trace_id != record.trace_id:
                inside += told.usage.input_tokens or 0
        return inside > 0 and inside == reading.usage.input_tokens


class CallSums:
    """Known tokens of the calls beneath a span, per scope."""

    __slots__ = ("_by_scope",)

    def __init__(self) -> None:
        self._by_scope: dict[str, tuple[int, int, int, str | None]] = {}

    def add(self, scope: str, tokens: tuple[int, int], response_id: str | None) -> None:
        """Count a call."""
        calls, given, made, _ = self._by_scope.get(scope, (0, 0, 0, None))
        self._by_scope[scope] = (calls + 1, given + tokens[0], made + tokens[1], response_id)

    def merge(self, other: CallSums) -> None:
        """Count everything that `other` has."""
        for scope, (calls, given, made, response_id) in other._by_scope.items():
            known = self._by_scope.get(scope, (0, 0, 0, None))
            self._by_scope[scope] = (known[0] + calls, known[1] + given, known[2] + made, response_id)

    def repeated_by(self, scope: str, tokens: tuple[int, int], response_id: str | None) -> bool:
        """Whether a call span above tells just the sum of these: of several calls, or of one of its own emitter.

        (One call of another scope is a layer of the same call, which `fold` deals with.)
        """
        for told_by, (calls, given, made, inner_id) in self._by_scope.items():
            if (given, made) != tokens:
                continue
            if calls > 1 or (told_by == scope and (response_id is None or response_id == inner_id)):
                return True
        return False


def repeated(tree: Tree) -> set[int]:
    """Call spans that turn out to tell nothing but the sum of the calls beneath them, though their emitter did not say so."""
    spans, children = tree.spans, tree.children
    if not any(reading is not None and reading.kind == CALL and place in children for place, (_, reading) in enumerate(spans)):
        return set()
    found: set[int] = set()
    below: dict[int, CallSums] = {}
    for place in reversed(tree.order):
        record, reading = spans[place]
        sums = below.pop(place, None)
        if reading is not None and reading.kind == CALL and not reading.repeats_children:
            tokens = known_tokens(reading)
            if tokens is not None:
                if sums is not None and sums.repeated_by(record.scope, tokens, reading.response_id):
                    found.add(place)
                else:
                    sums = sums or CallSums()
                    sums.add(record.scope, tokens, reading.response_id)
        parent = tree.parent[place]
        if sums is not None and parent >= 0:
            if parent in below:
                below[parent].merge(sums)
            else:
                below[parent] = sums
    return found
