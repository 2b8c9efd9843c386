"""What a scrape shows: values, created timestamps, exemplars, and how many series and how fast."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from costspan import conventions as names
from costspan import guard, records
from costspan.account.meters import Meters
from costspan.expose.prometheus import registry_of, unregister_globally, write_textfile
from meter_cases import SPAN, T0, TRACE, active, call, cost, everything, run


@pytest.fixture
def meters():
    guard.reset()
    return Meters(version="1.2.3", clock=lambda: T0, active_runs=lambda: [active("flow")], price_table_timestamp=lambda: 5.0)


def samples(meters):
    families = parse_openmetrics(openmetrics(registry_of(meters)).decode())
    return [sample for family in families for sample in family.samples]


def one(meters, name, **labels):
    (found,) = [sample for sample in samples(meters) if sample.name == name and labels.items() <= sample.labels.items()]
    return found


def test_openmetrics_parses_and_holds_every_value(meters):
    meters.call(call())
    assert one(meters, "costspan_tokens_total", token_type="input_uncached").value == 80
    assert one(meters, "costspan_workflow_cost_usd_total").value == 0.75
    assert one(meters, "costspan_build_info").labels == {"version": "1.2.3"}
    assert one(meters, "costspan_price_table_timestamp_seconds").value == 5
    assert one(meters, "costspan_active_runs", workflow="flow").value == 1


def test_labels_are_those_of_the_conventions(meters):
    meters.call(call())
    for sample in samples(meters):
        family = next(name for name in names.LABELS if name.removesuffix("_total") in sample.name)
        matching = [n for n in names.LABELS if sample.name.startswith(n.removesuffix("_total"))]
        assert any(set(sample.labels) - {"le"} == set(names.LABELS[n]) for n in matching), family


def test_counters_and_histograms_carry_created_timestamps_in_both_formats(meters):
    meters.call(call())
    for name in ("costspan_workflow_cost_usd_created", "costspan_call_duration_seconds_created"):
        assert one(meters, name).value == T0 / 1e9
    plain = generate_latest(registry_of(meters)).decode()
    created = {sample.name: sample.value for family in parse_text(plain) for sample in family.samples}
    assert created["costspan_workflow_cost_usd_created"] == T0 / 1e9


def test_exemplars_name_trace_and_span_on_counters_and_buckets(meters):
    meters.call(call())
    meters.run(run())
    for sample in (
        one(meters, "costspan_workflow_cost_usd_total"),
        one(meters, "costspan_call_duration_seconds_bucket", le="2.0"),
    ):
        assert sample.exemplar.labels == {"trace_id": TRACE, "span_id": SPAN}
        assert float(sample.exemplar.timestamp) == T0 / 1e9 + 2
    assert one(meters, "costspan_workflow_cost_usd_total").exemplar.value == 0.75
    assert one(meters, "costspan_run_cost_usd_bucket", le="5.0").exemplar.labels == {"trace_id": TRACE}
    assert " # {" not in generate_latest(registry_of(meters)).decode()


def test_histogram_buckets_are_cumulative(meters):
    for seconds in (0.05, 1.5, 400):
        meters.call(call(ended_ns=T0 + int(seconds * 1e9)))
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in samples(meters)
        if sample.name == "costspan_call_duration_seconds_bucket"
    }
    assert (buckets[0.1], buckets[1.0], buckets[2.0], buckets[300.0], buckets[float("inf")]) == (1, 1, 2, 2, 3)
    assert one(meters, "costspan_call_duration_seconds_count").value == 3
    assert one(meters, "costspan_call_duration_seconds_sum").value == pytest.approx(401.55)


def test_the_sum_of_a_million_tenths_is_shown_exactly(meters):
    meters.add(names.WORKFLOW_COST_USD, ("flow",), Decimal("100000.1"))
    for _ in range(9):
        meters.add(names.WORKFLOW_COST_USD, ("flow",), Decimal("0.1"))
    assert one(meters, "costspan_workflow_cost_usd_total").value == 100001.0


def test_the_global_registry_is_left_alone_unless_asked(meters):
    registry_of(meters)
    assert "costspan_build_info" not in generate_latest(REGISTRY).decode()
    registry_of(meters, register_globally=True)
    try:
        assert "costspan_build_info" in generate_latest(REGISTRY).decode()
    finally:
        unregister_globally(meters)
    assert "costspan_build_info" not in generate_latest(REGISTRY).decode()


def test_a_name_taken_in_the_global_registry_costs_one_warning(meters, caplog):
    registry_of(meters, register_globally=True)
    try:
        registry_of(Meters(), register_globally=True)
    finally:
        unregister_globally(meters)
    assert [record.message for record in caplog.records if "global registry" in record.message]


def test_a_textfile_is_written_for_jobs_that_end_before_a_scrape(meters, tmp_path):
    meters.call(call())
    write_textfile(meters, tmp_path / "job.prom")
    families = parse_text((tmp_path / "job.prom").read_text())
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert values["costspan_workflow_cost_usd_total"] == 0.75


def practice(meters):
    """20 agents on one or two of 5 models, 8 tools of which each agent has two, four token types, a few errors."""
    types = {"input_uncached": "0.1", "input_cache_read": "0.1", "output_visible": "0.1", "output_reasoning": "0.1"}
    for agent in range(20):
        owner = records.Owner("flow", f"agent {agent}")
        for model in {agent % 5, agent % 2}:
            meters.call(call(model=f"model {model}", owner=owner, cost=cost(types), stream=True, time_to_first_token_seconds=1.0))
        meters.call(call(model=f"model {agent % 5}", owner=owner, outcome="error", usage=records.NO_USAGE, cost=None))
        for tool in (agent % 8, (agent + 1) % 8):
            meters.tool(f"tool {tool}", f"agent {agent}", duration_seconds=1)
            meters.tool_tokens(f"tool {tool}", "result", 10, Decimal(1))
    meters.run(run())


def test_twenty_agents_in_practice_show_at_most_1500_series(meters):
    practice(meters)
    shown = [sample for sample in samples(meters) if not sample.name.endswith("_created")]
    assert len(shown) <= 1500


def test_twenty_agents_five_models_and_eight_tools_show_at_most_4500_series_when_everything_meets(meters):
    everything(meters)
    shown = [sample for sample in samples(meters) if not sample.name.endswith("_created")]
    assert len(shown) <= 4500
    assert {sample.labels["agent"] for sample in shown if sample.name == "costspan_calls_total"} >= {"agent 0", "agent 19"}


def test_ten_thousand_series_are_scraped_well_under_half_a_second():
    meters = Meters()
    for number in range(200):
        meters.known(workflow=f"workflow {number}", agent=f"a {number}", provider="p", model=f"m {number}", tool=f"t {number}")
    registry = registry_of(meters)
    lines = [line for line in openmetrics(registry).decode().splitlines() if not line.startswith("#")]
    assert len([line for line in lines if "_created" not in line]) >= 10_000
    times = []
    for _ in range(3):
        started = time.process_time()
        openmetrics(registry)
        times.append(time.process_time() - started)
    assert min(times) < 0.5
