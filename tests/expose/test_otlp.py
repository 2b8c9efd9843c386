"""What OTLP carries, and that it says the same as `/metrics`, to the last token."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.resources import Resource
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from costspan import conventions as names
from costspan import guard
from costspan.account.meter_specs import COUNTER, GAUGE, SPECS
from costspan.account.meters import Meters
from costspan.expose.otlp import instrument_name, metrics_data
from costspan.expose.otlp_push import OtlpPush
from costspan.expose.prometheus import registry_of
from meter_cases import SPAN, T0, TRACE, active, call, everything, run
from otlp_receiver import points, receiving

UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "1": "", "%": "percent"}


def prometheus_name(name, unit, kind):
    """The name that Prometheus gives an OTLP metric (its otlptranslator, the default strategy with suffixes)."""
    tokens = [token for token in re.split(r"[^a-zA-Z0-9:]+", name) if token]
    unit_token = "" if "{" in unit else UNITS.get(unit, unit)
    if unit_token and unit_token not in tokens:
        tokens.append(unit_token)
    if kind == COUNTER:
        tokens = [token for token in tokens if token != "total"] + ["total"]
    if kind == GAUGE and unit == "1":
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
    return "_".join(tokens)


@pytest.fixture
def meters():
    guard.reset()
    return Meters(version="1", clock=lambda: T0, active_runs=lambda: [active("flow")], price_table_timestamp=lambda: 5.5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_prometheus_translates_every_instrument_to_the_name_of_the_conventions(spec):
    assert prometheus_name(instrument_name(spec), spec.unit, spec.kind) == spec.name


def encoded(meters):
    request = encode_metrics(metrics_data(meters, Resource({"service.name": "agent"}), version="1", now_ns=T0 + 60))
    return {metric.name: (metric, kind, point) for metric, kind, point in points(request)}


def test_sums_are_cumulative_monotonic_and_start_when_the_series_was_born(meters):
    meters.call(call())
    metric, kind, point = encoded(meters)["costspan.workflow_cost_usd"]
    assert (kind, metric.sum.is_monotonic, metric.sum.aggregation_temporality) == ("sum", True, 2)
    assert (point.start_time_unix_nano, point.time_unix_nano, point.as_double) == (T0, T0 + 60, 0.75)


def test_histograms_have_our_buckets_and_no_made_up_extremes(meters):
    meters.call(call())
    _, kind, point = encoded(meters)["costspan.call_duration"]
    assert (kind, point.count, point.sum) == ("histogram", 1, 2.0)
    assert tuple(point.explicit_bounds) == SPECS[names.CALL_DURATION].bounds
    assert not point.HasField("min")
    assert not point.HasField("max")


def test_exemplars_carry_trace_and_span_ids_in_bytes(meters):
    meters.call(call())
    meters.run(run())
    shown = encoded(meters)
    (exemplar,) = shown["costspan.workflow_cost_usd"][2].exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex(), exemplar.as_double) == (TRACE, SPAN, 0.75)
    assert exemplar.time_unix_nano == T0 + 2_000_000_000
    (exemplar,) = shown["costspan.run_calls"][2].exemplars
    assert exemplar.trace_id.hex() == TRACE


def test_gauges_are_gauges(meters):
    shown = encoded(meters)
    assert shown["costspan.active_runs"][1] == "gauge"
    assert shown["costspan.price_table_timestamp"][2].as_double == 5.5


def test_tokens_are_whole_numbers_and_dollars_never_are(meters):
    meters.known(workflow="flow", provider="openai", model="gpt", agent="planner")
    meters.call(call())
    kinds = {}
    request = encode_metrics(metrics_data(meters, Resource({}), now_ns=T0 + 60))
    for metric, kind, point in points(request):
        if kind != "histogram":
            kinds.setdefault(metric.name, set()).add(point.WhichOneof("value"))
    assert kinds["costspan.tokens"] == {"as_int"}
    assert kinds["costspan.cost_usd"] == {"as_double"}


def test_both_roads_say_the_same_about_everything(meters):
    everything(meters)
    meters.call(call(cost=None))
    meters.set(names.BUDGET_LIMIT_USD, ("day",), Decimal("10.25"))
    guard.note("somewhere", ValueError("x"))
    with receiving() as receiver:
        push = OtlpPush(meters, Resource({}), interval_seconds=0, exporter=lambda: exporter_to(receiver))
        push.start()
        assert push.flush()
        push.shutdown()
    pulled = {}
    for family in parse(generate_latest(registry_of(meters)).decode()):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
                pulled[sample.name, tuple(sorted(labels.items()))] = sample.value
    pushed = as_prometheus(receiver)
    assert pushed.keys() == pulled.keys()
    assert [(key, pushed[key], pulled[key]) for key in pulled if pushed[key] != pulled[key]] == []
    assert len(pulled) > 3000


def exporter_to(receiver):
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(endpoint=f"{receiver.endpoint}/v1/metrics")


def as_prometheus(receiver):
    """The received points as the samples that Prometheus would make of them."""
    shown = {}
    by_name = {instrument_name(spec): spec for spec in SPECS.values()}
    for metric, kind, point in points(receiver.requests[0]):
        spec = by_name[metric.name]
        name = prometheus_name(metric.name, metric.unit, spec.kind)
        labels = tuple(sorted((a.key, a.value.string_value) for a in point.attributes))
        if kind != "histogram":
            value = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
            shown[name, labels] = value
            continue
        running = 0
        for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
            running += count
            shown[name + "_bucket", tuple(sorted((*labels, ("le", bound))))] = running
        shown[name + "_count", labels] = point.count
        shown[name + "_sum", labels] = point.sum
    return shown
