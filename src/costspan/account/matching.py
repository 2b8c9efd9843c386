"""One-to-one matching of layers of two scopes by their times, in O(n log n).

Both walks are greedy and largest possible: with equal candidates no other choice pairs more of them, so that n calls
told by two layers each stay n calls, however they run in parallel.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Final

from costspan.account.layer import join, overlap

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.account.layer import Layer

    Check = Callable[[Layer, Layer], bool]

_AFTER_ALL: Final = 1 << 62
_TRIES: Final = 64
"""How many candidates are looked at for one layer before it is left alone: keeps hostile input linear."""


def contained(inners: list[Layer], outers: list[Layer], may: Check | None = None) -> None:
    """Join each inner to the tightest outer that contains it, each outer at most once; `may(outer, inner)` has a veto.

    Inners are taken latest first, so that of several attempts inside one outer the last one is joined.
    """
    outers, inners = _still_free(outers, inners), _still_free(inners, outers)
    waiting = sorted(outers, key=lambda layer: (layer.end_ns, -layer.start_ns))
    open_starts: list[tuple[int, int]] = []
    open_layers: dict[tuple[int, int], Layer] = {}
    for inner in sorted(inners, key=lambda layer: (layer.end_ns, layer.start_ns), reverse=True):
        while waiting and waiting[-1].end_ns >= inner.end_ns:
            outer = waiting.pop()
            key = (outer.start_ns, len(waiting))
            insort(open_starts, key)
            open_layers[key] = outer
        found = _tightest(inner, open_starts, open_layers, may)
        if found is not None:
            del open_layers[open_starts.pop(found)]


def _still_free(layers: list[Layer], others: list[Layer]) -> list[Layer]:
    """Those whose call has no span of the other side's scope yet; each side is of one scope."""
    if not others:
        return []
    scope = others[0].scope
    return [layer for layer in layers if scope not in layer.cluster.scopes]


def _tightest(inner: Layer, starts: list[tuple[int, int]], layers: dict[tuple[int, int], Layer], may: Check | None) -> int | None:
    place = bisect_right(starts, (inner.start_ns, _AFTER_ALL)) - 1
    for candidate in range(place, max(-1, place - _TRIES), -1):
        outer = layers[starts[candidate]]
        if (may is None or may(outer, inner)) and join(outer, inner):
            return candidate
    return None


def overlapping(ones: list[Layer], others: list[Layer], may: Check | None = None) -> None:
    """Join layers that overlap in time, one to one, those that end first with those that end next."""
    sides = (_still_free(ones, others), _still_free(others, ones))
    events = [(layer.start_ns, 0, order, side, layer) for side in (0, 1) for order, layer in enumerate(sides[side])]
    events += [(layer.end_ns, 1, order, side, layer) for side in (0, 1) for order, layer in enumerate(sides[side])]
    events.sort(key=lambda event: event[:4])
    active: tuple[list[tuple[int, int, Layer]], list[tuple[int, int, Layer]]] = ([], [])
    done: set[int] = set()
    for _, ends, order, side, layer in events:
        if not ends:
            heapq.heappush(active[side], (layer.end_ns, order, layer))
        elif id(layer) not in done:
            partner = _next_to_end(layer, active[1 - side], done, may)
            done.add(id(layer))
            if partner is not None:
                done.add(id(partner))


def _next_to_end(layer: Layer, active: list[tuple[int, int, Layer]], done: set[int], may: Check | None) -> Layer | None:
    put_back: list[tuple[int, int, Layer]] = []
    found = None
    while active and len(put_back) < _TRIES:
        entry = heapq.heappop(active)
        other = entry[2]
        if id(other) in done:
            continue
        put_back.append(entry)
        if overlap(layer, other) and (may is None or may(layer, other)) and join(layer, other):
            found = other
            put_back.pop()
            break
    for entry in put_back:
        heapq.heappush(active, entry)
    return found
