from __future__ import annotations

import pytest

from account_cases import MS, Trace, play
from costspan.account import folder as module
from costspan.account.dedupe import Folded, Folder
from costspan.records import AGENT, NO_USAGE, Usage


class Life:
    """Starts and ends spans of a trace by hand."""

    def __init__(self) -> None:
        self.folder = Folder()
        self.trace = Trace()

    def start(self, *spans: object) -> None:
        for record, reading in spans:
            self.folder.started(record, reading)

    def end(self, span: object) -> list[Folded]:
        return self.folder.ended(*span)


@pytest.fixture
def life() -> Life:
    return Life()


def members(found: list[Folded]) -> list[int]:
    return [len(folded.spans) for folded in found]


def test_with_one_scope_a_call_is_settled_the_moment_it_ends(life: Life) -> None:
    first = life.trace.call(0, 10, (100, 20))
    second = life.trace.call(5, 15, (100, 20))
    life.start(first, second)
    assert members(life.end(first)) == [1]
    assert members(life.end(second)) == [1]


def test_an_inner_call_waits_for_the_outer_one_in_another_trace(life: Life) -> None:
    outer = life.trace.call(0, 10, (100, 20), scope="framework")
    inner = life.trace.call(1, 9, (100, 20), scope="sdk", trace=2)
    life.start(outer, inner)
    assert life.end(inner) == []
    (folded,) = life.end(outer)
    assert folded.record is outer[0]
    assert [duplicate.scope for duplicate in folded.duplicates] == ["sdk"]
    assert life.folder.waiting == 0


def test_an_agent_that_is_still_open_keeps_no_call_waiting(life: Life) -> None:
    agent = life.trace.agent("Dev", 0, 100)
    outer = life.trace.call(0, 10, (100, 20), scope="framework", parent=agent)
    inner = life.trace.call(1, 9, (100, 20), scope="sdk", parent=outer)
    life.start(agent, outer, inner)
    assert life.end(inner) == []
    assert members(life.end(outer)) == [2]


def test_a_span_that_is_surely_no_call_keeps_no_call_waiting_and_links_parents(life: Life) -> None:
    outer = life.trace.call(0, 10, (100, 20), scope="framework")
    http = life.trace.span(None, 1, 12, parent=outer)
    inner = life.trace.call(2, 9, None, scope="sdk", parent=http)
    life.folder.started(*outer)
    life.folder.started(*http, may_be_call=False)
    life.folder.started(*inner)
    assert life.end(inner) == []
    assert members(life.end(outer)) == [2]


def test_after_fifteen_seconds_a_call_is_settled_and_its_late_layer_is_only_a_duplicate(life: Life) -> None:
    outer = life.trace.call(0, 60_000, (100, 20), scope="framework")
    inner = life.trace.call(1, 1_000, (100, 20), scope="sdk", trace=2)
    life.start(outer, inner)
    assert life.end(inner) == []
    assert life.folder.expire(15_000 * MS) == []
    (early,) = life.folder.expire(16_000 * MS)
    assert (early.record, early.already_booked) == (inner[0], False)
    (late,) = life.end(outer)
    assert late.already_booked
    assert [duplicate.scope for duplicate in late.duplicates] == ["framework"]


def test_a_span_that_never_ends_holds_up_nobody_twice(life: Life) -> None:
    leaked = life.trace.call(0, 1, (1, 1), scope="framework")
    first = life.trace.call(1, 2, (100, 20), scope="sdk")
    life.start(leaked, first)
    assert life.end(first) == []
    assert members(life.folder.expire(20_000 * MS)) == [1]
    second = life.trace.call(20_001, 20_002, (100, 20), scope="sdk")
    life.start(second)
    assert members(life.end(second)) == [1]


def test_the_end_of_a_run_settles_its_calls(life: Life) -> None:
    leaked = life.trace.call(0, 1, (1, 1), scope="framework")
    mine = life.trace.call(1, 2, (100, 20), scope="sdk")
    other = life.trace.call(1, 2, (300, 20), scope="sdk", trace=7)
    life.start(leaked, mine, other)
    assert life.end(mine) == life.end(other) == []
    (folded,) = life.folder.run_ended(1)
    assert folded.record is mine[0]
    assert life.folder.waiting == 1
    assert members(life.folder.flush()) == [1]


def test_a_parents_sum_counts_when_it_ends_without_a_call_beneath_it(life: Life) -> None:
    for inner in (True, False):
        agent = life.trace.unit(AGENT, "Dev", 0, 10, usage=Usage(100, 20), repeats_children=True)
        life.start(agent)
        if inner:
            cycle = life.trace.span(None, 1, 9, parent=agent)
            call = life.trace.call(2, 8, (100, 20), parent=cycle)
            life.start(cycle, call)
            assert len([*life.end(call), *life.end(cycle)]) == 1
        assert len(life.end(agent)) == (0 if inner else 1)


def test_a_report_that_comes_after_the_call_was_settled_is_only_a_duplicate(life: Life) -> None:
    parent = life.trace.span(None, 0, 100)
    opener = life.trace.call(1, 5, None, scope="log", parent=parent)
    inner = life.trace.call(2, 20, (100, 20), scope="sdk", response_id="a", parent=opener)
    report = life.trace.call(25, 25, (100, 20), scope="log", parent=parent, ends_stream=True)
    life.folder.started(*parent, may_be_call=False)
    found = play(life.folder, [opener, inner, report])
    assert [(members([folded]), folded.already_booked) for folded in found] == [([2], False), ([3], True)]


def test_a_cache_hit_is_told_with_its_call(life: Life) -> None:
    first = life.trace.call(0, 80, (100, 20), response_id="a")
    again = life.trace.call(100, 100.5, (100, 20), response_id="a")
    assert [folded.cache_hit for folded in play(life.folder, [first, again])] == [False, True]


def test_a_span_that_ended_without_a_start_is_settled_all_the_same(life: Life) -> None:
    assert members(life.end(life.trace.call(0, 1, (1, 1)))) == [1]
    assert life.end(life.trace.span(None, 0, 1)) == []


def test_memory_is_bounded_whatever_never_ends(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPEN_MAX", "PENDING_MAX", "BOOKED_MAX"):
        monkeypatch.setattr(module, name, 20)
    settled = 0
    for each in range(200):
        leaked = life.trace.call(each, each + 1, (1, 1), scope="framework")
        ended = life.trace.call(each, each + 1, (each, 20), scope="sdk")
        life.start(leaked, ended)
        settled += len(life.end(ended))
    inside = life.folder
    assert max(len(inside._spans), len(inside._open_calls), len(inside._blocking), inside.waiting) <= 21
    assert settled + len(inside.flush()) == 200
    life.end(life.trace.span(None, 0, 1))
    assert len(inside._booked) <= 20


def test_a_call_without_usage_is_settled_at_the_end_even_if_no_report_came(life: Life) -> None:
    call = life.trace.call(0, 10, NO_USAGE, stream=True)
    life.start(call)
    assert life.end(call) == []
    assert members(life.folder.run_ended(1)) == [1]


def test_a_call_span_that_tells_the_sum_of_calls_beneath_it_is_no_call(life: Life) -> None:
    outer = life.trace.call(0, 100, (300, 50))
    between = life.trace.span(None, 1, 99, parent=outer)
    one = life.trace.call(2, 20, (100, 20), parent=between)
    two = life.trace.call(30, 60, (200, 30), parent=between)
    found = play(life.folder, [outer, between, one, two])
    assert [folded.record for folded in found] == [one[0], two[0]]
