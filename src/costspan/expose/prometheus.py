"""`Meters` in the text formats of Prometheus, through prometheus-client.

`MetersCollector` is a custom collector, so the numbers are kept once and copied only when somebody scrapes. OpenMetrics
(what Prometheus asks for) carries exemplars with trace and span id, and created timestamps as `…_created`; the plain
text format carries the created timestamps too, and no exemplars, which it has no place for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as ClientMetric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from costspan import guard
from costspan.account.meter_specs import COUNTER, GAUGE, SPECS, Spec
from costspan.account.series import Buckets, Number, Origin, Single

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from costspan.account.meter_state import Metric
    from costspan.account.meters import Meters


class MetersCollector(Collector):
    """Renders `Meters`; register it in any `CollectorRegistry`."""

    def __init__(self, meters: Meters, *, also: Mapping[str, str] | None = None) -> None:
        self._meters = meters
        self._also = dict(also or {})

    def collect(self) -> Iterable[ClientMetric]:
        families = [_render(metric) for metric in self._meters.collect()]
        if self._also:
            for family in families:
                family.samples = [sample._replace(labels={**sample.labels, **self._also}) for sample in family.samples]
        return families

    def describe(self) -> Iterable[ClientMetric]:
        """The names, without reading a value: a registry asks for them to find two collectors with one name."""
        return [_family(spec) for spec in SPECS.values()]


def registry_of(meters: Meters, *, register_globally: bool = False) -> CollectorRegistry:
    """A registry of our own that holds the meters and nothing of the host's.

    With `register_globally` they are also added to prometheus-client's global `REGISTRY`, so that a `/metrics` page
    which the host already serves shows them; a name that is taken there costs one warning.
    """
    registry = CollectorRegistry(auto_describe=False)
    collector = MetersCollector(meters)
    registry.register(collector)
    if register_globally:
        try:
            REGISTRY.register(collector)
        except ValueError as error:
            guard.warn_once("prometheus.registry", f"metrics were not added to the global registry: {error}")
    return registry


def unregister_globally(meters: Meters) -> None:
    """Take the meters out of the global registry again; nothing when they are not in it."""
    for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 - there is no public list
        if isinstance(collector, MetersCollector) and collector._meters is meters:  # noqa: SLF001 - our own
            REGISTRY.unregister(collector)


def write_textfile(meters: Meters, path: Path) -> None:
    """Write the meters atomically to a file for node-exporter's textfile collector (jobs that end before a scrape).

    Every series carries the file's name as the label `textfile`: node-exporter refuses a series that two files have.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MetersCollector(meters, also={"textfile": path.stem}))
    write_to_textfile(str(path), registry)


def _family(spec: Spec) -> ClientMetric:
    if spec.kind == COUNTER:
        return CounterMetricFamily(spec.name, spec.help)
    if spec.kind == GAUGE:
        return GaugeMetricFamily(spec.name, spec.help)
    return HistogramMetricFamily(spec.name, spec.help)


def _render(metric: Metric) -> ClientMetric:
    spec = metric.spec
    family = _family(spec)
    samples = family.samples
    for series in metric.series:
        labels = dict(zip(spec.labels, series.labels, strict=True))
        if isinstance(series, Buckets):
            _histogram(samples, family.name, labels, series)
        elif spec.kind == COUNTER:
            exemplar = _exemplar(series.last, series.origin) if series.origin is not None else None
            samples.append(Sample(f"{family.name}_total", labels, float(series.value), None, exemplar))
            samples.append(Sample(f"{family.name}_created", labels, series.created_ns / 1e9))
        else:
            samples.append(_gauge(family.name, labels, series))
    return family


def _gauge(name: str, labels: dict[str, str], series: Single) -> Sample:
    return Sample(name, labels, float(series.value))


def _histogram(samples: list[Sample], name: str, labels: dict[str, str], series: Buckets) -> None:
    """The buckets, cumulative as Prometheus has them, each with its last exemplar; then count, sum and birth."""
    running = 0
    for bound, count, last in zip((*series.bounds, float("inf")), series.counts, series.exemplars, strict=True):
        running += count
        exemplar = _exemplar(*last) if last is not None else None
        samples.append(Sample(f"{name}_bucket", {**labels, "le": _le(bound)}, running, None, exemplar))
    samples.append(Sample(f"{name}_count", labels, running))
    samples.append(Sample(f"{name}_sum", labels, float(series.total)))
    samples.append(Sample(f"{name}_created", labels, series.created_ns / 1e9))


def _exemplar(value: Number, origin: Origin) -> Exemplar:
    trace_id, span_id, at_ns = origin
    labels = {"trace_id": trace_id, "span_id": span_id} if span_id else {"trace_id": trace_id}
    return Exemplar(labels, float(value), at_ns / 1e9)


@functools.cache
def _le(bound: float) -> str:
    """A bucket's bound as prometheus-client writes it, so that both of its modes give one label value."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
