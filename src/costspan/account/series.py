"""The mutable numbers behind the metrics: counters, gauges, histograms, and the caps on how many there may be.

No locks here: `meters` holds the one lock around everything in this file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from costspan.account.meter_specs import FREE, HISTOGRAM, UNCOUNTED, Spec
from costspan.conventions import LABEL_COMBINATIONS_MAX, LABEL_VALUES_MAX, OTHER_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

Number: TypeAlias = Any
"""int, float or `Decimal`; each metric keeps to one of them (mypy cannot say so, and a cast per booking costs time)."""
Origin: TypeAlias = "tuple[str, str, int]"
"""Trace id and span id in hex, and the time in nanoseconds: where one exemplar's value came from."""


class Single:
    """One counter or gauge: its value, when it was born, and the last amount that was added with its origin.

    `mirrored` belongs to whoever mirrors the series elsewhere (multiprocess mode).
    """

    __slots__ = ("created_ns", "labels", "last", "mirrored", "origin", "spec", "value")

    def __init__(self, spec: Spec, labels: tuple[str, ...], created_ns: int) -> None:
        self.spec = spec
        self.labels = labels
        self.created_ns = created_ns
        self.value: Number = 0
        self.last: Number = 0
        self.origin: Origin | None = None
        self.mirrored: Any = None


class Buckets:
    """One histogram: counts per bucket (not cumulative, the last is +Inf), sum, and the last exemplar of each bucket."""

    __slots__ = ("bounds", "counts", "created_ns", "exemplars", "labels", "mirrored", "spec", "total")

    def __init__(self, spec: Spec, labels: tuple[str, ...], created_ns: int) -> None:
        self.spec = spec
        self.labels = labels
        self.created_ns = created_ns
        self.bounds = spec.bounds
        self.counts = [0] * (len(spec.bounds) + 1)
        self.total: Number = 0
        self.exemplars: list[tuple[Number, Origin] | None] = [None] * len(self.counts)
        self.mirrored: Any = None

    def observe(self, value: float, origin: Origin | None) -> None:
        index = bisect_left(self.bounds, value)
        self.counts[index] += 1
        self.total += value
        if origin is not None:
            self.exemplars[index] = (value, origin)

    def observe_money(self, value: Decimal, total: Decimal, origin: Origin | None) -> None:
        """Like `observe` for exact dollars; `total` is the new sum, added in the money context by the caller."""
        index = bisect_left(self.bounds, float(value))
        self.counts[index] += 1
        self.total = total
        if origin is not None:
            self.exemplars[index] = (value, origin)


Series: TypeAlias = "Single | Buckets"


class Family:
    """All series of one metric. `get` finds or makes the one with these labels, within the caps."""

    __slots__ = ("_caps", "_clock", "_combinations", "_counted", "_fallback", "_make", "series", "spec")

    def __init__(self, spec: Spec, caps: Caps, clock: Callable[[], int]) -> None:
        self.spec = spec
        self.series: dict[tuple[str, ...], Series] = {}
        self._caps = caps
        self._clock = clock
        self._make: type[Single] | type[Buckets] = Buckets if spec.kind == HISTOGRAM else Single
        labels = spec.labels
        self._counted = tuple(i for i, name in enumerate(labels) if name not in UNCOUNTED)
        self._fallback = tuple(OTHER_LABEL if name in FREE else None for name in labels)
        self._combinations: set[tuple[str, ...]] = set()

    def get(self, labels: tuple[str | None, ...]) -> Series:
        """The series with these label values, in the order of `conventions.LABELS`; None is the empty value."""
        found = self.series.get(labels)  # type: ignore[arg-type]  # with a None in it nothing is found
        if found is not None:
            return found
        values = tuple([value or "" for value in labels])
        found = self.series.get(values)
        if found is not None:
            return found
        values = self._capped(values)
        found = self.series.get(values)
        if found is None:
            found = self.series[values] = self._make(self.spec, values, self._clock())
        return found

    def single(self, labels: tuple[str | None, ...]) -> Single:
        found = self.get(labels)
        assert isinstance(found, Single)
        return found

    def buckets(self, labels: tuple[str | None, ...]) -> Buckets:
        found = self.get(labels)
        assert isinstance(found, Buckets)
        return found

    def _capped(self, values: tuple[str, ...]) -> tuple[str, ...]:
        values = tuple(
            self._caps.value(name, value) if name in FREE else value for name, value in zip(self.spec.labels, values, strict=True)
        )
        combination = tuple(values[i] for i in self._counted)
        if combination in self._combinations:
            return values
        if len(self._combinations) < LABEL_COMBINATIONS_MAX:
            self._combinations.add(combination)
            return values
        self._caps.overflow[self.spec.name] += 1
        return tuple(value if other is None else other for value, other in zip(values, self._fallback, strict=True))


class Caps:
    """How many distinct values each label has had, over all metrics, and how often something became `_other`."""

    __slots__ = ("_seen", "overflow")

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        self.overflow: Counter[str] = Counter()

    def value(self, label: str, value: str) -> str:
        value = value[:VALUE_LENGTH_MAX]
        if not value.isascii():  # a lone surrogate would fail every later scrape
            value = value.encode("utf-8", "replace").decode()
        seen = self._seen.setdefault(label, set())
        if value in seen or not value:
            return value
        if len(seen) < LABEL_VALUES_MAX:
            seen.add(value)
            return value
        self.overflow[label] += 1
        return OTHER_LABEL


VALUE_LENGTH_MAX: Final = 200
"""Longer label values are cut: a name that long is not a name, and a scrape must stay small."""
