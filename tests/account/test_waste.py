from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest

from costspan.account.waste import Asked, waste, waste_reason
from costspan.records import NO_USAGE, Call, Cost, Owner, Usage, Waste

_ids = count(1)


def call(**more: object) -> Call:
    told = {"usage": Usage(100, 20), "owner": Owner(agent="Dev"), "cost": Cost(Decimal("0.5"), {}, "table", "r"), **more}
    return Call(**{"id": str(next(_ids)), "trace_id": "2", "provider": "p", "model": "m", **told})


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({}, None),
        ({"waste": "failed_parse", "outcome": "error"}, "failed_parse"),
        ({"outcome": "error"}, "error"),
        ({"outcome": "cancelled"}, "aborted"),
        ({"finish_reason": "max_tokens"}, "truncated"),
        ({"outcome": "error", "usage": NO_USAGE, "cost": None}, None),
        ({"outcome": "error", "cache_hit": True}, None),
    ],
)
def test_the_reason_of_waste_is_what_was_told_or_what_the_end_shows(what: dict[str, object], reason: str | None) -> None:
    assert waste_reason(call(**what)) == reason


def test_waste_is_summed_by_reason_and_agent_the_dearest_first() -> None:
    calls = [call(outcome="error"), call(finish_reason="length"), call(outcome="error"), call(), call(outcome="error", cost=None)]
    assert waste(calls) == (
        Waste("error", "Dev", 3, 360, Decimal("1.0")),
        Waste("truncated", "Dev", 1, 120, Decimal("0.5")),
    )


def test_a_request_sent_again_word_for_word_is_a_repeated_call() -> None:
    (row,) = waste([call(request_hash="a"), call(request_hash="a"), call(request_hash="b")])
    assert (row.reason, row.calls) == ("repeated_call", 1)


def test_the_retry_after_a_failure_is_not_a_repeated_call() -> None:
    (row,) = waste([call(request_hash="a", outcome="error"), call(request_hash="a")])
    assert row.reason == "error"


def test_two_agents_that_ask_the_same_repeat_nothing() -> None:
    assert waste([call(request_hash="a"), call(request_hash="a", owner=Owner(agent="QA"))]) == ()


def test_equal_requests_at_the_same_time_are_a_choice_and_repeat_nothing() -> None:
    calls = [call(id=str(n), request_hash="a", started_ns=n, ended_ns=100 + n) for n in range(3)]
    assert waste(calls) == ()
    assert waste([*calls, call(id="9", request_hash="a", started_ns=200, ended_ns=300)])[0].calls == 1


def test_asking_twice_about_one_call_gives_the_same_answer() -> None:
    asked = Asked()
    first, second = (call(id=name, request_hash="a", started_ns=at, ended_ns=at + 1) for name, at in (("a", 0), ("b", 5)))
    assert [asked.reason(each) for each in (first, first, second, second)] == [None, None, "repeated_call", "repeated_call"]
    assert asked.settled(second).waste == "repeated_call"
