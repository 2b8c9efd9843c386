"""What every dashboard must be, checked without Grafana: form, names, units, links, and that nothing is newer than Grafana 10."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import promql_names
import promql_units
from costspan import conventions as names
from costspan.account.meter_specs import COUNTER, SPECS
from grafana_queries import DASHBOARDS, Asked, panels_of, put_in, queries
from real_programs import ROOT

EVERY = pytest.mark.parametrize("uid", DASHBOARDS)
PANELS = [(uid, panel) for uid, dashboard in DASHBOARDS.items() for panel in panels_of(dashboard) if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = dict.fromkeys(
    ("job", "environment", "workflow", "agent", "tool", "model", "provider", "budget"), ".*"
)  # fmt: skip
KINDS = {"text", "stat", "timeseries", "bargauge", "heatmap", "table", "row"}


def each_panel(test):
    """One test for each dashboard; a failure names the panel."""

    @pytest.mark.parametrize("uid", DASHBOARDS)
    def every(uid):
        for where, panel in PANELS:
            if where == uid:
                with named(panel["title"]):
                    test(uid, panel)

    every.__name__, every.__doc__ = test.__name__, test.__doc__
    return every


def each_query(test):
    """One test for each dashboard; a failure names the query."""

    @pytest.mark.parametrize("uid", DASHBOARDS)
    def every(uid):
        for asked in queries():
            if f"costspan-{asked.place[0]}" == uid:
                with named(" / ".join(asked.place)):
                    test(asked)

    every.__name__, every.__doc__ = test.__name__, test.__doc__
    return every


@contextmanager
def named(place: str):
    try:
        yield
    except AssertionError as error:
        error.add_note(f"in {place}")
        raise


def filled(asked: Asked) -> str:
    return put_in(asked.target["expr"], VARIABLES, range_seconds=3600, step_seconds=60)


# --- made from code, readable by Grafana 10 to 13 --------------------------------------------------------------------


def test_committed_dashboards_are_what_the_code_builds():
    done = subprocess.run(
        [sys.executable, "-m", "grafana.build", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_six_dashboards_are_there():
    assert set(DASHBOARDS) == {f"costspan-{name}" for name in ("overview", "agents", "tools", "runs", "models", "health")}


@EVERY
def test_file_name_uid_and_schema_version_are_fixed(uid):
    dashboard = DASHBOARDS[uid]
    assert (dashboard["uid"], dashboard["schemaVersion"], dashboard["editable"]) == (uid, 38, False)
    assert "id" not in dashboard
    assert "__inputs" not in dashboard


@EVERY
def test_nothing_is_lost_or_unknown_when_the_foundation_sdk_reads_it(uid):
    """The SDK's classes are the schema: what it does not know, it drops; what is of the wrong shape, it cannot read."""
    dashboard = json.loads(json.dumps(DASHBOARDS[uid]))
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    assert [path for path in leaves(DASHBOARDS[uid]) if path not in set(leaves(again)) and path[-2:] != ("tooltip", "show")] == []


def leaves(node, path=()):
    """Paths of all values; lists count by position."""
    if isinstance(node, dict):
        found = [leaf for key, value in node.items() for leaf in leaves(value, (*path, key))]
    elif isinstance(node, list):
        found = [leaf for place, value in enumerate(node) for leaf in leaves(value, (*path, place))]
    else:
        found = [path]
    return found


OPTIONS_10_0 = {
    "stat": {"reduceOptions", "orientation", "text", "textMode", "colorMode", "graphMode", "justifyMode"},
    "bargauge": {"reduceOptions", "orientation", "text", "displayMode", "valueMode", "showUnfilled", "minVizWidth",
                 "minVizHeight"},
    "timeseries": {"legend", "tooltip", "timezone"},
    "heatmap": {"calculate", "calculation", "color", "filterValues", "rowsFrame", "showValue", "cellGap", "cellRadius",
                "cellValues", "yAxis", "legend", "tooltip", "exemplars"},
    "table": {"frameIndex", "showHeader", "showTypeIcons", "sortBy", "footer", "cellHeight"},
    "text": {"mode", "content", "code"},
}  # fmt: skip
CUSTOM_10_0 = {
    "timeseries": {
        "drawStyle",
        "lineWidth",
        "fillOpacity",
        "showPoints",
        "stacking",
        "lineStyle",
        "pointSize",
        "lineInterpolation",
    },
    "table": {"filterable", "cellOptions", "inspect", "align", "displayMode"},
    "heatmap": {"hideFrom", "scaleDistribution"},
}
PROPERTIES_10_0 = {"unit", "min", "max", "links", "thresholds", "custom.cellOptions", "custom.lineStyle"}
DEFAULTS_10_0 = {"unit", "min", "max", "mappings", "thresholds", "noValue", "links", "custom", "color", "decimals"}
TARGET_10_0 = {"datasource", "expr", "refId", "legendFormat", "instant", "range", "format", "exemplar"}
PANEL_10_0 = {
    "id", "type", "title", "description", "datasource", "gridPos", "targets", "options", "fieldConfig", "transformations",
    "links", "interval", "maxDataPoints", "transparent", "repeatDirection", "pluginVersion",
}  # fmt: skip
TRANSFORMS_10_0 = {"joinByField", "organize"}


@each_panel
def test_panel_uses_nothing_that_came_after_grafana_10(uid, panel):
    kind, config = panel["type"], panel.get("fieldConfig") or {"defaults": {}, "overrides": []}
    used = {each["id"] for override in config.get("overrides", []) for each in override["properties"]}
    assert set(panel) - PANEL_10_0 == set()
    assert set(panel["options"]) - OPTIONS_10_0[kind] == set()
    assert set(config["defaults"]) - DEFAULTS_10_0 == set()
    assert set(config["defaults"].get("custom", {})) - CUSTOM_10_0.get(kind, set()) == set()
    assert used - PROPERTIES_10_0 == set()
    assert {key for target in panel.get("targets", []) for key in target} - TARGET_10_0 == set()
    assert {each["id"] for each in panel.get("transformations", [])} - TRANSFORMS_10_0 == set()


@EVERY
def test_links_and_annotations_use_nothing_that_came_after_grafana_10(uid):
    (link,) = DASHBOARDS[uid]["links"]
    assert set(link) == {"title", "type", "icon", "tags", "asDropdown", "includeVars", "keepTime", "targetBlank", "tooltip"}
    (alerts,) = DASHBOARDS[uid]["annotations"]["list"]
    assert set(alerts) == {
        "builtIn", "datasource", "enable", "expr", "hide", "iconColor", "name", "step", "tagKeys", "textFormat", "titleFormat",
    }  # fmt: skip
    assert set(DASHBOARDS[uid]) == {
        "annotations", "description", "editable", "fiscalYearStartMonth", "graphTooltip", "links", "panels", "refresh",
        "schemaVersion", "tags", "templating", "time", "timezone", "title", "uid",
    }  # fmt: skip


@EVERY
def test_variables_are_of_kinds_that_grafana_10_has(uid):
    for variable in DASHBOARDS[uid]["templating"]["list"]:
        assert variable["type"] in {"datasource", "query"}
        assert set(variable) <= {
            "name", "label", "type", "query", "datasource", "definition", "multi", "includeAll", "allValue", "refresh", "sort",
            "current", "regex", "hide", "skipUrlSync", "options",
        }  # fmt: skip


# --- the definition of done ------------------------------------------------------------------------------------------


@EVERY
def test_first_variable_chooses_the_data_source_and_the_others_are_chained_and_offer_all(uid):
    source, *others = DASHBOARDS[uid]["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others][:2] == ["job", "environment"]
    for place, variable in enumerate(others):
        assert (variable["includeAll"], variable["allValue"], variable["multi"], variable["refresh"]) == (True, ".*", True, 2)
        assert variable["datasource"] == SOURCE
        used = set(re.findall(r"\$(\w+)", variable["query"]["query"]))
        assert used <= {earlier["name"] for earlier in others[:place]}
        assert place == 0 or used or variable["name"] == "budget"
        metric, label = re.fullmatch(r"label_values\((\S+?)(?:\{.*\})?, (\w+)\)", variable["query"]["query"]).groups()
        assert label in promql_names.known_labels(metric)


@EVERY
def test_every_variable_that_a_query_uses_exists_and_every_variable_is_used(uid):
    built_in = {"__range", "__range_s", "__interval", "__interval_ms", "__rate_interval"}
    used = {
        name for panel in panels_of(DASHBOARDS[uid]) for target in panel.get("targets", [])
        for name in re.findall(r"\$(\w+)", target["expr"])
    }  # fmt: skip
    there = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]} - {"datasource"}
    assert used - built_in == there


@EVERY
def test_ids_are_distinct_and_panels_do_not_overlap(uid):
    panels = panels_of(DASHBOARDS[uid])
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    for group in [DASHBOARDS[uid]["panels"], *(panel["panels"] for panel in DASHBOARDS[uid]["panels"] if panel.get("panels"))]:
        boxes = [panel["gridPos"] for panel in group]
        assert all(box["x"] + box["w"] <= 24 for box in boxes)
        for place, one in enumerate(boxes):
            for other in boxes[place + 1 :]:
                beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@EVERY
def test_at_most_25_panels_ask_prometheus_when_it_opens(uid):
    assert len([panel for panel in DASHBOARDS[uid]["panels"] if panel["type"] != "row"]) <= 25


@EVERY
def test_only_closed_rows_hold_panels_and_no_panel_is_a_pie(uid):
    for panel in panels_of(DASHBOARDS[uid]):
        assert panel["type"] in KINDS
        if panel["type"] == "row":
            assert bool(panel["panels"]) == panel["collapsed"]


def test_agents_have_sections_that_repeat_and_are_closed():
    (row,) = [panel for panel in DASHBOARDS["costspan-agents"]["panels"] if panel.get("repeat")]
    assert (row["repeat"], row["collapsed"], row["title"]) == ("agent", True, "Agent: $agent")
    assert all('agent=~"$agent"' in target["expr"] for panel in row["panels"] for target in panel["targets"])


@EVERY
def test_title_and_panels_say_what_they_are(uid):
    dashboard = DASHBOARDS[uid]
    assert dashboard["title"].startswith("costspan / ")
    assert dashboard["description"]
    titles = [panel["title"] for panel in panels_of(dashboard)]
    assert len(set(titles)) == len(titles)


@EVERY
def test_dashboards_are_linked_by_tag_and_keep_time_and_variables(uid):
    assert DASHBOARDS[uid]["tags"] == ["costspan"]
    (link,) = DASHBOARDS[uid]["links"]
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == ("dashboards", ["costspan"], True, True)


@EVERY
def test_firing_alerts_are_drawn_into_the_charts(uid):
    (alerts,) = [each for each in DASHBOARDS[uid]["annotations"]["list"] if each["datasource"] == SOURCE]
    assert alerts["enable"]
    assert "ALERTS{" in alerts["expr"]


@each_panel
def test_panel_has_source_unit_words_for_nothing_and_a_description_that_ends_in_its_metrics(uid, panel):
    if panel["type"] == "text":
        return
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["datasource"] == SOURCE
    assert all(target["datasource"] == SOURCE for target in panel["targets"])
    assert defaults["unit"]
    assert defaults["noValue"]
    assert defaults["mappings"][0]["options"]["match"] == "null+nan"
    told = set(re.findall(r"`([^`]+)`", panel["description"].rpartition("\n\n")[2]))
    asked = {
        metric for target in panel["targets"] for metric in promql_names.metrics_in(filled(Asked(("", "", ""), panel, target)))
    }
    assert told == {base(metric) for metric in asked} - {"ALERTS"}


def base(metric: str) -> str:
    """The name in `conventions` that a series' name belongs to."""
    if metric in names.RECORDED or metric == "ALERTS":
        return metric
    stem = re.sub(r"_(total|created|bucket|count|sum)$", "", metric)
    return next(name for name in (metric, f"{stem}_total", stem) if name in names.LABELS)


@each_panel
def test_thresholds_are_only_on_shares_ages_and_what_should_be_none(uid, panel):
    steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    assert len(steps) <= 1 or unit in {"percentunit", "d"} or panel["title"] in {"Alerts", "Internal errors"}
    assert not any(step["value"] == 80 for step in steps)


@each_panel
def test_figures_are_reduced_to_their_last_value_and_bars_lie_next_to_each_other(uid, panel):
    if panel["type"] in ("stat", "bargauge"):
        assert panel["options"]["reduceOptions"] == {"calcs": ["lastNotNull"], "values": False}
    if "$__interval]" in "".join(target["expr"] for target in panel.get("targets", [])):
        assert (panel.get("interval"), panel.get("maxDataPoints")) in {("1m", 120), (None, None)}


@each_panel
def test_every_column_of_a_table_has_a_title_and_a_unit_and_times_are_hidden(uid, panel):
    """Grafana calls the columns `Time` (several: `Time 1` …) and `Value` (several: `Value #A` …), and those of labels by name."""
    if panel["type"] != "table":
        return
    references = [target["refId"] for target in panel["targets"]]
    organize = panel["transformations"][-1]["options"]
    titles = organize["renameByName"]
    assert {f"Value #{reference}" for reference in references} <= set(titles)
    assert titles["Value"] == titles["Value #A"]
    assert len(set(titles.values())) == len(titles) - 1
    assert {"Time"} <= set(organize["excludeByName"])
    if len(references) > 1:
        assert {f"Time {place}" for place in range(1, len(references) + 1)} <= set(organize["excludeByName"])
        label = panel["transformations"][0]["options"]["byField"]
        assert panel["transformations"][0] == {"id": "joinByField", "options": {"byField": label, "mode": "outer"}}
        assert label in titles
        assert all(re.search(rf"\bby \({label}(, le)?\)", target["expr"]) for target in panel["targets"])
    assert panel["options"]["sortBy"] == [{"displayName": titles["Value"], "desc": True}]


# --- queries ---------------------------------------------------------------------------------------------------------


@each_query
def test_query_parses_and_names_only_metrics_and_labels_that_exist(asked):
    expr = filled(asked).replace("ALERTS{", "up{").replace("alertname=", "job=").replace("alertstate=", "job=")
    assert promql_names.faults(expr.replace("severity=", "job=")) == []


@each_query
def test_query_asks_over_the_range_for_figures_and_over_the_interval_for_charts(asked):
    ranges = set(re.findall(r"\[([^\]]+)\]", asked.target["expr"]))
    if asked.instant:
        assert ranges <= {"$__range"}
        assert asked.panel["type"] in {"stat", "table", "bargauge"}
    else:
        assert ranges <= ({"$__interval"} if asked.amounts else {"$__rate_interval", "$__interval"})
    assert not re.search(r"\[\d", asked.target["expr"])


@each_query
def test_no_counter_is_shown_raw(asked):
    assert raw_counters(promql_parser.parse(filled(asked)), within="") == []


def raw_counters(node, within):
    """Counters whose value since their process began is shown, instead of what they added."""
    if isinstance(node, promql_parser.VectorSelector):
        name = node.name or ""
        counter = (name in SPECS and SPECS[name].kind == COUNTER) or re.search(r"_(bucket|sum|count)$", name)
        return [name] if counter and not (within or node.offset) else []
    inner = within
    if isinstance(node, promql_parser.Call):
        inner = within or (
            node.func.name if node.func.name in {"rate", "increase", "resets", "last_over_time", "min_over_time"} else ""
        )
    return [found for child in promql_names._children(node) for found in raw_counters(child, inner)]


@each_query
def test_query_keeps_the_chosen_service_and_environment(asked):
    for selector in re.findall(r"\{([^}]*)\}", asked.target["expr"]):
        if ("budget=" in selector and "job=" not in selector) or "alertname" in selector:
            continue  # budgets of the rules and alerts are above services
        assert 'job=~"$job"' in selector
        assert 'environment=~"$environment"' in selector


@each_query
def test_unit_is_that_of_the_expression(asked):
    allowed = promql_units.grafana_units(filled(asked))
    assert unit_of(asked) in allowed
    if asked.panel["type"] == "heatmap":
        assert asked.panel["options"]["yAxis"]["unit"] == promql_units.axis_unit(filled(asked))


def unit_of(asked: Asked) -> str:
    """The unit that the panel shows this query in: a table's column has its own, a heatmap's is that of its cells."""
    defaults = asked.panel["fieldConfig"]["defaults"]["unit"]
    if asked.panel["type"] != "table":
        return defaults
    renamed = asked.panel["transformations"][-1]["options"]["renameByName"]
    title = renamed[f"Value #{asked.target['refId']}"]
    (own,) = [each for each in asked.panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == title]
    return {each["id"]: each["value"] for each in own["properties"]}["unit"]


@each_panel
def test_charts_of_spend_and_time_ask_for_exemplars(uid, panel):
    asking = [target for target in panel.get("targets", []) if target.get("exemplar")]
    if panel["type"] == "heatmap" or panel["title"] in {"Spend per hour by agent", "Cost per run over time", "Cost by model"}:
        assert asking
    assert all(target.get("range") for target in asking)


def test_every_metric_with_a_producer_is_on_some_dashboard():
    asked = {base(metric) for each in queries() for metric in promql_names.metrics_in(filled(each))}
    assert set(names.LABELS) - asked == {names.WORKFLOW_COST_USD}  # its dollars are shown through the ledger's records


# --- drill-down ------------------------------------------------------------------------------------------------------


def links():
    for uid, panel in PANELS:
        config = panel.get("fieldConfig") or {"defaults": {}}
        found = [*config["defaults"].get("links", []), *panel.get("links", [])]
        for override in config.get("overrides", []):
            found += [link for each in override["properties"] if each["id"] == "links" for link in each["value"]]
        yield from ((uid, panel["title"], link) for link in found)


@pytest.mark.parametrize(("uid", "title", "link"), links(), ids=lambda value: value if isinstance(value, str) else value["title"])
def test_link_leads_to_a_dashboard_and_sets_a_variable_that_it_has(uid, title, link):
    assert set(link) <= {"title", "url", "targetBlank"}
    if link["url"].endswith("/debug/runs"):
        return
    target, _, query = link["url"].removeprefix("/d/").partition("?")
    there = {variable["name"] for variable in DASHBOARDS[target]["templating"]["list"]}
    assert query.startswith("${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${environment:queryparam}")
    assert set(re.findall(r"&var-(\w+)=", query)) <= there
    assert all(value.endswith(":percentencode}") for value in re.findall(r"&var-\w+=(\S+)", query))


def test_every_dashboard_can_be_reached_from_overview_by_clicking():
    reached, ahead = set(), ["costspan-overview"]
    by_uid = {}
    for uid, _, link in links():
        by_uid.setdefault(uid, set()).add(link["url"].removeprefix("/d/").partition("?")[0])
    while ahead:
        here = ahead.pop()
        if here not in reached and here in DASHBOARDS:
            reached.add(here)
            ahead += by_uid.get(here, set())
    assert reached == set(DASHBOARDS)


@pytest.mark.parametrize("uid", ["costspan-overview", "costspan-health"])
def test_coverage_counts_a_call_that_broke_off_once_by_what_it_left_unreported(uid):
    (panel,) = [panel for where, panel in PANELS if where == uid and panel["title"] == "Coverage"]
    _, _, billed = panel["targets"][0]["expr"].partition("\n/\n")
    told = re.findall(rf"{names.CALL_TOKENS}_count\{{[^}}]*\}}", billed)
    assert told
    assert all('usage_source!="missing"' in each for each in told), told
    assert names.UNREPORTED_CALLS in billed
