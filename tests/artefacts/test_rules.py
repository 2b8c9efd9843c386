"""The committed rules: generated, valid, on known names only, and every alert tested both ways."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

import promql_names
from costspan import conventions
from costspan.account.meter_specs import SPECS
from costspan.budgets import limits
from costspan.generate import rules, thresholds
from real_programs import ROOT, require

if TYPE_CHECKING:
    from pathlib import Path

PROMETHEUS = ROOT / "deploy" / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
EXAMPLE = PROMETHEUS / "budgets.example.yaml"
ALWAYS_FIRING = {"CostspanWatchdog"}


def _rules(folder: Path) -> list[dict[str, object]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


DEFAULT = _rules(PROMETHEUS / "rules")
WITH_BUDGETS = _rules(PROMETHEUS / "tests" / "rules")
ALERTS = {str(rule["alert"]): rule for rule in [*WITH_BUDGETS, *DEFAULT] if "alert" in rule}


def test_committed_rules_are_what_the_thresholds_give():
    assert rules.render(thresholds.read()) == {path.name: path.read_text() for path in (PROMETHEUS / "rules").glob("*.yml")}


def test_rules_of_the_tests_are_what_the_example_budgets_give():
    committed = {path.name: path.read_text() for path in (PROMETHEUS / "tests" / "rules").glob("*.yml")}
    assert rules.render(thresholds.read(), limits.read(EXAMPLE)) == committed


def test_promtool_accepts_all_rules():
    files = [*(PROMETHEUS / "rules").glob("*.yml"), *(PROMETHEUS / "tests" / "rules").glob("*.yml")]
    done = subprocess.run([require("promtool"), "check", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "duplicate" not in done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_test_passes(path: Path):
    done = subprocess.run([require("promtool"), "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_groups_are_evaluated_in_a_fixed_order(path: Path):
    test = yaml.safe_load(path.read_text(encoding="utf-8"))
    files = [yaml.safe_load((path.parent / name).read_text(encoding="utf-8")) for name in test["rule_files"]]
    assert test["group_eval_order"] == [group["name"] for file in files for group in file["groups"]]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_fires_in_one_test_with_dollars_and_is_silent_in_another(name: str):
    checks = [
        check
        for path in TESTS
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for check in test.get("alert_rule_test", [])
        if check["alertname"] == name
    ]
    fired = [alert for check in checks for alert in check.get("exp_alerts", [])]
    assert fired
    assert all("$" in alert["exp_annotations"]["summary"] for alert in fired)
    assert name in ALWAYS_FIRING or any(not check.get("exp_alerts") for check in checks)


@pytest.mark.parametrize("rule", [*DEFAULT, *WITH_BUDGETS], ids=lambda rule: rule.get("record") or rule.get("alert"))
def test_rules_name_only_metrics_and_labels_of_conventions(rule: dict[str, object]):
    annotations = rule.get("annotations", {})
    expressions = [rule["expr"], *(query for text in annotations.values() for query in promql_names.queries_in(text))]
    assert [fault for expression in expressions for fault in promql_names.faults(expression)] == []


def test_labels_in_alert_texts_are_labels_of_the_alert():
    for rule in (rule for rule in WITH_BUDGETS if "alert" in rule):
        read = promql_names.metrics_in(rule["expr"])
        known = {label for metric in read for label in promql_names.known_labels(metric)} | set(rule["labels"])
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert used <= known, rule["alert"]


def test_an_unknown_metric_or_label_would_be_found():
    assert promql_names.faults("rate(costspan_dollars_total[5m])") == ["no such metric: costspan_dollars_total"]
    assert promql_names.faults('costspan_tokens_total{pipeline="x"}') == ["costspan_tokens_total has no label ['pipeline']"]
    assert promql_names.faults("sum by (run_id) (costspan_tokens_total)") == ["nothing there has a label 'run_id'"]


def test_recorded_names_and_the_convention_are_the_same():
    assert {rule["record"] for rule in WITH_BUDGETS if "record" in rule} == set(conventions.RECORDED)


def test_every_recorded_series_is_read_by_somebody():
    read = {metric for rule in WITH_BUDGETS for metric in promql_names.metrics_in(rule["expr"])}
    texts = " ".join(str(rule.get("annotations", "")) for rule in WITH_BUDGETS)
    dashboards = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "grafana").rglob("*.json"))
    unread = {name for name in conventions.RECORDED if name not in read and name not in texts and name not in dashboards}
    assert unread == set()


def test_the_ledger_of_workflows_reads_one_counter_only():
    ledger = {rule["record"]: promql_names.metrics_in(rule["expr"]) for rule in DEFAULT if "record" in rule}
    money = {
        name: read
        for name, read in ledger.items()
        if name.startswith(("instance:costspan_cost", "workflow")) and "run" not in name
    }
    raw = {metric for read in money.values() for metric in read if metric not in conventions.RECORDED}
    assert raw == {"costspan_workflow_cost_usd_total", "costspan_workflow_cost_usd_created"}


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_has_severity_dollars_top_agents_a_runbook_and_a_link(rule: dict[str, object]):
    annotations = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert "${{" in annotations["summary"]
    assert "Top agents" in annotations["summary"]
    assert "/debug/runs" in annotations["debug_url"]
    address, _, anchor = annotations["runbook_url"].partition("#")
    assert address.endswith("/deploy/runbook.md")
    assert anchor in _headings(ROOT / "deploy" / "runbook.md")


def test_the_runbook_has_no_alert_that_does_not_exist():
    about = {heading for heading in _headings(ROOT / "deploy" / "runbook.md") if heading.startswith("costspan")}
    assert about == {name.lower() for name in ALERTS}


def test_every_alert_is_in_the_docs():
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert [name for name in ALERTS if name not in text] == []


def test_limits_of_finished_runs_are_bucket_bounds():
    limit = thresholds.read().run_finished
    bounds = [SPECS[name].bounds for name in (conventions.RUN_COST_USD, conventions.RUN_CALLS, conventions.RUN_TOKENS)]
    assert [value in bound for value, bound in zip((limit.cost_usd, limit.calls, limit.tokens), bounds, strict=True)] == [
        True
    ] * 3


def _headings(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.lstrip("#").strip().lower().replace(" ", "-") for line in lines if line.startswith("#")}
