"""`Meters` as OTLP metrics: the same numbers as `/metrics`, pushed.

The data is built from the meters themselves and not through OpenTelemetry's instruments, because those know neither
histograms that are read on demand, nor exemplars of a call that has ended, nor the birth of each series. Sums are cumulative
and monotonic; each series starts when it was born. Prometheus, translating names, gets those of `/metrics`.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from costspan.account.meter_specs import COUNTER, SECONDS, USD, Spec
from costspan.account.series import Buckets, Number, Origin, Single
from costspan.conventions import SCOPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource

    from costspan.account.meter_state import Metric as Read
    from costspan.account.meters import Meters

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


def metrics_data(meters: Meters, resource: Resource, *, version: str = "", now_ns: int | None = None) -> MetricsData:
    """Everything the meters hold now, ready for any OTLP metric exporter of the SDK."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    metrics = [_metric(read, now_ns) for read in meters.collect()]
    scope = ScopeMetrics(InstrumentationScope(SCOPE, version), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def instrument_name(spec: Spec) -> str:
    """The OTLP name of a metric: `costspan_tokens_total` -> `costspan.tokens`, `…_duration_seconds` -> `….duration`.

    Without the suffixes that Prometheus adds by itself: `_total` to a counter, `_seconds` for the unit `s`.
    """
    name = spec.name.removesuffix("_total")
    if spec.unit == SECONDS:
        name = name.removesuffix("_seconds")
    return name.replace("_", ".", 1)


def _metric(read: Read, now_ns: int) -> Metric:
    spec = read.spec
    if spec.bounds:
        histograms = [_histogram(spec, series, now_ns) for series in read.series if isinstance(series, Buckets)]
        return Metric(instrument_name(spec), spec.help, spec.unit, Histogram(histograms, _CUMULATIVE))
    points = [_point(spec, series, now_ns) for series in read.series if isinstance(series, Single)]
    data = Sum(points, _CUMULATIVE, is_monotonic=True) if spec.kind == COUNTER else Gauge(points)
    return Metric(instrument_name(spec), spec.help, spec.unit, data)


def _point(spec: Spec, series: Single, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(spec, series.labels),
        start_time_unix_nano=min(series.created_ns, now_ns) if spec.kind == COUNTER else 0,
        time_unix_nano=now_ns,
        value=_number(spec, series.value),
        exemplars=_exemplars(spec, [(series.last, series.origin)] if series.origin is not None else []),
    )


def _histogram(spec: Spec, series: Buckets, now_ns: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_attributes(spec, series.labels),
        start_time_unix_nano=min(series.created_ns, now_ns),
        time_unix_nano=now_ns,
        count=sum(series.counts),
        sum=float(series.total),
        bucket_counts=series.counts,
        explicit_bounds=series.bounds,
        min=None,  # type: ignore[arg-type]  # optional in OTLP; a cumulative minimum tells nothing
        max=None,  # type: ignore[arg-type]
        exemplars=_exemplars(spec, [one for one in series.exemplars if one is not None]),
    )


def _attributes(spec: Spec, values: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(spec.labels, values, strict=True))


def _exemplars(spec: Spec, found: Sequence[tuple[Number, Origin]]) -> list[Exemplar]:
    return [
        Exemplar(
            filtered_attributes={},
            value=_number(spec, value),
            time_unix_nano=at_ns,
            span_id=int(span_id or "0", 16),
            trace_id=int(trace_id, 16),
        )
        for value, (trace_id, span_id, at_ns) in found
    ]


def _number(spec: Spec, value: Number) -> int | float:
    """One kind of number per metric: dollars and seconds are always floating point, a count is always whole."""
    if spec.unit in (USD, SECONDS) or isinstance(value, Decimal | float):
        return float(value)
    return int(value)
