"""One call, one price: finds the spans that tell of the same model call, in a finished set of spans.

The evidence, strongest first (measured on the traces of the common instrumentations):

1. a log line that tells a stream's usage belongs to the call of its own scope and parent before it, which has none;
2. a call span that encloses another by parent links: the same response id, or equal tokens, or one of them has none;
3. the same response id, overlapping in time, in any trace;
4. equal tokens where at least one has no id: contained in time (tightest first), then overlapping, in any trace;
5. one of them has no tokens and at most one an id: contained in time, models not at odds.

Always of different scopes, at most one span per scope in a call, never two different ids. So n identical parallel calls stay
n, an id alone proves nothing, and a retry's failed attempts stay calls of their own beside the one that was billed.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.account.cachehit import CacheHits
from costspan.account.layer import Layer, join, may_enclose, overlap, same_model
from costspan.account.matching import contained, overlapping
from costspan.account.merged import merged
from costspan.account.sums import promoted, repeated
from costspan.account.tree import Tree
from costspan.records import CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from costspan.account.layer import Cluster
    from costspan.readings import Reading, SpanRecord

_CLIMB: Final = 8
"""How many enclosing call spans are looked at: real stacks have two or three."""


class Group(NamedTuple):
    """One call and the spans that told of it.

    `kept` is the index of the outermost span, whose timing and owner count; `members` all of them, outermost first.
    `reading` is the kept span's, completed by the richest usage of all. `cache_hit`: it cost nothing.
    """

    kept: int
    members: tuple[int, ...]
    cache_hit: bool
    reading: Reading


def fold(
    spans: Sequence[tuple[SpanRecord, Reading | None]], tree: Tree | None = None, hits: CacheHits | None = None
) -> list[Group]:
    """Group the model calls of `spans` into calls, in order of time; readings of other kinds only give parent links.

    A reading that repeats its children's sum counts only where no call lies beneath it. A span delivered twice counts once.
    `hits` remembers answers from one set of spans to the next, where a set is a part of what a process sees.
    """
    layers = call_layers(tree or Tree(spans))
    hits = hits or CacheHits()
    groups = [_group(cluster, hits) for cluster in clusters(layers)]
    for layer in layers:
        del layer.cluster  # or the ring of both keeps everything until the collector comes by, in a server seldom
    return groups


def clusters(layers: list[Layer]) -> list[Cluster]:
    """Join the layers that are one call; the clusters in order of time."""
    scopes = {layer.scope for layer in layers}
    _join_reports(layers)
    if len(scopes) > 1:
        # A report that found its opener has handed on all that it knows.
        join_layers([layer for layer in layers if not (layer.reading.ends_stream and len(layer.cluster.layers) > 1)], scopes)
    seen: dict[int, Cluster] = {}
    for layer in sorted(layers, key=lambda each: (each.start_ns, each.record.span_id)):
        seen.setdefault(id(layer.cluster), layer.cluster)
    return list(seen.values())


def outermost_first(cluster: Cluster) -> list[Layer]:
    """The layers of a call from the framework's to the provider SDK's."""
    if len(cluster.layers) == 1:
        return cluster.layers
    return sorted(cluster.layers, key=lambda layer: (layer.start_ns, -layer.end_ns, _depth(layer), layer.record.span_id))


def _depth(layer: Layer) -> int:
    depth = 0
    above = layer.above
    while above is not None and depth < _CLIMB:
        depth += 1
        above = above.above
    return depth


def _group(cluster: Cluster, hits: CacheHits) -> Group:
    layers = outermost_first(cluster)
    reading = merged(layers)
    hit = hits.seen(layers, reading)
    if hit and not reading.cache_hit:
        reading = hits.marked(reading)
    return Group(layers[0].place, tuple(layer.place for layer in layers), hit, reading)


# --- which spans are calls -----------------------------------------------------------------------------
def call_layers(tree: Tree) -> list[Layer]:
    """A layer for every span that counts as a call, each knowing the nearest call that encloses it."""
    spans, parents = tree.spans, tree.parent
    counted, repeating = promoted(tree), repeated(tree)
    above: dict[int, Layer] = {}
    layers = []
    for place in tree.order:
        record, reading = spans[place]
        enclosing = above.get(parents[place])
        if reading is None or place in repeating:
            if enclosing is not None:
                above[place] = enclosing
        elif place in counted or (reading.kind == CALL and not reading.repeats_children):
            layer = Layer(record, reading, place)
            layer.above = enclosing
            layer.lone = place not in tree.children
            above[place] = layer
            layers.append(layer)
    return layers


# --- the evidence ---------------------------------------------------------------------------------------
def _join_reports(layers: list[Layer]) -> None:
    """Evidence 1. The opener takes over the report's tokens and its time, so that it meets the layers of other scopes."""
    waiting = {id(layer) for layer in layers if layer.reading.ends_stream}
    if not waiting:
        return
    openers: dict[tuple[str, int, int], list[Layer]] = {}
    for layer in sorted(layers, key=lambda each: each.start_ns):
        key = (layer.scope, layer.record.trace_id, layer.record.parent_id)
        if id(layer) not in waiting:
            if layer.tokens is None and not layer.failed:
                openers.setdefault(key, []).append(layer)
        elif openers.get(key):
            opener = openers[key].pop()
            opener.cluster.absorb(layer.cluster)
            opener.tokens = layer.tokens
            opener.end_ns = max(opener.end_ns, layer.end_ns)


def join_layers(layers: list[Layer], scopes: set[str]) -> None:
    """Evidence 2 to 5, strongest first."""
    _join_enclosed(layers)
    order = _outer_scopes_first(layers, scopes)
    by_id = _buckets(layers, lambda layer: (layer.id, layer.tokens) if layer.id else None)
    by_id += _buckets(layers, lambda layer: layer.id)
    for bucket in by_id:
        for outers, inners in _pairs(bucket, order):
            overlapping(outers, inners)
    by_tokens = _buckets(layers, lambda layer: layer.tokens)
    for bucket in by_tokens:
        for outers, inners in _pairs(bucket, order):
            _both_ways(outers, inners, _alike, contained)
    for bucket in by_tokens:
        for outers, inners in _pairs(bucket, order):
            for some, others in _without_two_ids(outers, inners):
                overlapping(some, others, _alike)
    _join_unmeasured(layers, order)


def _join_enclosed(layers: list[Layer]) -> None:
    found = []
    for place, inner in enumerate(layers):
        outer = inner.above
        for _ in range(_CLIMB):
            if outer is None:
                break
            strength = _enclosure(outer, inner)
            if strength:
                found.append((-strength, -inner.end_ns, place, outer, inner))
            outer = outer.above
    found.sort(key=lambda edge: edge[:3])
    for *_, outer, inner in found:
        join(outer, inner)


def _enclosure(outer: Layer, inner: Layer) -> int:
    """How strongly a call span and one beneath it seem to be one call: 0 not at all."""
    if outer.scope == inner.scope or not overlap(outer, inner):
        return 0
    if outer.id and inner.id:
        return 3 if outer.id == inner.id else 0
    if may_enclose(outer, inner):
        return 1 if outer.tokens is None or inner.tokens is None else 2
    if outer.tokens is None or inner.tokens is None:
        return 0
    # Some emitters garble one of the two counts; a call span inside a call span that tells the same other count is no accident.
    return 1 if any(one and one == other for one, other in zip(outer.tokens, inner.tokens, strict=True)) else 0


def _outer_scopes_first(layers: list[Layer], scopes: set[str]) -> dict[str, int]:
    """Frameworks before provider SDKs: the outer layer of a call lasts longer."""
    times: dict[str, list[int]] = {scope: [] for scope in scopes}
    for layer in layers:
        times[layer.scope].append(layer.end_ns - layer.start_ns)
    mean = {scope: sum(spent) / len(spent) if spent else 0.0 for scope, spent in times.items()}
    return {scope: place for place, scope in enumerate(sorted(scopes, key=lambda scope: (-mean[scope], scope)))}


def _buckets(layers: Iterable[Layer], key: Callable[[Layer], Hashable]) -> list[list[Layer]]:
    """Layers that share a key, where they come from more than one scope."""
    found: dict[Hashable, list[Layer]] = {}
    for layer in layers:
        value = key(layer)
        if value is not None:
            found.setdefault(value, []).append(layer)
    return [bucket for bucket in found.values() if len(bucket) > 1 and len({layer.scope for layer in bucket}) > 1]


def _pairs(bucket: Iterable[Layer], order: dict[str, int]) -> Iterable[tuple[list[Layer], list[Layer]]]:
    """(outer, inner) candidates of every two scopes, less those whose call has a span of the other scope already.

    Scopes that tell of most calls come first, so that two which miss some do not pair off where one that has all is between.
    """
    by_scope: dict[str, list[Layer]] = {}
    for layer in bucket:
        by_scope.setdefault(layer.scope, []).append(layer)
    pairs = [*combinations(sorted(by_scope, key=order.__getitem__), 2)]
    pairs.sort(key=lambda pair: -len(by_scope[pair[0]]) - len(by_scope[pair[1]]))
    for outer, inner in pairs:
        outers = [layer for layer in by_scope[outer] if inner not in layer.cluster.scopes]
        inners = [layer for layer in by_scope[inner] if outer not in layer.cluster.scopes]
        if outers and inners:
            yield outers, inners


def _without_two_ids(outers: list[Layer], inners: list[Layer]) -> Iterable[tuple[list[Layer], list[Layer]]]:
    """The same candidates in two lots, so that never two known ids are compared."""
    yield [layer for layer in outers if not layer.cluster.id], inners
    yield outers, [layer for layer in inners if not layer.cluster.id]


def _both_ways(outers: list[Layer], inners: list[Layer], may: Callable[[Layer, Layer], bool], walk: Callable[..., None]) -> None:
    for some, others in _without_two_ids(outers, inners):
        walk(others, some, may)
    for some, others in _without_two_ids(inners, outers):
        walk(others, some, may)


def _alike(outer: Layer, inner: Layer) -> bool:
    return same_model(outer.reading, inner.reading) and may_enclose(outer, inner)


def _join_unmeasured(layers: list[Layer], order: dict[str, int]) -> None:
    """Evidence 5: errors, aborted streams and streams without usage, that one or both layers know nothing about."""
    if all(layer.tokens is not None for layer in layers):
        return
    blind = [layer for layer in layers if layer.tokens is None]
    # Two that know nothing and ended alike come before one that knows and one that does not.
    for outers, inners in _pairs(blind, order):
        contained(inners, outers, _ended_alike)
        contained(outers, inners, _ended_alike)
    for outers, inners in _pairs(layers, order):
        for some, others in ((outers, inners), (inners, outers)):
            contained([layer for layer in others if layer.tokens is None], some, _unmeasured)
            contained(others, [layer for layer in some if layer.tokens is None], _unmeasured)


def _ended_alike(outer: Layer, inner: Layer) -> bool:
    return outer.reading.outcome == inner.reading.outcome and _unmeasured(outer, inner)


def _unmeasured(outer: Layer, inner: Layer) -> bool:
    return not (outer.cluster.id and inner.cluster.id) and _alike(outer, inner)
