"""What one booking changes, and what no number of bookings can change: sums, caps, memory."""

from __future__ import annotations

import os
import threading
from decimal import Decimal

import pytest

from costspan import conventions as names
from costspan import guard, records
from costspan.account.meter_specs import FREE, HISTOGRAM, SPECS
from costspan.account.meters import Exemplar, Meters, scope_family
from meter_cases import SPAN, T0, TRACE, active, call, cost, run, values


@pytest.fixture
def meters():
    guard.reset()
    return Meters(version="9.9", clock=lambda: T0)


def test_tokens_are_booked_by_type_and_add_up_to_the_total(meters):
    meters.call(call())
    booked = {labels[4]: value for labels, value in values(meters, names.TOKENS).items()}
    assert booked == {"input_uncached": 80, "input_cache_read": 20, "output_visible": 20, "output_reasoning": 10}
    assert {labels[:4] + labels[5:] for labels in values(meters, names.TOKENS)} == {
        ("openai", "gpt", "planner", "flow", "reported")
    }


def test_dollars_are_exact_however_many_are_added(meters):
    for _ in range(1000):
        meters.call(call(cost=cost({"input_uncached": "0.1", "fee": "0.0000001"})))
    by_type = {labels[4]: value for labels, value in values(meters, names.COST_USD).items()}
    assert by_type == {"input_uncached": Decimal(100), "fee": Decimal("0.0001")}
    assert values(meters, names.WORKFLOW_COST_USD) == {("flow",): Decimal("100.0001")}


def test_a_call_is_counted_and_measured(meters):
    meters.call(call(stream=True, time_to_first_token_seconds=0.4))
    assert values(meters, names.CALLS) == {("openai", "gpt", "planner", "ok"): 1}
    assert values(meters, names.CALL_DURATION) == {("openai", "gpt"): (1, 2.0)}
    assert values(meters, names.TIME_TO_FIRST_TOKEN) == {("openai", "gpt"): (1, 0.4)}
    assert values(meters, names.CALL_TOKENS) == {("gpt", "input", "reported"): (1, 100), ("gpt", "output", "reported"): (1, 30)}
    assert values(meters, names.CONTEXT_RATIO) == {("planner",): (1, 0.13)}


def test_time_to_first_token_is_for_streams_only(meters):
    meters.call(call(stream=False, time_to_first_token_seconds=0.4))
    assert values(meters, names.TIME_TO_FIRST_TOKEN) == {}


@pytest.mark.parametrize("flag", ["metered", "cache_hit"])
def test_a_call_metered_elsewhere_or_answered_by_a_cache_changes_nothing(meters, flag):
    before = [(metric.spec.name, [one.labels for one in metric.series]) for metric in meters.collect()]
    meters.call(call(**{flag: True}))
    assert [(metric.spec.name, [one.labels for one in metric.series]) for metric in meters.collect()] == before


def test_a_missing_name_is_the_empty_label(meters):
    meters.call(call(provider=None, model=None, owner=records.NOBODY))
    assert set(values(meters, names.CALLS)) == {("", "", "", "ok")}


def test_tokens_without_an_agent_are_unattributed(meters):
    meters.call(call(owner=records.Owner(workflow="flow")))
    meters.call(call())
    assert values(meters, names.UNATTRIBUTED_TOKENS) == {(): 130}


def test_a_call_without_a_price_is_counted_by_its_reason(meters):
    meters.call(call(cost=None, unpriced=records.Unpriced("unknown_model")))
    assert values(meters, names.UNPRICED_CALLS) == {("openai", "gpt", "unknown_model"): 1}
    assert values(meters, names.COST_USD) == {}
    assert sum(values(meters, names.TOKENS).values()) == 130


@pytest.mark.parametrize(
    ("outcome", "given", "reason"),
    [
        ("ok", "stream_without_usage", "stream_without_usage"),
        ("ok", None, "unknown"),
        ("error", None, "error"),
        ("cancelled", None, "aborted"),
        ("ok", "a text that is no reason", "unknown"),
    ],
)
def test_a_call_whose_usage_nobody_told_is_counted_by_its_reason(meters, outcome, given, reason):
    meters.call(call(usage=records.NO_USAGE, cost=None, outcome=outcome, missing_reason=given))
    assert values(meters, names.UNREPORTED_CALLS) == {("openai", "gpt", reason): 1}
    assert values(meters, names.UNPRICED_CALLS) == {}
    assert values(meters, names.TOKENS) == {}


def test_a_usage_that_contradicts_itself_keeps_its_totals(meters):
    meters.call(call(usage=records.Usage(input_tokens=10, output_tokens=5, cache_read_tokens=99), cost=None))
    assert {labels[4]: value for labels, value in values(meters, names.TOKENS).items()} == {
        "input_uncached": 10,
        "output_visible": 5,
    }


@pytest.mark.parametrize("absurd", [-5, True, "12", 1.5])
def test_a_count_that_is_no_count_costs_only_itself(meters, absurd):
    meters.call(call(usage=records.Usage(input_tokens=absurd, output_tokens=5), owner=records.NOBODY, waste="retry"))
    assert {labels[4]: value for labels, value in values(meters, names.TOKENS).items()} == {"output_visible": 5}
    assert values(meters, names.UNATTRIBUTED_TOKENS) == {(): 5}
    assert values(meters, names.CALL_TOKENS) == {("gpt", "output", "reported"): (1, 5)}
    assert values(meters, names.CALLS) == {("openai", "gpt", "", "ok"): 1}


def test_waste_is_booked_by_agent_and_reason_beside_the_totals(meters):
    meters.call(call(waste="failed_parse"))
    assert values(meters, names.WASTED_TOKENS) == {("planner", "failed_parse"): 130}
    assert values(meters, names.WASTED_COST_USD) == {("planner", "failed_parse"): Decimal("0.75")}
    assert sum(values(meters, names.TOKENS).values()) == 130


def test_tools_and_their_bill_are_booked(meters):
    meters.tool("search", "planner", outcome="error", duration_seconds=0.2)
    meters.tool("search", "planner")
    meters.tool_tokens("search", "nested", 70, Decimal("0.07"))
    meters.tool_tokens("search", "result", None)
    assert values(meters, names.TOOL_CALLS) == {("planner", "search", "error"): 1, ("planner", "search", "ok"): 1}
    assert values(meters, names.TOOL_DURATION) == {("search",): (1, 0.2)}
    assert values(meters, names.TOOL_TOKENS) == {("search", "nested"): 70}
    assert values(meters, names.TOOL_COST_USD) == {("search", "nested"): Decimal("0.07")}


def test_a_finished_run_is_booked_and_an_unknown_cost_is_not_zero(meters):
    meters.run(run())
    meters.run(run(outcome="error", totals=records.Totals(calls=1)))
    assert values(meters, names.RUNS) == {("flow", "ok"): 1, ("flow", "error"): 1}
    assert values(meters, names.RUN_COST_USD) == {("flow",): (1, Decimal("2.5"))}
    assert values(meters, names.RUN_TOKENS) == {("flow",): (1, 1200)}
    assert values(meters, names.RUN_DURATION) == {("flow",): (2, 180.0)}
    assert values(meters, names.RUN_CALLS) == {("flow",): (2, 4)}


def test_gauges_of_runs_in_flight_show_the_largest_and_fall_to_zero():
    runs = [active("flow", calls=3, tokens=100, usd="1"), active("flow", calls=9, tokens=50, usd="2"), active(None)]
    meters = Meters(active_runs=lambda: runs)
    assert values(meters, names.ACTIVE_RUNS) == {("flow",): 2, ("",): 1}
    assert values(meters, names.ACTIVE_RUN_CALLS_MAX)["flow",] == 9
    assert values(meters, names.ACTIVE_RUN_TOKENS_MAX)["flow",] == 100
    assert values(meters, names.ACTIVE_RUN_COST_USD_MAX)["flow",] == 2
    runs.clear()
    assert values(meters, names.ACTIVE_RUNS) == {("flow",): 0, ("",): 0}
    assert values(meters, names.ACTIVE_RUN_COST_USD_MAX)["flow",] == 0


def test_a_failing_callback_costs_only_its_own_gauge():
    def broken():
        raise RuntimeError

    guard.reset()
    meters = Meters(active_runs=broken, price_table_timestamp=broken)
    meters.call(call())
    assert values(meters, names.CALLS)
    assert meters.runs_in_flight() == []
    assert values(meters, names.INTERNAL_ERRORS)["meters.price_table_timestamp",] >= 1


def test_build_price_table_and_swallowed_errors_are_shown(meters):
    guard.note("somewhere", ValueError("x"))
    guard.note("somewhere", ValueError("x"))
    shown = Meters(version="1.2", price_table_timestamp=lambda: 1.75e9)
    assert values(shown, names.INTERNAL_ERRORS) == {("somewhere",): 2}
    assert values(shown, names.BUILD_INFO) == {("1.2",): 1}
    assert values(shown, names.PRICE_TABLE_TIMESTAMP) == {(): 1.75e9}
    assert values(meters, names.PRICE_TABLE_TIMESTAMP) == {}


def test_duplicates_are_counted_by_family_of_scope(meters):
    meters.duplicate("costspan", "openinference.instrumentation.openai")
    meters.duplicate("costspan", "openinference.instrumentation.anthropic")
    assert values(meters, names.DUPLICATE_SPANS) == {("costspan", "openinference"): 2}
    assert scope_family("opentelemetry.instrumentation.genai.openai") == "opentelemetry.instrumentation.genai"


def test_known_names_have_series_at_zero_before_anything_is_booked(meters):
    meters.known(workflow="flow", agent="planner", provider="openai", model="gpt")
    meters.known(workflow="flow", agent="planner", tool="search")
    assert values(meters, names.WORKFLOW_COST_USD) == {("flow",): 0}
    assert values(meters, names.RUNS) == {("flow", "ok"): 0}
    assert values(meters, names.CALLS) == {("openai", "gpt", "planner", "ok"): 0}
    assert set(values(meters, names.TOKENS).values()) == {0}
    assert set(values(meters, names.COST_USD).values()) == {0}
    assert values(meters, names.TOOL_CALLS) == {("planner", "search", "ok"): 0}
    meters.call(call(cost=cost({"input_uncached": "1"})))
    assert values(meters, names.WORKFLOW_COST_USD) == {("flow",): 1}


def test_known_twice_makes_nothing_new(meters):
    for _ in range(3):
        meters.known(workflow="flow", agent="planner", provider="openai", model="gpt", tool="t")
    assert len(values(meters, names.COST_USD)) == 2


def test_every_series_knows_when_it_was_born_and_where_its_last_value_came_from():
    now = [T0]
    meters = Meters(clock=lambda: now[0])
    now[0] = T0 + 5
    meters.call(call())
    metric = {found.spec.name: found for found in meters.collect()}
    single = metric[names.WORKFLOW_COST_USD].series[0]
    assert (single.created_ns, single.last, single.origin) == (T0 + 5, Decimal("0.75"), (TRACE, SPAN, T0 + 2_000_000_000))
    buckets = metric[names.CALL_DURATION].series[0]
    assert [one for one in buckets.exemplars if one] == [(2.0, (TRACE, SPAN, T0 + 2_000_000_000))]
    assert metric[names.UNATTRIBUTED_TOKENS].series[0].created_ns == T0


def test_an_exemplar_survives_a_later_call_without_a_trace(meters):
    meters.tool("t", "a", exemplar=Exemplar(TRACE, SPAN, T0))
    meters.tool("t", "a")
    (series,) = next(found.series for found in meters.collect() if found.spec.name == names.TOOL_CALLS)
    assert (series.value, series.origin) == (2, (TRACE, SPAN, T0))


def test_any_counter_or_gauge_can_be_moved_by_name(meters):
    meters.set(names.BUDGET_LIMIT_USD, ("day",), Decimal(10))
    meters.add(names.BUDGET_BLOCKED, ("day",), 1)
    assert values(meters, names.BUDGET_LIMIT_USD) == {("day",): 10}
    assert values(meters, names.BUDGET_BLOCKED) == {("day",): 1}


def test_agents_beyond_the_cap_become_other_and_no_token_is_lost(meters):
    for number in range(500):
        meters.call(call(owner=records.Owner("flow", f"agent {number}")))
    booked = values(meters, names.TOKENS)
    combinations = {labels[:4] + labels[5:] for labels in booked}
    assert len(combinations) == names.LABEL_COMBINATIONS_MAX + 1
    assert ("_other", "_other", "_other", "_other", "reported") in combinations
    assert sum(booked.values()) == 500 * 130
    assert sum(values(meters, names.COST_USD).values()) == 500 * Decimal("0.75")
    assert meters.overflow()[names.TOKENS] >= 1
    assert "agent 0" in {labels[2] for labels in booked}


def test_a_label_has_at_most_200_values_over_all_metrics(meters):
    for number in range(150):
        meters.tool(f"tool {number}", "a", duration_seconds=1)
        meters.tool_tokens(f"other tool {number}", "result", 1)
    tools = {labels[0] for labels in values(meters, names.TOOL_TOKENS)} | {
        labels[1] for labels in values(meters, names.TOOL_CALLS)
    }
    assert len(tools - {"_other"}) <= names.LABEL_VALUES_MAX
    assert "_other" in tools


def test_a_value_that_cannot_be_written_down_is_made_writable(meters):
    meters.call(call(model="bad \ud800 name", owner=records.Owner("flow", "x" * 10_000)))
    ((_, model, agent, _),) = values(meters, names.CALLS)
    assert model == "bad ? name"
    assert len(agent) == 200


def test_ten_thousand_strange_names_do_not_grow_the_meters(meters):
    def size():
        return sum(len(metric.series) for metric in meters.collect())

    for number in range(3000):
        meters.call(call(model=f"model {number}", provider=f"p {number}", owner=records.Owner(f"w {number}", f"a {number}")))
    first = size()
    for number in range(3000, 10_000):
        meters.call(call(model=f"model {number}", provider=f"p {number}", owner=records.Owner(f"w {number}", f"a {number}")))
    assert size() == first
    assert len(meters._rows) <= 2048


def test_threads_lose_nothing(meters):
    def work(number):
        for _ in range(500):
            meters.call(call(owner=records.Owner("flow", f"agent {number}")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        meters.collect()
    for thread in threads:
        thread.join()
    assert sum(values(meters, names.TOKENS).values()) == 8 * 500 * 130
    assert values(meters, names.WORKFLOW_COST_USD) == {("flow",): 8 * 500 * Decimal("0.75")}


def test_a_forked_child_starts_at_nothing_even_when_the_lock_was_held():
    meters = Meters()
    meters.call(call())
    read, write = os.pipe()
    with meters._lock:
        child = os.fork()
    if child == 0:
        meters.call(call())
        os.write(write, str(sum(values(meters, names.TOKENS).values())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"130"
    assert sum(values(meters, names.TOKENS).values()) == 130


def test_every_metric_of_the_conventions_has_a_spec_and_the_reverse():
    assert set(SPECS) == set(names.LABELS)
    assert {label for labels in names.LABELS.values() for label in labels} >= FREE


def test_no_histogram_has_more_than_ten_buckets_or_carries_agent_and_model():
    for spec in SPECS.values():
        if spec.kind == HISTOGRAM:
            assert 1 <= len(spec.bounds) <= 10
            assert list(spec.bounds) == sorted(set(spec.bounds))
            assert not {"agent", "model"} <= set(spec.labels)
        else:
            assert spec.bounds == ()
