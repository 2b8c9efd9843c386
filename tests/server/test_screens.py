"""The pure parts of the screens: history in, plain figures out."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costspan.budgets.limits import Limit
from costspan.history.rows import Group, Sums
from costspan.server.screens.budgets import budget, budgets
from costspan.server.screens.measurement import groups
from costspan.server.screens.spend import OTHERS, STACKED, spend

DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")
TEAM = Limit("team", {"workflow": ("release", "triage")}, day_usd=Decimal(2))


def sums(dollars: str | None, **more: int) -> Sums:
    nano = None if dollars is None else int(Decimal(dollars) * 10**9)
    known = {"calls": 1, "reported_calls": 1, "priced_calls": int(dollars is not None), "input_tokens": 10}
    return Sums(**{**known, "cost_nano": nano, **more})


@pytest.mark.parametrize(
    ("spent", "gone", "state", "left"),
    [
        ("0.50", "0.5", "ok", "$1.50"),
        ("1.70", "0.9", "near", "$0.3000"),
        ("0.90", "0.25", "near", "$1.10"),
        ("2.50", "0.5", "over", "$0.5000 over"),
        ("2", "0.5", "over", "$0"),
    ],
)
def test_a_budget_tells_what_is_left_and_where_the_period_ends(spent, gone, state, left):
    row = budget(TEAM, "today", TEAM.day_usd, sums(spent), Decimal(gone))
    assert (row.state, row.left, row.scope) == (state, left, "workflow release or triage")


def test_a_budget_of_calls_without_price_says_so():
    row = budget(TEAM, "today", TEAM.day_usd, sums(None), Decimal("0.5"))
    assert (row.spent, row.left) == ("unknown", "$2.00")


def test_no_forecast_from_the_first_minutes_of_a_period():
    assert budget(TEAM, "today", TEAM.day_usd, sums("0.5"), Decimal("0.001")).forecast == ""


def test_a_budget_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "budgets.yaml").write_text("budgets: [{name: x}]")
    found = budgets(None, tmp_path / "budgets.yaml")
    assert "no limit" in found.trouble
    assert budgets(None, None) is None


def test_the_dearest_are_stacked_and_the_rest_is_one_line():
    names = [f"model-{number}" for number in range(STACKED + 3)]
    found = spend([Group((DAYS[1], name), sums(f"{20 - place}")) for place, name in enumerate(names)], DAYS, "no model")
    assert [name for name, _ in found.legend] == [*names[:STACKED], OTHERS]
    assert found.data["told"] == ["no calls", "$155.00", "no calls"]
    assert sum(one["values"][1] for one in found.data["series"]) == pytest.approx(155)


def test_a_day_of_unknown_cost_is_not_told_as_zero():
    found = spend([Group((DAYS[0], "a"), sums("1")), Group((DAYS[2], None), sums(None))], DAYS, "no model")
    assert found.data["told"] == ["$1.00", "no calls", "unknown"]
    assert [day.cost for day in found.days] == ["unknown", "$1.00"]


def test_without_any_price_there_is_nothing_to_draw():
    assert spend([Group((DAYS[0], "a"), sums(None))], DAYS, "no model") is None


def test_the_state_of_the_server_is_told_in_groups():
    found = dict(groups({"ok": True, "pid": 4711, "uptime_seconds": 61.0, "forward": None, "received": {"spans": 1200}}))
    assert [(fact.name, fact.value) for fact in found["Server"]] == [("pid", "4711"), ("uptime", "1 m 01 s"), ("forward", "–")]
    assert found["Received"][0].value == "1,200"
