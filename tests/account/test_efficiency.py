from __future__ import annotations

from decimal import Decimal

import pytest

from costspan.account.efficiency import efficiency
from costspan.account.totals import total
from costspan.records import AgentTotals, Call, Cost, Efficiency, Totals, Usage


def call(agent: str, usage: Usage, *, window: int | None = None, seconds: float = 1.0, cost: str | None = None) -> Call:
    priced = None if cost is None else Cost(Decimal(cost), {}, "table", "r")
    return Call(
        id="1", trace_id="2", provider="p", model="m", usage=usage, cost=priced, context_window_tokens=window,
        started_ns=0, ended_ns=int(seconds * 1e9), estimator=agent,
    )  # fmt: skip


def of(calls: list[Call], steps: int = 1) -> Efficiency:
    names = dict.fromkeys(str(each.estimator) for each in calls)
    agents = [AgentTotals(name, total(c for c in calls if c.estimator == name), Totals()) for name in names]
    return efficiency(total(calls), agents, calls, steps)


def test_a_pipeline_of_three_agents() -> None:
    found = of([
        call("PM", Usage(1234, 2456), window=200_000),
        call("Dev", Usage(2345, 4567), window=200_000),
        call("QA", Usage(1890, 1234), window=200_000),
    ])  # fmt: skip
    assert found.average_tokens_per_agent == pytest.approx(4575.33, abs=0.005)
    assert (found.max_agent, found.max_agent_tokens) == ("Dev", 6912)
    assert found.context_window_peak_percent == pytest.approx(3.456)
    assert found.input_output_ratio == pytest.approx(0.662, abs=0.0005)


def test_nothing_is_known_of_a_run_without_calls() -> None:
    assert efficiency(Totals(), [], [], 0) == Efficiency()


def test_a_ratio_with_nothing_beneath_is_unknown() -> None:
    found = of([call("PM", Usage(10, 0, cache_read_tokens=5), seconds=0)])
    assert (found.input_output_ratio, found.output_tokens_per_second, found.context_window_peak_percent) == (None, None, None)
    assert found.cache_hit_ratio == 0.5
    assert of([call("PM", Usage(10, 1))]).cache_hit_ratio is None


def test_speed_counts_only_the_time_of_calls_that_told_their_output() -> None:
    assert of([call("PM", Usage(10, 50), seconds=2), call("PM", Usage(10, None), seconds=8)]).output_tokens_per_second == 25


def test_the_window_of_the_call_itself_counts_not_the_sum() -> None:
    found = of([call("PM", Usage(900, 0), window=1000), call("PM", Usage(900, 0), window=10_000), call("PM", Usage(5, 5))])
    assert found.context_window_peak_percent == 90


def test_cost_per_step_is_exact_to_twelve_decimals() -> None:
    assert of([call("PM", Usage(1, 1), cost="0.01")], steps=4).cost_per_step_usd == Decimal("0.0025")
    assert of([call("PM", Usage(1, 1), cost="1")], steps=3).cost_per_step_usd == Decimal("0.333333333333")
    assert of([call("PM", Usage(1, 1), cost="1")], steps=0).cost_per_step_usd is None


def test_of_agents_with_equal_tokens_the_first_by_name_is_the_greatest() -> None:
    assert of([call("b", Usage(1, 1)), call("a", Usage(1, 1))]).max_agent == "a"
