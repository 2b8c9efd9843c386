"""Every query of every dashboard, run by a real Prometheus: over a night whose figures are known, and over a real run.

What the panels must show of the night (`past_day.py`) is worked out below from what happened in it:
a plan costs 1.00 (1,000 in, 400 of them cached; 200 out), a writing 2.00 (3,000 in, 1,000 out), a poll 0.01 (100 in, 20 out).
In the four hours from 22:00 there were 6 plans of the planner, 3 writings of R&D (EU) and 1 of the planner, 110 polls, 1 call of
nobody (0.50, 500 in, 100 out), and 4 odd ones: estimated (0.05, 100 in, 20 out), unpriced (200 in, 50 out), unreported, refused.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import pytest

import costspan
import grafana_queries
import past_day
from costspan import conventions as names
from costspan import guard
from costspan.account.meter_specs import SPECS
from past_day import END, PLANNER, POLLER, RANGE, WRITER, at
from real_prometheus import backfill, free_port, prometheus

pytestmark = pytest.mark.live

NOBODY, NAN = "(unattributed)", math.nan
ALL = dict.fromkeys(("environment", "workflow", "agent", "tool", "model", "provider", "budget"), ".*")
NIGHT = {**ALL, "job": ["agents", "batch", "workers"]}
ASKED = {asked.place: asked for asked in grafana_queries.queries()}


class At(NamedTuple):
    """What a line shows at a time of the night."""

    clock: str
    shown: dict[str, float]


def buckets(metric: str, *observed: float) -> dict[str, float]:
    """Cumulative counts by upper bound, as a heatmap gets them."""
    bounds = (*SPECS[metric].bounds, math.inf)
    return {f"{bound:g}": sum(one <= bound for one in observed) for bound in bounds}


CALLS = 6 + 3 + 1 + 110 + 1 + 4
KNOWN = CALLS - 2
TOKENS = 6 * 1200 + 4 * 4000 + 110 * 120 + 600 + 120 + 250
INPUT = 6 * 1000 + 4 * 3000 + 110 * 100 + 500 + 100 + 200
OUTPUT = 6 * 200 + 4 * 1000 + 110 * 20 + 100 + 20 + 50
SPENT = 6 * 1.00 + 4 * 2.00 + 110 * 0.01 + 0.50 + 0.05
TODAY = SPENT - 5 * 1.00 - 1 * 2.00
MONTH = SPENT + 1.00  # and the plan at 21:30
BY_AGENT = {PLANNER: 6 * 1.00 + 2.00 + 0.05, WRITER: 3 * 2.00, POLLER: 1.10, NOBODY: 0.50}
AGENT_TOKENS = {PLANNER: 6 * 1200 + 4000 + 120 + 250, WRITER: 3 * 4000, POLLER: 110 * 120, NOBODY: 600}
AGENT_CALLS = {PLANNER: 6 + 1 + 4, WRITER: 3, POLLER: 110, NOBODY: 1}
BY_WORKFLOW = {"research": 6.05, "support": 3 * 2.00 + 1.10, "nightly": 2.00, "(no workflow)": 0.50}
BY_MODEL = {"gpt": 6 * 1.00 + 0.50 + 0.05, "claude": 4 * 2.00, "mini": 1.10}
MODEL_TOKENS = {"gpt": 6 * 1200 + 600 + 120, "claude": 16000, "mini": 13200, "mystery": 250}
MODEL_CALLS = {"gpt": 6 + 1 + 3, "claude": 4, "mini": 110, "mystery": 1}
TOKEN_TYPES = {
    "input_uncached": 6 * 600 + 4 * 2000 + 110 * 100 + 500 + 100 + 200,
    "input_cache_read": 6 * 400, "input_cache_write": 4 * 1000,
    "output_visible": 6 * 150 + 4 * 1000 + 110 * 20 + 100 + 20 + 50, "output_reasoning": 6 * 50,
}  # fmt: skip
COST_TYPES = {
    "input_uncached": 6 * 0.60 + 4 * 0.90 + 110 * 0.006 + 0.40 + 0.03,
    "input_cache_read": 6 * 0.10, "input_cache_write": 4 * 0.30,
    "output_visible": 6 * 0.20 + 4 * 0.80 + 110 * 0.004 + 0.10 + 0.02, "output_reasoning": 6 * 0.10,
}  # fmt: skip
OUTCOMES = {"ok": CALLS - 1, "error": 1}
RUNS = {"ok": 3, "error": 1}  # 2.00, 3.00, 4.00 (the error) and 2.00 dollars
CONTEXT = buckets(names.CONTEXT_RATIO, *[0.6] * 6, *[1.0] * 4, *[0.06] * 110, 0.3)
FORECAST = MONTH + MONTH / 24 * (20 * 24 - 2)  # 20 days are left with this one, 2 hours of it are gone
EVEN_DAY, EVEN_MONTH = 10 * (1 - 2 / 24), 200 * (1 - (11 + 2 / 24) / 31)
HOURLY = At("01:30:00", {POLLER: 0.60, PLANNER: 0, WRITER: 0, NOBODY: 0})  # sixty polls an hour, nobody else just then

EXPECTED: dict[tuple[str, str], list[object]] = {
    ("overview", "Spend today"): [TODAY],
    ("overview", "Spend in this range"): [SPENT],
    ("overview", "Spend this month"): [MONTH],
    ("overview", "Month's forecast"): [FORECAST],
    ("overview", "Coverage"): [(KNOWN - 2) / (KNOWN + 1)],
    ("overview", "Alerts"): [0],
    ("overview", "Runs"): [4],
    ("overview", "Cost per run"): [(2 + 3 + 4 + 2) / 4],
    ("overview", "Cost per successful run"): [SPENT / 3],
    ("overview", "Runs that ended well"): [3 / 4],
    ("overview", "Runs in flight"): [2],
    ("overview", "Wasted"): [2.00 / SPENT],
    ("overview", "Today against the budget"): [{"everything": TODAY / 10}],
    ("overview", "Budget left today"): [{"everything": 10 - TODAY}, {"everything": EVEN_DAY}],
    ("overview", "This month against the budget"): [{"everything": MONTH / 200}],
    ("overview", "Burn-down of the month"): [
        {"everything": 200 - MONTH}, {"everything": EVEN_MONTH}, {"everything": 200 - FORECAST},
    ],
    ("overview", "Spend by workflow"): [{**BY_WORKFLOW, "multi": 0}],
    ("overview", "Spend per hour by agent"): [HOURLY],
    ("overview", "Dearest agents"): [BY_AGENT],
    ("overview", "Dearest models"): [BY_MODEL],
    ("overview", "Workflows"): [
        {**BY_WORKFLOW, "multi": 0}, {"research": 2, "support": 1, "nightly": 1}, {"research": 2.50, "support": 4, "nightly": 2},
    ],
    ("overview", "Finished runs by outcome"): [RUNS],
    ("overview", "Cost per run over time"): [At("01:33:00", {"": 2}), At("01:33:00", {"": 1.5}), At("01:33:00", {"": 1.95})],
    ("overview", "Limits in the processes"): [
        {"everything": 4}, {"everything": 10}, {"everything": 0.4}, {"everything": 250_000}, {"everything": 1_000_000},
        {"everything": 0.25}, {"everything": 3},
    ],
    ("overview", "Calls stopped by a budget"): [{"everything": 3}],
    ("agents", "Agents"): [
        BY_AGENT,
        AGENT_TOKENS,
        AGENT_CALLS,
        {agent: AGENT_TOKENS[agent] / AGENT_CALLS[agent] for agent in AGENT_TOKENS},
        {PLANNER: 4000, WRITER: 4000, POLLER: 120, NOBODY: 600},
        {PLANNER: (6000 + 3000 + 100 + 200) / (1200 + 1000 + 20 + 50), WRITER: 3, POLLER: 5, NOBODY: 5},
        {PLANNER: 2400 / 9300, WRITER: 0, POLLER: 0, NOBODY: 0},
        {PLANNER: 1 / 7, WRITER: 1, POLLER: 0, NOBODY: 0},
        {PLANNER: 0, WRITER: 2 / 6, POLLER: 0, NOBODY: 0},
    ],
    ("agents", "Spend per hour by agent"): [HOURLY],
    ("agents", "Tokens by agent"): [AGENT_TOKENS],
    ("agents", "Cost"): [SPENT],
    ("agents", "Tokens"): [TOKENS],
    ("agents", "Calls"): [CALLS],
    ("agents", "Average tokens per call"): [TOKENS / CALLS],
    ("agents", "Largest call"): [4000],
    ("agents", "Input per output"): [INPUT / OUTPUT],
    ("agents", "Cache hits"): [2400 / INPUT],
    ("agents", "Wasted"): [2.00 / SPENT],
    ("agents", "Tokens by type"): [TOKEN_TYPES],
    ("agents", "Cost by model"): [BY_MODEL],
    ("agents", "Calls by outcome"): [OUTCOMES],
    ("agents", "Context in use"): [CONTEXT],
    ("agents", "Waste by reason"): [{"failed_parse": 2.00}],
    ("agents", "Wasted tokens"): [{"failed_parse": 4000}],
    ("agents", "Cost by workflow"): [BY_WORKFLOW],
    ("agents", "Tool calls"): [{"search": 5, "ask_writer": 1}],
    ("agents", "Fullest call"): [At("00:42:00", {"": 1})],
    ("tools", "Tool calls"): [6],
    ("tools", "Failed"): [1 / 6],
    ("tools", "Tokens caused"): [30 + 500 + 200],
    ("tools", "Cost caused"): [0.03 + 0.25 + 0.02],
    ("tools", "Cost of nested calls"): [4.00],
    ("tools", "Average time"): [(4 * 2 + 4 + 10) / 6],
    ("tools", "Tools"): [
        {"search": 5, "ask_writer": 1},
        {"search": 1 / 5, "ask_writer": 0},
        {"search": 730},
        {"ask_writer": 8000},
        {"search": 730 / 5, "ask_writer": 8000},
        {"search": 0.30},
        {"ask_writer": 4.00},
        {"search": 0.30 / 4, "ask_writer": 4.00},
        {"search": (4 * 2 + 4) / 5, "ask_writer": 10},
        # four of search's five took 1 to 2.5 seconds and one 2.5 to 5: the 4.75th is three quarters into the latter
        {"search": 2.5 + 0.75 * 2.5, "ask_writer": 5 + 0.95 * 10},
        {"search": 12, "ask_writer": 10},
        {"search": 1},
    ],
    ("tools", "Calls by tool"): [{"search": 5, "ask_writer": 1}],
    ("tools", "Errors by tool"): [{"search": 1}],
    ("tools", "Time of tool calls"): [buckets(names.TOOL_DURATION, 2, 2, 2, 2, 4, 10)],
    ("tools", "Tokens by part"): [{"call": 30, "result": 500, "carried": 200, "nested": 8000}],
    ("tools", "Cost by part"): [{"call": 0.03, "result": 0.25, "carried": 0.02, "nested": 4.00}],
    ("tools", "Who calls which tool"): [{f"{PLANNER} search": 4, f"{WRITER} search": 1, f"{PLANNER} ask_writer": 1}],
    ("runs", "Runs"): [4],
    ("runs", "Ended well"): [3 / 4],
    ("runs", "Cost per run"): [11 / 4],
    ("runs", "Tokens per run"): [(2400 + 3600 + 8000 + 4000) / 4],
    ("runs", "Calls per run"): [(2 + 3 + 2 + 1) / 4],
    ("runs", "Time per run"): [(60 + 20 + 120 + 30) / 4],
    ("runs", "Cost of runs"): [buckets(names.RUN_COST_USD, 2, 3, 4, 2)],
    ("runs", "Tokens of runs"): [buckets(names.RUN_TOKENS, 2400, 3600, 8000, 4000)],
    ("runs", "Calls of runs"): [buckets(names.RUN_CALLS, 2, 3, 2, 1)],
    ("runs", "Time of runs"): [buckets(names.RUN_DURATION, 60, 20, 120, 30)],
    ("runs", "Runs by outcome"): [RUNS],
    ("runs", "Workflows"): [
        {"research": 2, "support": 1, "nightly": 1},
        {"research": 5.00, "support": 4.00, "nightly": 2.00},
        {"research": 2, "support": 3.5, "nightly": 1.5},  # within the buckets from 1 to 2 and from 2 to 5
        {"research": 2 + 0.9 * 3, "support": 2 + 0.95 * 3, "nightly": 1.95},
    ],
    ("runs", "Runs in flight"): [{"support": 2}],
    ("runs", "Dearest run in flight"): [{"support": 0.90}],
    ("runs", "Most calls of a run in flight"): [{"support": 7}],
    ("runs", "Most tokens of a run in flight"): [{"support": 900}],
    ("runs", "Now"): [{"10.0.0.1:9464 agents support": 2}],
    ("runs", "Time of calls"): [buckets(names.CALL_DURATION, *[2] * 6, *[8] * 4, *[1] * 110, *[2] * 5)],
    ("runs", "Input of calls"): [buckets(names.CALL_TOKENS, *[1000] * 6, *[3000] * 4, *[100] * 110, 500, 100, 200)],
    ("runs", "Output of calls"): [buckets(names.CALL_TOKENS, *[200] * 6, *[1000] * 4, *[20] * 110, 100, 20, 50)],
    ("models", "Cost"): [SPENT],
    ("models", "Tokens"): [TOKENS],
    ("models", "Price per million tokens"): [SPENT / (TOKENS - 250) * 1e6],
    ("models", "Cache hits"): [2400 / INPUT],
    ("models", "First token"): [0.25 + 0.95 * 0.25],  # all of them between 0.25 and 0.5 seconds
    ("models", "Failed calls"): [1 / CALLS],
    ("models", "Models"): [
        BY_MODEL,
        MODEL_TOKENS,
        MODEL_CALLS,
        {model: dollars / MODEL_TOKENS[model] * 1e6 for model, dollars in BY_MODEL.items()},
        {"gpt": (6 * 0.70 + 0.40 + 0.03) / 6600 * 1e6, "claude": 1.20 / 3000 * 1e6, "mini": 0.006 / 100 * 1e6},
        {"gpt": (6 * 0.30 + 0.10 + 0.02) / 1320 * 1e6, "claude": 0.80 / 1000 * 1e6, "mini": 0.004 / 20 * 1e6},
        {"gpt": 2400 / 6600, "claude": 0, "mini": 0, "mystery": 0},
        {"gpt": 1000, "claude": 4000, "mini": 100, "mystery": 1000},
        {"gpt": 2, "claude": 8, "mini": 1, "mystery": 2},
        {"gpt": 0.4875, "mini": 0.4875},
        {"gpt": 1320 / (10 * 2), "claude": 1000 / 8, "mini": 20, "mystery": 50 / 2},
        {"gpt": 1 / 10, "claude": 0, "mini": 0, "mystery": 0},
    ],
    ("models", "Tokens by type"): [TOKEN_TYPES],
    ("models", "Cost by type"): [COST_TYPES],
    ("models", "Calls by outcome"): [OUTCOMES],
    ("models", "Cost by provider"): [{"openai": SPENT - 8, "anthropic": 8}],
    ("models", "Price per million tokens over time"): [At("01:30:00", {"mini": 0.01 / 120 * 1e6, "gpt": NAN, "claude": NAN})],
    ("models", "Cache hits over time"): [At("00:43:00", {"gpt": 400 / 1000})],
    ("models", "Time to the first token"): [
        At("01:30:00", {"mini": 0.375, "gpt": NAN}), At("01:30:00", {"mini": 0.4875, "gpt": NAN}),
    ],
    ("models", "Time of calls"): [
        At("01:30:00", {"mini": 0.75, "gpt": NAN, "claude": NAN, "mystery": NAN}),
        At("01:30:00", {"mini": 0.975, "gpt": NAN, "claude": NAN, "mystery": NAN}),
    ],
    ("models", "Context in use (all models)"): [CONTEXT],
    ("health", "Coverage"): [(KNOWN - 2) / (KNOWN + 1)],
    ("health", "Estimated"): [120 / TOKENS],
    ("health", "Without an owner"): [600 / TOKENS],
    ("health", "Internal errors"): [1],
    ("health", "Age of the price table"): [10],
    ("health", "Ledger less calls"): [0],
    ("health", "Calls without a price"): [{"mystery acme unknown_model": 1}],
    ("health", "Calls without usage"): [{"gpt openai stream_without_usage": 1}],
    ("health", "Missing over time"): [{"unknown_model": 1}, {"stream_without_usage": 1}],
    ("health", "Where prices came from"): [{"override": 8, "table": SPENT - 8 - 0.05, "estimated": 0.05}],
    ("health", "Where usage came from"): [{"reported": TOKENS - 120, "estimated": 120}],
    ("health", "Folded duplicates"): [{"openinference costspan": 2}],
    ("health", "Internal errors by place"): [{"flush": 1}],
    ("health", "Duplicates over time"): [{"openinference": 2}],
    ("health", "Dollars that the ledger could not book"): [{"workers multi": 5}],
    ("health", "Versions in use"): [{"agents 1.2.3": 1, "batch 1.2.3": 1}],
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real Prometheus that holds the night, its spend ledger, and, under another job, a real instrumented run."""
    data = tmp_path_factory.mktemp("prometheus") / "data"
    guard.reset()  # of what other tests have let fail in this process
    past_day.store(data)
    backfill(data, past_day.levels(past_day.rule_files("1m")["costspan-spend.yml"]), start=past_day.FIRST, end=END)
    return data


@pytest.fixture(scope="module")
def running(server):
    """The Prometheus of `server`, scraping and evaluating every second; with the port that it scrapes."""
    port = free_port()
    for name, text in past_day.rule_files("1s").items():
        (server.parent / name).write_text(text, encoding="utf-8")
    config = (
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{server.parent}/costspan-*.yml']\n"
        f"scrape_configs: [{{job_name: live, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    with prometheus(server, config) as base:
        yield base, port


@pytest.fixture(scope="module")
def night(running):
    """Place -> label values -> points, of every query over the night."""
    base, _ = running
    return {place: grafana_queries.ask(base, asked, NIGHT, end=END, range_seconds=RANGE) for place, asked in ASKED.items()}


def shown(asked, found, expected):
    """What the panel shows, and what it must show, as label values -> figure."""
    clock, wanted = expected if isinstance(expected, At) else (None, expected)
    wanted = wanted if isinstance(wanted, dict) else {"": wanted}
    moment = at(clock) if clock else None
    return {name: grafana_queries.value(asked, points, moment) for name, points in found.items()}, wanted


def places():
    return [(*place, chr(ord("A") + number)) for place, wanted in EXPECTED.items() for number in range(len(wanted))]


def test_every_query_of_every_dashboard_has_its_expected_figure():
    assert {place for place, asked in ASKED.items()} == set(places())


@pytest.mark.parametrize("place", places(), ids=" / ".join)
def test_panel_shows_the_figure_of_the_night(night, place):
    found, wanted = shown(ASKED[place], night[place], EXPECTED[place[:2]][ord(place[2]) - ord("A")])
    found = {name: number for name, number in found.items() if number is not None}
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-9, nan_ok=True)


AGENT_SECTION = {
    "Cost": 6.00, "Tokens": 12000, "Calls": 3, "Average tokens per call": 4000, "Largest call": 4000, "Input per output": 3,
    "Cache hits": 0, "Wasted": 1 / 3,
}  # fmt: skip


@pytest.mark.parametrize("title", AGENT_SECTION)
def test_an_opened_agent_section_shows_that_agent_only(running, title):
    found = grafana_queries.ask(
        running[0], ASKED["agents", title, "A"], {**NIGHT, "agent": [WRITER]}, end=END, range_seconds=RANGE
    )
    assert [points[0][1] for points in found.values()] == [pytest.approx(AGENT_SECTION[title])]


def test_several_chosen_values_of_a_variable_are_summed(running):
    chosen = {**NIGHT, "agent": [WRITER, POLLER]}
    found = grafana_queries.ask(running[0], ASKED["agents", "Cost", "A"], chosen, end=END, range_seconds=RANGE)
    assert found[""][0][1] == pytest.approx(6.00 + 1.10)


def test_a_day_without_anything_shows_no_data_and_no_error(running):
    for asked in ASKED.values():
        grafana_queries.ask(running[0], asked, NIGHT, end=END - 30 * 86400, range_seconds=RANGE)


GROWTH = {"steady": 240, "born at 5": 5, "gone": 7, "straddling the start": 9}
AS_GOOD_AS_INCREASE = {"restarted": 150 + 89, "older than its first scrape": 1, "without created": 1}


def test_growth_is_exact_for_every_fate_of_a_process_and_as_good_as_increase_across_a_restart(running):
    health = ASKED["health", "Without an owner", "A"].target["expr"]
    inner = health[health.index("(\n      last_over_time(") : health.index("\n  )\n  or\n")]
    query = grafana_queries.put_in(inner, {**ALL, "job": "restarts"}, range_seconds=RANGE, step_seconds=60)
    told = grafana_queries.get(running[0], "query", query=query, time=END)
    found = {one["metric"]["instance"]: float(one["value"][1]) for one in told}
    assert {name: found.pop(name) for name in AS_GOOD_AS_INCREASE} == pytest.approx(AS_GOOD_AS_INCREASE, rel=0.02)
    assert found == GROWTH


# --- a real run ------------------------------------------------------------------------------------------------------

LIVE = {**ALL, "job": ["live"]}
QUIET = {
    ("overview", "Limits in the processes"), ("overview", "Calls stopped by a budget"), ("health", "Calls without a price"),
    ("health", "Calls without usage"), ("health", "Missing over time"), ("health", "Internal errors by place"),
    ("health", "Dollars that the ledger could not book"), ("agents", "Waste by reason"), ("agents", "Wasted tokens"),
    ("tools", "Tokens caused"), ("tools", "Cost caused"), ("tools", "Tools"), ("runs", "Now"),
}  # fmt: skip
"""Panels that may have nothing to show of the demo: it has no budget, wastes nothing and misses nothing, and has ended."""


@pytest.fixture(scope="module")
def live(running, tmp_path_factory):
    """(what the panels show of a run of the demo's agents that Prometheus scraped while costspan was on, the run)."""
    from costspan.demo.play import play

    base, port = running
    answers = {}

    def ask_all(shown) -> None:
        spent = float(shown.run.totals.cost_usd)
        ledger = f'sum(sum_over_time({names.WORKFLOW_COST_DELTA}{{job="live"}}[10m]))'
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = grafana_queries.get(base, "query", query=ledger)
            if found and float(found[0]["value"][1]) == pytest.approx(spent, rel=1e-9):
                break
            time.sleep(0.3)
        # The demo's own run may have begun and ended between two scrapes: what is in flight is shown by one that goes on.
        with costspan.run("goes on"):
            time.sleep(3)  # two more scrapes, so that there are rates
            end = time.time()
            answers.update({place: ask(asked, end) for place, asked in ASKED.items()})
        query = 'costspan_workflow_cost_usd_total{job="live"}'
        answers["exemplars"] = grafana_queries.get(base, "query_exemplars", query=query, start=end - 600, end=end + 60)

    def ask(asked, end):
        return grafana_queries.ask(base, asked, LIVE, end=end, range_seconds=600, step=1)

    run = play(seed=5, record_dir=tmp_path_factory.mktemp("records"), metrics_port=port, hold=ask_all).run
    return answers, run


def figures(live, *place):
    answers, _ = live
    return {name: grafana_queries.value(ASKED[place], points) for name, points in answers[place].items()}


def test_dollars_on_overview_are_the_sum_of_the_run_records(live):
    spent = float(live[1].totals.cost_usd)
    assert figures(live, "overview", "Spend in this range", "A")[""] == pytest.approx(spent, rel=1e-9)
    assert figures(live, "overview", "Spend today", "A")[""] == pytest.approx(spent, rel=1e-9)
    assert figures(live, "overview", "Cost per run", "A")[""] == pytest.approx(spent, rel=1e-9)
    assert sum(figures(live, "overview", "Dearest agents", "A").values()) == pytest.approx(spent, rel=1e-9)
    assert figures(live, "health", "Ledger less calls", "A")[""] == pytest.approx(0, abs=1e-12)


def test_agents_table_is_the_run_records_agents(live):
    _, run = live
    for column, wanted in (
        ("A", lambda agent: float(agent.self_totals.cost_usd)),
        ("B", lambda agent: agent.self_totals.usage.total_tokens),
        ("C", lambda agent: agent.self_totals.calls),
    ):
        told = {agent.name: pytest.approx(wanted(agent), rel=1e-9) for agent in run.agents if agent.self_totals.calls}
        assert figures(live, "agents", "Agents", column) == told


def test_largest_call_of_each_agent_is_that_of_the_run_record(live):
    _, run = live
    largest: dict[str, int] = {}
    for call in run.calls:
        name = call.owner.agent or NOBODY
        largest[name] = max(largest.get(name, 0), call.usage.total_tokens or 0)
    assert figures(live, "agents", "Agents", "E") == largest


def test_tools_table_is_the_run_records_tools(live):
    _, run = live
    assert figures(live, "tools", "Tools", "A") == {tool.name: tool.calls for tool in run.tools}
    errors = {tool.name: tool.errors for tool in run.tools if tool.errors}
    assert {name: count for name, count in figures(live, "tools", "Tools", "L").items() if count} == errors


def test_bars_of_the_live_run_add_up_to_its_tokens(live):
    by_type = figures(live, "models", "Tokens by type", "A")
    assert sum(by_type.values()) == live[1].totals.usage.total_tokens


def test_every_panel_shows_something_of_the_live_run_unless_nothing_happened(live):
    answers, _ = live
    assert {place[:2] for place in ASKED if not answers[place]} <= QUIET


def test_exemplars_lead_to_the_trace_of_the_run(live):
    answers, run = live
    traces = {one["labels"]["trace_id"] for series in answers["exemplars"] for one in series["exemplars"]}
    assert traces == set(run.trace_ids)


def test_print_what_every_panel_shows(night, capsys):
    with capsys.disabled():
        print("\n\npanel -> value (four hours of the night in tests/past_day.py)")
        for place, asked in ASKED.items():
            found, _ = shown(asked, night[place], EXPECTED[place[:2]][ord(place[2]) - ord("A")])
            values = ", ".join(f"{name or 'all'} {number:.6g}" for name, number in found.items() if number is not None)
            print(f"{place[0]:<9}{place[1]:<40}{place[2]}  {values[:150]}")
