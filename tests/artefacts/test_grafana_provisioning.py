"""Provisioning of Grafana: in the form that Grafana 10 to 13 read, and in step with dashboards, exemplars and Prometheus."""

from __future__ import annotations

import pytest
import yaml
from prometheus_client.openmetrics.exposition import generate_latest

from costspan.account.meters import Meters
from costspan.expose.prometheus import registry_of
from grafana_queries import DASHBOARDS
from meter_cases import TRACE, call
from real_programs import ROOT

FOLDER = ROOT / "grafana" / "provisioning"
SOURCES = yaml.safe_load((FOLDER / "datasources" / "costspan.yaml").read_text())
PROVIDERS = yaml.safe_load((FOLDER / "dashboards" / "costspan.yaml").read_text())
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
COMPOSE = ROOT / "deploy" / "compose.yaml"
SOURCE_KEYS = {"name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"}
PROMETHEUS_KEYS = {"httpMethod", "prometheusType", "timeInterval", "exemplarTraceIdDestinations"}
PROVIDER_KEYS = {
    "name", "orgId", "folder", "folderUid", "type", "disableDeletion", "allowUiUpdates", "updateIntervalSeconds", "options",
}  # fmt: skip


def test_data_sources_have_the_form_that_grafana_reads():
    assert set(SOURCES) == {"apiVersion", "datasources"}
    assert SOURCES["apiVersion"] == PROVIDERS["apiVersion"] == 1
    for source in SOURCES["datasources"]:
        assert set(source) <= SOURCE_KEYS
        assert (source["access"], source["editable"]) == ("proxy", False)
    assert sum(bool(source.get("isDefault")) for source in SOURCES["datasources"]) == 1


def test_the_default_data_source_is_of_the_kind_that_the_dashboards_choose():
    (default,) = [source for source in SOURCES["datasources"] if source.get("isDefault")]
    kinds = {board["templating"]["list"][0]["query"] for board in DASHBOARDS.values()}
    assert {default["type"]} == kinds
    assert set(default["jsonData"]) <= PROMETHEUS_KEYS
    assert default["jsonData"]["httpMethod"] == "POST"


def test_exemplars_link_to_a_data_source_of_traces_by_the_label_that_costspan_writes():
    prometheus, *others = SOURCES["datasources"]
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["datasourceUid"] in {source["uid"] for source in others if source["type"] == "tempo"}
    meters = Meters()
    meters.call(call())
    assert f'{destination["name"]}="{TRACE}"' in generate_latest(registry_of(meters)).decode()


def test_dashboards_are_provided_from_a_folder_and_cannot_be_changed_by_hand():
    (provider,) = PROVIDERS["providers"]
    assert set(provider) == PROVIDER_KEYS
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert set(provider["options"]) == {"path", "foldersFromFilesStructure"}


@pytest.mark.skipif(not PROMETHEUS.exists(), reason="needs deploy/prometheus/prometheus.yml")
def test_the_interval_of_the_data_source_is_that_of_the_scrapes():
    scraped = yaml.safe_load(PROMETHEUS.read_text())["global"]["scrape_interval"]
    assert SOURCES["datasources"][0]["jsonData"]["timeInterval"] == scraped


@pytest.mark.skipif(not COMPOSE.exists(), reason="needs deploy/compose.yaml")
def test_compose_mounts_provisioning_and_dashboards_and_has_the_hosts_that_they_name():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    mounts = [str(volume) for volume in services["grafana"]["volumes"]]
    path = PROVIDERS["providers"][0]["options"]["path"]
    for folder, place in (("grafana/provisioning", "/etc/grafana/provisioning"), ("grafana/dashboards", path)):
        assert any(folder in mount and place in mount for mount in mounts)
    assert {source["url"].split("//")[1].split(":")[0] for source in SOURCES["datasources"]} <= set(services)
