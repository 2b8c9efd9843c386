"""Everything under deploy/ that a tool can check is checked by that tool."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from costspan.generate import rules, thresholds
from real_programs import CACHE, INSTALL, ROOT, missing, require

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
COLLECTOR = f"{CACHE}/bin/otelcol-costspan-0.158.0"
KUSTOMIZE = f"GOBIN={CACHE}/bin go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
FIRING = {
    "receiver": "page",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "CostspanDailyBudgetExceeded", "budget": "research", "severity": "critical"},
            "annotations": {
                "summary": "Budget research is exceeded: $12.50 of $10.00 spent this day. Top agents: planner $8.00.",
                "debug_url": "http://a:9464/debug/runs",
                "runbook_url": "https://example.org/runbook.md#costspandailybudgetexceeded",
            },
            "startsAt": "2026-11-22T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
        }
    ],
    "groupLabels": {"alertname": "CostspanDailyBudgetExceeded"},
    "commonLabels": {"alertname": "CostspanDailyBudgetExceeded", "budget": "research", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
}


def _run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_configuration():
    _run(require("promtool"), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_amtool_accepts_the_configuration_and_finds_the_templates():
    assert " 1 templates" in _run(require("amtool"), "check-config", ALERTMANAGER)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=critical", "alertname=CostspanRunawayRun"], "page"),
        (["severity=warning", "alertname=CostspanSpendSpike"], "team"),
        (["severity=info", "alertname=CostspanNoBudgetSet"], "notes"),
        (["severity=none", "alertname=CostspanWatchdog"], "watchdog"),
    ],
)
def test_alerts_are_routed_by_severity(labels, receiver):
    assert _run(require("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels).strip() == receiver


def test_inhibition_names_alerts_that_exist():
    config = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    matchers = [text for rule in config["inhibit_rules"] for text in rule["source_matchers"] + rule["target_matchers"]]
    named = {name for text in matchers for name in re.findall(r"Costspan\w+", text)}
    exist = {rule.get("alert") for file in rules.groups(thresholds.read()).values() for group in file for rule in group["rules"]}
    assert named <= exist


@pytest.mark.parametrize("name", ["costspan.title", "costspan.text", "costspan.slack.text", "costspan.email.html"])
def test_texts_render_and_show_dollars_and_agents(name, tmp_path):
    text = _rendered(name, tmp_path)
    if name == "costspan.title":
        assert text == "[FIRING 1] CostspanDailyBudgetExceeded · research"
    else:
        assert "$12.50 of $10.00" in text
        assert "planner $8.00" in text
        assert "http://a:9464/debug/runs" in text
        assert "runbook.md#costspandailybudgetexceeded" in text


def test_slack_and_e_mail_are_valid_when_switched_on(tmp_path):
    """The receivers that are commented out, uncommented."""
    text = re.sub(r"^    # (?= *(?:slack|email|-|to|from|smart|auth|headers|html|text|channel|send|color|title))", "    ",
                  ALERTMANAGER.read_text(encoding="utf-8"), flags=re.MULTILINE)  # fmt: skip
    (tmp_path / "alertmanager.yml").write_text(text, encoding="utf-8")
    (tmp_path / "templates").symlink_to(ALERTMANAGER.parent / "templates")
    config = yaml.safe_load(text)["receivers"][0]
    assert {"slack_configs", "email_configs"} <= config.keys()
    _run(require("amtool"), "check-config", tmp_path / "alertmanager.yml")


def test_the_collector_accepts_its_configuration():
    if not os.path.exists(COLLECTOR):  # noqa: PTH110 - a text that is also shown
        missing("the OpenTelemetry Collector", "see BUILD in tests/artefacts/test_live_ledger.py")
    _run(COLLECTOR, "validate", "--config", DEPLOY / "collector" / "collector.yaml")


def test_the_collector_of_compose_and_kubernetes_is_the_tested_version():
    version = COLLECTOR.rpartition("-")[2]
    assert f"receiver/otlpreceiver v{version}" in (DEPLOY / "collector" / "builder.yaml").read_text(encoding="utf-8")
    assert COMPOSE["services"]["collector"]["image"].endswith(f":{version}")
    assert f"contrib:{version}" in (KUBERNETES / "collector.yaml").read_text(encoding="utf-8")


def test_compose_is_valid():
    _run(
        require("check-jsonschema", install="pip install check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        DEPLOY / "compose.yaml",
    )


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_are_pinned_bound_to_loopback_and_restarted(name):
    service = COMPOSE["services"][name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])
    assert service["restart"] == "unless-stopped"
    assert not any("PASSWORD" in key for key in service.get("environment", {}))


def test_files_that_compose_mounts_exist():
    mounts = [volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service["volumes"]]
    paths = [mount for mount in mounts if mount.startswith(".")]
    assert [path for path in paths if not (DEPLOY / path).exists()] == []
    assert {mount for mount in mounts if not mount.startswith(".")} <= set(COMPOSE["volumes"])


def test_prometheus_keeps_what_month_to_date_needs():
    command = COMPOSE["services"]["prometheus"]["command"]
    days = next(int(word.rpartition("=")[2].rstrip("d")) for word in command if "retention.time" in word)
    assert days >= 32


def test_grafana_is_provisioned_with_what_compose_runs():
    """Data sources point at services of compose; dashboards are looked for where compose mounts them; every file is known."""
    folder = ROOT / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "costspan.yaml").read_text(encoding="utf-8"))
    providers = yaml.safe_load((folder / "dashboards" / "costspan.yaml").read_text(encoding="utf-8"))
    assert {sources["apiVersion"], providers["apiVersion"]} == {1}
    assert isinstance(sources["datasources"], list)
    assert isinstance(providers["providers"], list)
    for source in sources["datasources"]:
        assert {"name", "uid", "type", "url", "access"} <= source.keys()
        host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
        assert any(str(mapping).endswith(f":{port}") for mapping in COMPOSE["services"][host]["ports"])
    destinations = [to for source in sources["datasources"] for to in source["jsonData"].get("exemplarTraceIdDestinations", [])]
    assert [to["name"] for to in destinations] == ["trace_id"]
    assert {to["datasourceUid"] for to in destinations} <= {source["uid"] for source in sources["datasources"]}
    mounted = {volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]}
    assert {provider["options"]["path"] for provider in providers["providers"]} <= mounted
    home = COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "grafana" / "dashboards" / home.rpartition("/")[2]).is_file()


def test_scrapes_are_as_often_as_the_data_source_says():
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    text = (ROOT / "grafana" / "provisioning" / "datasources" / "costspan.yaml").read_text(encoding="utf-8")
    source = next(one for one in yaml.safe_load(text)["datasources"] if one["type"] == "prometheus")
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_kubernetes_rules_and_collector_are_the_tested_ones():
    assert (KUBERNETES / "prometheusrule.yaml").read_text() == rules.prometheus_rule(thresholds.read())
    assert (KUBERNETES / "collector-config.yaml").read_text() == (DEPLOY / "collector" / "collector.yaml").read_text()


def test_kustomize_builds():
    built = list(yaml.safe_load_all(_run(require("kustomize", install=KUSTOMIZE), "build", KUBERNETES)))
    assert sorted(item["kind"] for item in built) == ["ConfigMap", "Deployment", "PodMonitor", "PrometheusRule", "Service"]
    config = next(item["metadata"]["name"] for item in built if item["kind"] == "ConfigMap")
    deployment = next(item for item in built if item["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] == config


def _kinds() -> dict[str, type]:
    try:
        from cloudcoil.models.kubernetes.apps.v1 import Deployment
        from cloudcoil.models.kubernetes.core.v1 import Service
        from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
    except ImportError:
        missing("the Kubernetes schemas", "pip install cloudcoil-models-kubernetes cloudcoil-models-prometheus-operator")
    return {kind.__name__: kind for kind in (Deployment, Service, PodMonitor, PrometheusRule)}


def test_kubernetes_objects_fit_their_schemas():
    kinds = _kinds()
    seen = set()
    for file in ("podmonitor.yaml", "prometheusrule.yaml", "collector.yaml"):
        for item in yaml.safe_load_all((KUBERNETES / file).read_text(encoding="utf-8")):
            model = kinds[item["kind"]].model_validate(item)
            kept = json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
            assert _lost(item, kept) == [], "a key that the schema does not know"
            seen.add(item["kind"])
    assert seen == set(kinds)


def _lost(written: object, kept: object, where: str = "") -> list[str]:
    """Paths that a model silently dropped."""
    if isinstance(written, dict):
        if not isinstance(kept, dict):
            return [where]
        return [
            path
            for key, value in written.items()
            for path in (_lost(value, kept[key], f"{where}.{key}") if key in kept else [f"{where}.{key}"])
        ]
    if isinstance(written, list):
        return [path for one, other in zip(written, kept, strict=True) for path in _lost(one, other, f"{where}[]")]
    return []


def _rendered(name: str, tmp_path: Path) -> str:
    data = tmp_path / "data.json"
    data.write_text(json.dumps(FIRING), encoding="utf-8")
    glob = str(ALERTMANAGER.parent / "templates" / "*.tmpl")
    amtool = require("amtool", install=INSTALL)
    text = f'{{{{ template "{name}" . }}}}'
    return _run(
        amtool, "template", "render", f"--template.glob={glob}", f"--template.text={text}", f"--template.data={data}"
    ).strip()
