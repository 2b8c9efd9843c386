from __future__ import annotations

from decimal import Decimal

import pytest

from costspan.budgets import limits
from costspan.errors import SettingsError


def test_a_whole_budget():
    (limit,) = limits.parse(
        "version: 1\nbudgets:\n- {name: r, match: {workflow: w, model: [a, b]}, day_usd: 10, month_usd: 0.1, labels: {team: t}}"
    )
    assert limit == limits.Limit(
        "r", {"workflow": ("w",), "model": ("a", "b")}, day_usd=Decimal(10), month_usd=Decimal("0.1"), labels={"team": "t"}
    )


def test_run_limits():
    (limit,) = limits.parse("budgets: [{name: r, run_usd: 2.50, run_calls: 50, run_tokens: 200_000}]")
    assert (limit.run_usd, limit.run_calls, limit.run_tokens) == (Decimal("2.50"), 50, 200_000)


def test_money_is_what_was_written_not_its_float():
    (limit,) = limits.parse("budgets: [{name: r, day_usd: 0.30000000000000000001}]")
    assert limit.day_usd == Decimal("0.30000000000000000001")


def test_values_that_look_like_numbers_stay_text():
    (limit,) = limits.parse("budgets: [{name: '7', match: {workflow: 2024-01-01, agent: yes, model: 4.10}, day_usd: 1}]")
    assert limit.match == {"workflow": ("2024-01-01",), "agent": ("yes",), "model": ("4.10",)}


def test_no_budgets_are_no_limits():
    assert limits.parse("budgets: []") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a list under 'budgets:'"),
        ("budgets: {name: x}", "expected a list under 'budgets:'"),
        ("budgets: [", "not valid YAML"),
        ("version: 2\nbudgets: []", "this costspan reads version: 1"),
        ("bugdets: []\nbudgets: []", "did you mean 'budgets'?"),
        ("budgets: [3]", "budget 1: expected name, match and limits"),
        ("budgets: [{day_usd: 1}]", "budget 1: name must be"),
        ("budgets: [{name: 'a b', day_usd: 1}]", "name must be 1 to 63 letters"),
        ("budgets: [{name: a}]", "budget 1 (a): no limit; give at least one of day_usd"),
        ("budgets: [{name: a, daily_usd: 1}]", "unknown key 'daily_usd'; did you mean 'day_usd'?"),
        ("budgets: [{name: a, day_usd: 0}]", "day_usd: '0' is not an amount of US dollars above 0"),
        ("budgets: [{name: a, day_usd: ten}]", "day_usd: 'ten' is not an amount"),
        ("budgets: [{name: a, day_usd: .inf}]", "is not an amount"),
        ("budgets: [{name: a, day_usd: [1]}]", "is not an amount"),
        ("budgets: [{name: a, run_calls: 1.5}]", "run_calls: '1.5' is not a whole number above 0"),
        ("budgets: [{name: a, match: w, day_usd: 1}]", "match must be names with values"),
        ("budgets: [{name: a, match: {workflows: w}, day_usd: 1}]", "did you mean 'workflow'?"),
        ("budgets: [{name: a, match: {workflow: []}, day_usd: 1}]", "match.workflow must be a value or a list"),
        ("budgets: [{name: a, match: {workflow: {x: y}}, day_usd: 1}]", "match.workflow must be a value or a list"),
        ("budgets: [{name: a, match: {agent: x}, run_usd: 1}]", "cannot be matched by agent"),
        ("budgets: [{name: a, day_usd: 1, labels: {severity: x}}]", "label 'severity' cannot be used"),
        ("budgets: [{name: a, day_usd: 1, labels: {a-b: x}}]", "label 'a-b' cannot be used"),
        ("budgets: [{name: a, day_usd: 1, labels: [x]}]", "labels must be names with text"),
        ("budgets: [{name: a, day_usd: 1}, {name: a, day_usd: 2}]", "two budgets are called 'a'"),
    ],
)
def test_a_bad_file_says_where_and_what(text, said):
    with pytest.raises(SettingsError) as error:
        limits.parse(text, origin="team.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("team.yaml")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        limits.read(tmp_path / "none.yaml")
