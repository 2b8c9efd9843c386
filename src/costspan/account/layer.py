"""What may be one call: a layer is one span that told of a model call, a cluster the layers found to tell of the same one.

The rules of evidence live here; `matching` walks the candidates, `fold` decides the order in which evidence counts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from costspan.conventions import EMBEDDINGS
from costspan.records import REPORTED

if TYPE_CHECKING:
    from costspan.readings import Reading, SpanRecord

NEVER_ENDED_NS: Final = 1 << 63
"""Where a span that has not ended is taken to end."""


class Layer:
    """One span of a model call.

    `tokens` is (input, output) where both were reported, else None; `above` is the nearest enclosing call's layer.
    `place` is the caller's handle: an index of the batch. `lone` marks a span with nothing at all beneath it.
    """

    __slots__ = (
        "above",
        "cluster",
        "end_ns",
        "failed",
        "id",
        "lone",
        "place",
        "reading",
        "record",
        "scope",
        "start_ns",
        "tokens",
    )

    def __init__(self, record: SpanRecord, reading: Reading, place: int) -> None:
        self.record = record
        self.reading = reading
        self.place = place
        self.scope = record.scope
        self.start_ns = record.start_ns
        end = record.end_ns
        self.end_ns = max(record.start_ns, end) if end else NEVER_ENDED_NS
        self.id = reading.response_id or None
        self.tokens = known_tokens(reading)
        self.failed = reading.outcome == "error" and self.tokens is None
        self.above: Layer | None = None
        self.lone = True
        self.cluster = Cluster(self)


class Cluster:
    """Layers of one call: at most one per scope, at most one known response id."""

    __slots__ = ("id", "layers", "scopes")

    def __init__(self, layer: Layer) -> None:
        self.layers = [layer]
        self.scopes = {layer.scope}
        self.id = layer.id

    def absorb(self, other: Cluster) -> None:
        self.layers += other.layers
        self.scopes |= other.scopes
        self.id = self.id or other.id
        for layer in other.layers:
            layer.cluster = self


def known_tokens(reading: Reading) -> tuple[int, int] | None:
    """(input, output) when both were reported and say something; an estimate need not agree with anybody's count."""
    usage = reading.usage
    if usage.source != REPORTED or usage.input_tokens is None:
        return None
    output = usage.output_tokens
    if output is None:
        if reading.operation != EMBEDDINGS:
            return None
        output = 0
    return (usage.input_tokens, output) if usage.input_tokens or output else None


def overlap(one: Layer, other: Layer) -> bool:
    return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns


def join(one: Layer, other: Layer) -> bool:
    """Make one call of both, unless their clusters already tell of different calls. True when they were joined."""
    first, second = one.cluster, other.cluster
    if first is second or not first.scopes.isdisjoint(second.scopes):
        return False
    if first.id and second.id and first.id != second.id:
        return False
    if len(first.layers) < len(second.layers):
        first, second = second, first
    first.absorb(second)
    return True


def may_enclose(outer: Layer, inner: Layer) -> bool:
    """Whether inner, found inside outer, can be the same call as far as tokens and outcome tell.

    An attempt that failed is not the one by which the outer call succeeded. Counts must agree where both are known.
    """
    if inner.failed and outer.reading.outcome == "ok":
        return False
    if (inner.reading.operation == EMBEDDINGS) is not (outer.reading.operation == EMBEDDINGS):
        return False
    if inner.tokens is None or outer.tokens is None:
        return _agree(inner.reading, outer.reading)
    return inner.tokens == outer.tokens


def _agree(one: Reading, other: Reading) -> bool:
    if one.usage.source != REPORTED or other.usage.source != REPORTED:
        return True
    first, second = one.usage, other.usage
    return not (_differ(first.input_tokens, second.input_tokens) or _differ(first.output_tokens, second.output_tokens))


def _differ(one: int | None, other: int | None) -> bool:
    # An aborted stream leaves a first, partial output count; zero is what some emitters write for "not told".
    return bool(one) and bool(other) and one != other


def same_model(one: Reading, other: Reading) -> bool:
    """False only when both name models and no name of one is part of a name of the other."""
    return _names_agree(one.request_model, one.response_model, other.request_model, other.response_model)


@lru_cache(maxsize=2048)
def _names_agree(a_request: str | None, a_response: str | None, b_request: str | None, b_response: str | None) -> bool:
    first = [_bare(name) for name in (a_request, a_response) if name]
    second = [_bare(name) for name in (b_request, b_response) if name]
    if not first or not second:
        return True
    return any(a in b or b in a for a in first for b in second)


def _bare(name: str) -> str:
    return name.lower().rpartition("/")[2].removeprefix("models/")
