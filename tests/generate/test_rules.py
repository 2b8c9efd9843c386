from __future__ import annotations

import pytest
import yaml

from costspan.budgets import limits
from costspan.errors import SettingsError
from costspan.generate import budget_rules, rules, thresholds
from costspan.generate.alerts import JOB, WORKFLOW, fill, top_agents
from costspan.generate.alerts_spend import bound_pattern

KNOBS = thresholds.read()


def _exprs(text: str) -> dict[tuple[str, str], str]:
    found = {}
    for group in rules.groups(KNOBS, limits.parse(text))["costspan-spend.yml"]:
        for rule in group["rules"]:
            found[rule.get("record") or rule["alert"], rule.get("labels", {}).get("budget", "")] = rule["expr"]
    return found


def test_the_same_input_gives_the_same_text():
    assert rules.render(KNOBS) == rules.render(thresholds.read())


def test_a_budget_of_a_workflow_adds_up_what_the_ledger_has():
    found = _exprs("budgets: [{name: b, match: {workflow: w}, day_usd: 3}]")
    assert found["budget:costspan_cost_usd:today", "b"] == 'sum(workflow:costspan_cost_usd:today{workflow="w"}) or vector(0)'


def test_a_budget_without_match_covers_everything():
    found = _exprs("budgets: [{name: b, day_usd: 3}]")
    assert found["budget:costspan_cost_usd:today", "b"] == "sum(workflow:costspan_cost_usd:today) or vector(0)"


@pytest.mark.parametrize("key", ["agent", "model", "provider"])
def test_a_budget_of_calls_keeps_a_ledger_of_its_own(key):
    found = _exprs(f"budgets: [{{name: b, match: {{{key}: v, job: j}}, day_usd: 3}}]")
    seen = found["instance:costspan_budget_usd:seen", "b"]
    assert seen == f'last_over_time(costspan_cost_usd_total{{{key}="v", job="j"}}[5m])'


def test_several_values_match_exactly_these():
    (limit,) = limits.parse('budgets: [{name: b, match: {model: ["a.b", c]}, day_usd: 3}]')
    assert budget_rules.matchers(limit) == r'{model=~"a\\.b|c"}'


def test_a_value_with_quotes_cannot_leave_its_matcher():
    (limit,) = limits.parse("budgets: [{name: b, match: {workflow: 'a\"} or vector(1) #'}, day_usd: 3}]")
    assert budget_rules.matchers(limit) == r'{workflow="a\"} or vector(1) #"}'


def test_a_month_allows_its_720th_part_an_hour_and_a_day_its_24th():
    found = _exprs("budgets: [{name: m, month_usd: 720}, {name: d, day_usd: 12}]")
    assert found["budget:costspan_limit_usd:per_hour", "m"] == "vector(720 / 720)"
    assert found["budget:costspan_limit_usd:per_hour", "d"] == "vector(12 / 24)"


def test_a_limit_of_runs_alone_records_nothing():
    assert not any(name.startswith("budget:") and budget for name, budget in _exprs("budgets: [{name: b, run_usd: 3}]"))


def test_owners_labels_are_on_the_alerts_of_their_runs():
    for group in rules.groups(KNOBS, limits.parse("budgets: [{name: b, run_usd: 3, labels: {team: t}}]"))["costspan-spend.yml"]:
        teams = [rule["labels"].get("team") for rule in group["rules"] if rule.get("alert") == "CostspanRunawayRun"]
    assert teams == [None, None, None, "t"]


def test_a_day_may_begin_elsewhere():
    text = rules.render(
        thresholds.build({**_plain(), "calendar": {"utc_offset_hours": 5.5}}, origin="test"),
    )["costspan-spend.yml"]
    assert "day_of_month(vector(time() + 19800))" in text


def test_the_kubernetes_object_has_the_same_groups():
    document = yaml.safe_load(rules.prometheus_rule(KNOBS))
    assert [group["name"] for group in document["spec"]["groups"]] == ["costspan-spend", "costspan-quality", "costspan-telemetry"]
    assert document["spec"]["groups"] == [group for file in rules.groups(KNOBS).values() for group in file]


def test_files_are_replaced_whole(tmp_path):
    rules.write(tmp_path / "new", {"a.yml": "one\n"})
    rules.write(tmp_path / "new", {"a.yml": "two\n"})
    assert [(path.name, path.read_text()) for path in (tmp_path / "new").iterdir()] == [("a.yml", "two\n")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="give another --out"):
        rules.write(tmp_path / "file", {"a.yml": "x"})


def test_summaries_are_templates():
    assert fill("<workflow> spent <$>", WORKFLOW) == '{{ $labels.workflow }} spent ${{ $value | printf "%.2f" }}'


def test_a_sum_in_a_summary_is_of_the_alerts_own_labels():
    assert "sum(x{job=%q, environment=%q})` $labels.job $labels.environment | query" in fill("<usd x>", JOB)


def test_agents_are_those_of_the_alerts_workflow():
    assert "workflow=%q" in top_agents(WORKFLOW)


@pytest.mark.parametrize(("bound", "ways"), [(5, "5|5[.]0"), (0.5, "0[.]5"), (1e6, "1000000|1000000[.]0|1e[+]06")])
def test_a_bucket_bound_is_found_however_it_is_written(bound, ways):
    assert bound_pattern(bound) == ways


def _plain() -> dict[str, dict[str, object]]:
    return yaml.safe_load(next(place for place in thresholds.SHIPPED if place.is_file()).read_text())
