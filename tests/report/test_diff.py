from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from costspan.errors import UsageError
from costspan.records import NO_USAGE, Usage
from costspan.report import diff_text
from costspan.report.diff import Diff, diff, exceeds, read_limit, side
from made_runs import made_call, made_run
from page_runs import HOSTILE, hostile_run, team_run


def compared(before, after) -> Diff:
    return diff(side("A", [before]), side("B", [after]))


def priced(amount: str, agent: str = "PM", usage: Usage | None = None):
    return made_run((made_call(agent, usage or Usage(10, 5), amount),))


def test_a_run_against_itself_changes_nothing():
    found = compared(team_run(), team_run())
    assert found.whole.cost_usd == 0
    assert found.whole.tokens == 0
    assert all(line.calls == 0 for lines in found.changes.values() for line in lines)
    assert exceeds(found, read_limit("0%", "cost")) is False


def test_the_lines_by_agent_and_by_model_add_up_to_the_whole():
    found = compared(team_run(), team_run(20, dearer="1.7"))
    for kind in ("agent", "model"):
        assert sum(line.cost_usd for line in found.changes[kind]) == found.whole.cost_usd
        assert sum(line.tokens for line in found.changes[kind]) == found.whole.tokens


def test_a_new_agent_and_one_that_is_gone_are_named_so():
    found = compared(priced("0.01", "PM"), priced("0.02", "Dev"))
    text = diff_text.plain(found)
    assert "Dev (new)" in text
    assert "PM (gone)" in text
    assert "+$0.0100" in text


@pytest.mark.parametrize(
    ("limit", "after", "expected"),
    [("10%", "0.11", False), ("10%", "0.1101", True), ("0.05", "0.15", False), ("$0.05", "0.1501", True), ("0%", "0.09", False)],
)
def test_a_limit_is_exceeded_only_beyond_it(limit, after, expected):
    assert exceeds(compared(priced("0.10"), priced(after)), read_limit(limit, "cost")) is expected


def test_a_first_side_that_cost_nothing_allows_nothing():
    assert exceeds(compared(priced("0"), priced("0.001")), read_limit("10%", "cost")) is True


def test_a_limit_on_tokens_and_calls_looks_at_these():
    found = compared(priced("0.1", usage=Usage(100, 0)), priced("0.1", usage=Usage(120, 0)))
    assert exceeds(found, read_limit("10%", "tokens")) is True
    assert exceeds(found, read_limit("10%", "calls")) is False


def test_unpriced_calls_make_the_judgement_unknown_unless_it_is_over_already():
    cheap, gap = made_call("PM", Usage(10, 5), "0.10"), made_call("PM", NO_USAGE, None, number=2)
    dear = replace(cheap, cost=replace(cheap.cost, amount_usd=Decimal(9)))
    limit = read_limit("10%", "cost")
    assert exceeds(compared(priced("0.10"), made_run((cheap, gap))), limit) is None
    assert exceeds(compared(priced("0.10"), made_run((dear, gap))), limit) is True
    assert exceeds(compared(made_run((cheap, gap)), priced("9")), limit) is None
    assert "lower bounds" in diff_text.plain(compared(priced("0.10"), made_run((cheap, gap))))


def test_no_calls_on_a_side_cannot_be_judged():
    assert exceeds(compared(made_run(()), priced("1")), read_limit("10%", "calls")) is None


@pytest.mark.parametrize("text", ["", "ten", "-5%", "nan", "inf%", "%"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--fail-over"):
        read_limit(text, "cost")


def test_markdown_keeps_hostile_names_as_text():
    page = diff_text.markdown(compared(team_run(), hostile_run()))
    assert "<" not in page
    assert HOSTILE not in page
    evil = made_run((made_call("[x](https://evil.example) | @team `a` ![i](//e)"),))
    shown = diff_text.markdown(compared(evil, evil))
    row = next(line for line in shown.splitlines() if "evil" in line)
    assert row.replace("\\|", "").count("|") == 8
    assert "](" not in row.replace("\\]", "").replace("\\[", "")
    assert "@" not in row
    assert "https://" not in row


def test_a_change_that_is_there_is_never_shown_as_none():
    for before, after, shown in (("1000", "1000.01", "+<0.1 %"), ("1000.01", "1000", "-<0.1 %"), ("1000", "1000", "+0.0 %")):
        runs = [made_run((made_call("A", cost=cost),)) for cost in (before, after)]
        assert f", {shown})" in diff_text.plain(compared(*runs)).splitlines()[1]
