"""What all dashboards share: variables, links, annotations, layout, and the form of the JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafana.build.panels import SOURCE
from grafana.build.promql import where
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from costspan import conventions as names

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_VERSION: Final = 38
"""Of Grafana 10.0, the oldest that is supported (see the package's docstring)."""
TAG: Final = "costspan"
WIDTH: Final = 24
NEWER: Final = frozenset(
    {"percentChangeColorMode", "showPercentChange", "wideLayout", "selectionMode", "namePlacement", "sizing", "maxVizHeight"}
)
"""Options of panels that came after Grafana 10.0. The SDK writes their defaults, so leaving them out changes nothing."""
NOT_IN_VARIABLES: Final = frozenset({"allowCustomValue", "auto", "auto_count", "auto_min"})
"""What the SDK writes for every kind of variable, and what is newer than Grafana 10.0."""


def variable(name: str, label: str, metric: str, *chained: str, here: bool = True) -> build.QueryVariable:
    """A choice of several values of a label, or all; only values that go with what is chosen before it (`chained`)."""
    matchers = where(*chained, here=("job", "environment") if here else ())
    asked = f"label_values({metric}{{{matchers}}}, {name})" if matchers else f"label_values({metric}, {name})"
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": asked, "refId": "StandardVariableQuery"})
        .definition(asked)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def dashboard(uid: str, title: str, about: str, *variables: build.QueryVariable, since: str = "now-24h") -> build.Dashboard:
    """An empty dashboard with everything that all have."""
    alerts = 'ALERTS{alertname=~"Costspan.*", alertstate="firing", severity=~"warning|critical"}'
    frame = (
        build.Dashboard(f"costspan / {title}")
        .uid(uid)
        .tags([TAG])
        .description(about)
        .readonly()
        .refresh("1m")
        .time(since, "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .annotation(_alerts(alerts))
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Service", names.BUILD_INFO, here=False))
        .with_variable(_environment())
    )
    for each in variables:
        frame.with_variable(each)
    return frame


def _environment() -> build.QueryVariable:
    asked = f'label_values({names.BUILD_INFO}{{job=~"$job"}}, environment)'
    made = variable("environment", "Environment", names.BUILD_INFO, here=False)
    return made.query({"query": asked, "refId": "StandardVariableQuery"}).definition(asked)


def _others() -> build.DashboardLink:
    return (
        build.DashboardLink("costspan")
        .icon("dashboard")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _alerts(expr: str) -> build.AnnotationQuery:
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(expr)
        .step("60s")
        .title_format("{{alertname}}")
        .text_format("{{budget}} {{workflow}} {{agent}}")
        .tag_keys("severity,category")
    )


def row(frame: build.Dashboard, title: str, panels: Sequence[Any]) -> None:
    """An open row."""
    frame.with_row(build.Row(title))
    for panel in panels:
        frame.with_panel(panel)


def closed_row(frame: build.Dashboard, title: str, panels: Sequence[Any], *, repeat: str = "") -> None:
    """A row that asks nothing of Prometheus until it is opened; `repeat` makes one for each value of a variable."""
    made = build.Row(title).collapsed(True)
    if repeat:
        made.repeat(repeat)
    for panel in panels:
        made.with_panel(panel)
    frame.with_row(made)


def finish(frame: build.Dashboard) -> str:
    """The dashboard's JSON: numbered and laid out, in the form of the oldest Grafana."""
    found = json.loads(JSONEncoder(sort_keys=True).encode(frame.build()))
    found["schemaVersion"] = SCHEMA_VERSION
    _old_frame(found)
    _number(found["panels"], 0)
    _place(found["panels"])
    for panel in _every(found["panels"]):
        _old_form(panel)
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _old_frame(found: dict[str, Any]) -> None:
    found["templating"]["list"][0]["current"] = {"selected": False, "text": "default", "value": "default"}
    for each in found["templating"]["list"]:
        for name in NOT_IN_VARIABLES & each.keys():
            del each[name]
    for each in (*found["links"], *found["annotations"]["list"]):
        del each["placement"]  # the SDK's default is a menu of Grafana 12, which hides them


def _number(panels: list[dict[str, Any]], last: int) -> int:
    """Panels need ids, for links to them; the SDK leaves them out."""
    for panel in panels:
        last += 1
        panel["id"] = last
        last = _number(panel.get("panels") or [], last)
    return last


def _place(panels: list[dict[str, Any]]) -> None:
    """From left to right and from top to bottom; a closed row takes one line, its panels lie below it when it opens."""
    x = y = tallest = 0
    for panel in panels:
        box = panel["gridPos"]
        if panel["type"] == "row":
            y += tallest
            panel["gridPos"] = {"h": 1, "w": WIDTH, "x": 0, "y": y}
            x, y, tallest = 0, y + 1, 0
            _place_inside(panel.get("panels") or [], y)
            continue
        if x + box["w"] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        box["x"], box["y"] = x, y
        x, tallest = x + box["w"], max(tallest, box["h"])


def _place_inside(panels: list[dict[str, Any]], top: int) -> None:
    _place(panels)
    for panel in panels:
        panel["gridPos"]["y"] += top


def _every(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for panel in panels for each in (panel, *(panel.get("panels") or []))]


def _old_form(panel: dict[str, Any]) -> None:
    config = panel.get("fieldConfig") or {}
    properties = [each for override in config.get("overrides") or [] for each in override["properties"]]
    linked = [config.get("defaults", {}), *({"links": each["value"]} for each in properties if each["id"] == "links"), panel]
    for each in linked:
        for link in each.get("links") or []:
            for name in set(link) - {"title", "url", "targetBlank"}:
                del link[name]  # the SDK has one kind of link for all places
    options = panel.get("options") or {}
    for name in NEWER & options.keys():
        del options[name]
    if panel["type"] == "bargauge":
        del options["legend"]
    if panel["type"] == "heatmap":
        options["tooltip"]["show"] = True  # Grafana 10 shows no tooltip without it; newer ones read `mode`, which is there too
