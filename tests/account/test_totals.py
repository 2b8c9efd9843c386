from __future__ import annotations

import decimal
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costspan.account.totals import Tally, total
from costspan.records import NO_USAGE, Call, Cost, Totals, Usage


def call(usage: Usage = NO_USAGE, cost: str | None = None, **more: object) -> Call:
    priced = None if cost is None else Cost(Decimal(cost), {"input_uncached": Decimal(cost)}, "table", "openai/gpt@-")
    return Call(id="1", trace_id="2", provider="openai", model="gpt", usage=usage, cost=priced, **more)


COUNTS = st.none() | st.integers(0, 10**9)
AMOUNTS = st.none() | st.decimals(0, 1000, places=12).map(str)
CALLS = st.builds(
    lambda i, o, r, source, cost, hit, outcome: call(
        Usage(i, o, cache_read_tokens=r, source=source), cost, cache_hit=hit, outcome=outcome
    ),
    COUNTS,
    COUNTS,
    COUNTS,
    st.sampled_from(["reported", "estimated", "missing"]),
    AMOUNTS,
    st.booleans(),
    st.sampled_from(["ok", "error", "cancelled"]),
)


def test_a_sum_of_nothing_knows_nothing() -> None:
    assert total([]) == Totals()
    assert total([]).cost_usd is None
    assert total([]).usage.source == "missing"


def test_a_count_is_unknown_only_when_no_call_knows_it() -> None:
    result = total([call(Usage(10, 5)), call(Usage(7, None, cache_read_tokens=3)), call()])
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.cache_read_tokens) == (17, 5, 3)
    assert result.usage.reasoning_tokens is None
    assert result.usage.source == "reported"
    assert (result.coverage.reported_calls, result.coverage.missing_calls, result.calls) == (2, 1, 3)


def test_one_estimate_marks_the_sum_as_estimated() -> None:
    assert total([call(Usage(1, 1)), call(Usage(1, 1, source="estimated"))]).usage.source == "estimated"


def test_share_is_the_part_both_reported_and_priced() -> None:
    calls = [call(Usage(1, 1), "0.1"), call(Usage(1, 1)), call(Usage(1, 1, source="estimated"), "0.1"), call()]
    assert total(calls).coverage.share == 0.25
    assert total(calls).coverage.priced_calls == 2


def test_a_cache_hit_is_a_hit_and_nothing_else() -> None:
    result = total([call(Usage(10, 5), "1", cache_hit=True, started_ns=1, ended_ns=10**9)])
    assert result == Totals(cache_hits=1)


def test_money_is_exact_whatever_the_precision_of_the_host() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        result = total([call(Usage(1, 1), "1000.000000000001") for _ in range(3)])
    assert result.cost_usd == Decimal("3000.000000000003")
    assert result.cost_by_type == {"input_uncached": result.cost_usd}
    assert result.cost_by_source == {"table": result.cost_usd}


def test_a_clock_that_jumped_back_shortens_no_total() -> None:
    assert total([call(started_ns=5, ended_ns=1), call(started_ns=0, ended_ns=10**9)]).duration_seconds == 1.0


@given(st.lists(CALLS), st.lists(CALLS))
def test_merging_two_tallies_equals_adding_all_calls_in_any_order(left: list[Call], right: list[Call]) -> None:
    one, other = Tally(), Tally()
    for each in left:
        one.add(each)
    for each in right:
        other.add(each)
    one.merge(other)
    assert one.freeze() == total([*left, *right]) == total([*reversed(right), *reversed(left)])
