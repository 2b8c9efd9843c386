"""How a panel looks. Every function answers with a builder that has a title, a description that ends in the metrics' names,
a unit, the templated data source, and words for "no data"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from grafana.build.promql import metrics_in
from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model

if TYPE_CHECKING:
    from collections.abc import Sequence

P = TypeVar("P")
SOURCE: Final = common_model.DataSourceRef(type_val="prometheus", uid="${datasource}")
USD: Final = "currencyUSD"
SHARE: Final = "percentunit"
SECONDS: Final = "s"
COUNT: Final = "short"
CARRY: Final = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${environment:queryparam}"
"""What a link to another dashboard takes along; the variable that was clicked is added to it."""
BAD: Final = (None, "green"), (0.8, "orange"), (1.0, "red")
"""Thresholds of a share of a budget."""
_NO_NUMBER: Final = model.SpecialValueMap(
    options=model.DashboardSpecialValueMapOptions(
        match=model.SpecialValueMatch.NULL_AND_NAN, result=model.ValueMappingResult(text="–", color="text", index=0)
    )
)


@dataclass(frozen=True)
class Query:
    """One query of a panel. `exemplars` asks for the traces behind the values; `dashed` draws its line so."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table: its query, its title, its unit; `bar` draws the value as a bar within the column."""

    expr: str
    title: str
    unit: str = COUNT
    bar: bool = False
    steps: Sequence[tuple[float | None, str]] = ()


def link(title: str, uid: str, variable: str = "", value: str = "${__value.text:percentencode}") -> build.DashboardLink:
    """A link to another dashboard, filtered by what was clicked."""
    chosen = f"&var-{variable}={value}" if variable else ""
    return build.DashboardLink(title).url(f"/d/{uid}?{CARRY}{chosen}")


def debug_runs() -> build.DashboardLink:
    """A link from a process' address to the runs that it has in flight."""
    return build.DashboardLink("Its runs in flight").url("http://${__value.text}/debug/runs").target_blank(True)


def number(
    title: str,
    about: str,
    expr: str,
    unit: str,
    *,
    size: tuple[int, int] = (4, 4),
    steps: Sequence[tuple[float | None, str]] = (),
    nothing: str = "–",
    to: build.DashboardLink | None = None,
) -> stat.Panel:
    """One figure for the whole range."""
    panel = (
        stat.Panel()
        .color_mode(common_model.BigValueColorMode.VALUE if steps else common_model.BigValueColorMode.NONE)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .reduce_options(_last())
        .with_target(_instant(expr, "A"))
    )
    if to is not None:
        panel.links([to])
    return _frame(panel, title, about, [expr], unit=unit, size=size, steps=steps, nothing=nothing)


def lines(
    title: str,
    about: str,
    queries: Sequence[Query],
    unit: str,
    *,
    size: tuple[int, int] = (12, 8),
    floor: float | None = 0,
    top: float | None = None,
) -> timeseries.Panel:
    """Lines over time: rates and levels, never amounts."""
    panel = _series(queries).line_width(2).fill_opacity(8).show_points(common_model.VisibilityMode.NEVER)
    if floor is not None:
        panel.min(floor)
    if top is not None:
        panel.max(top)
    for number_, query in enumerate(queries):
        if query.dashed:
            dash = {"fill": "dash", "dash": [8, 6]}
            panel.override_by_query(_ref(number_), [model.DynamicConfigValue(id_val="custom.lineStyle", value=dash)])
    return _frame(panel, title, about, [query.expr for query in queries], unit=unit, size=size)


def bars(title: str, about: str, queries: Sequence[Query], unit: str, *, size: tuple[int, int] = (12, 8)) -> timeseries.Panel:
    """Stacked bars over time: each is the amount of its interval, so that all of them add up to the range's."""
    panel = (
        _series(queries)
        .draw_style(common_model.GraphDrawStyle.BARS)
        .line_width(0)
        .fill_opacity(80)
        .stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
        .interval("1m")
        .max_data_points(120)
        .min(0)
    )
    return _frame(panel, title, about, [query.expr for query in queries], unit=unit, size=size)


def ranking(
    title: str,
    about: str,
    query: Query,
    unit: str,
    *,
    size: tuple[int, int] = (8, 8),
    steps: Sequence[tuple[float | None, str]] = (),
    to: build.DashboardLink | None = None,
    top: float | None = None,
    nothing: str = "–",
) -> bargauge.Panel:
    """Horizontal bars, one for each label value."""
    panel = (
        bargauge.Panel()
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .display_mode(common_model.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .min(0)
        .reduce_options(_last())
        .with_target(_instant(query.expr, "A", query.legend))
    )
    if top is not None:
        panel.max(top)
    if to is not None:
        panel.data_links([to])
    return _frame(panel, title, about, [query.expr], unit=unit, size=size, steps=steps, nothing=nothing)


def cells(title: str, about: str, query: Query, unit: str, *, size: tuple[int, int] = (12, 8)) -> heatmap.Panel:
    """A heatmap out of a histogram's buckets: how many fell where, when. Diamonds are exemplars."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_model.AxisPlacement.LEFT))
        .cell_values(heatmap.CellValues().unit(COUNT))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(common_model.HeatmapCellLayout.AUTO))
        .color(_colors())
        .exemplars_color("rgba(255,0,255,0.7)")
        .show_legend()
        .interval("1m")
        .max_data_points(120)
        .with_target(_ranged(query, "A").format(prometheus_model.PromQueryFormat.HEATMAP).legend_format("{{le}}"))
    )
    return _frame(panel, title, about, [query.expr], unit=COUNT, size=size)


def grid(
    title: str,
    about: str,
    key: tuple[str, str],
    columns: Sequence[Column],
    *,
    size: tuple[int, int] = (24, 9),
    to: Sequence[build.DashboardLink] = (),
    nothing: str = "–",
) -> table.Panel:
    """A sortable table, one row for each value of a label (`key`: label, title), sorted by its first column."""
    label, heading = key
    panel = table.Panel().filterable(True).sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])
    hidden = dict.fromkeys(["Time", *(f"Time {place}" for place in range(1, len(columns) + 1))], True)
    titles, order = {label: heading}, {label: 0}
    for place, column in enumerate(columns):
        value = f"Value #{_ref(place)}"
        panel.with_target(_instant(column.expr, _ref(place)).format(prometheus_model.PromQueryFormat.TABLE))
        panel.override_by_name(column.title, _cell(column))
        titles[value], order[value] = column.title, place + 1
    titles["Value"] = columns[0].title  # its name where no other query answers
    if to:
        panel.override_by_name(heading, [model.DynamicConfigValue(id_val="links", value=[each.build() for each in to])])
    panel.with_transformation(_transform("joinByField", {"byField": label, "mode": "outer"}))
    panel.with_transformation(_transform("organize", {"excludeByName": hidden, "indexByName": order, "renameByName": titles}))
    return _frame(panel, title, about, [column.expr for column in columns], unit=COUNT, size=size, nothing=nothing)


def listing(
    title: str,
    about: str,
    expr: str,
    labels: dict[str, str],
    value: Column,
    *,
    size: tuple[int, int] = (12, 8),
    to: tuple[str, build.DashboardLink] | None = None,
    nothing: str = "–",
) -> table.Panel:
    """A table with several labels in each row (`labels`: label -> title) and one value; `to` links a column by its title."""
    panel = table.Panel().filterable(True).sort_by([common.TableSortByFieldState().display_name(value.title).desc(True)])
    panel.with_target(_instant(expr, "A").format(prometheus_model.PromQueryFormat.TABLE))
    panel.override_by_name(value.title, _cell(value))
    if to is not None:
        panel.override_by_name(to[0], [model.DynamicConfigValue(id_val="links", value=[to[1].build()])])
    order = {name: place for place, name in enumerate([*labels, "Value"])}
    names = {**labels, "Value": value.title, "Value #A": value.title}
    panel.with_transformation(
        _transform("organize", {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names})
    )
    return _frame(panel, title, about, [expr], unit=value.unit, size=size, nothing=nothing)


def words(title: str, content: str, *, size: tuple[int, int] = (24, 3)) -> text.Panel:
    """Text in Markdown."""
    return text.Panel().title(title).description(title).content(content).span(size[0]).height(size[1]).transparent(True)


def _frame(
    panel: P,
    title: str,
    about: str,
    exprs: Sequence[str],
    *,
    unit: str,
    size: tuple[int, int],
    steps: Sequence[tuple[float | None, str]] = (),
    nothing: str = "–",
) -> P:
    """What every panel has."""
    any_: Any = panel  # the SDK's builders have the same methods and no common type
    metrics = list(dict.fromkeys(metric for expr in exprs for metric in metrics_in(expr)))
    noun = "Metric" if len(metrics) == 1 else "Metrics"
    told = f"{about}\n\n{noun}: {', '.join(f'`{metric}`' for metric in metrics)}" if metrics else about
    any_.title(title).description(told).datasource(SOURCE).unit(unit).no_value(nothing)
    any_.mappings([_NO_NUMBER]).span(size[0]).height(size[1])
    any_.thresholds(_steps(steps or ((None, "text" if isinstance(panel, stat.Panel) else "green"),)))
    return panel


def _series(queries: Sequence[Query]) -> timeseries.Panel:
    panel = timeseries.Panel()
    panel.legend(
        common.VizLegendOptions()
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    panel.tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING))
    for place, query in enumerate(queries):
        panel.with_target(_ranged(query, _ref(place)))
    return panel


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    properties = [model.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.bar:
        kind = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        properties.append(model.DynamicConfigValue(id_val="custom.cellOptions", value=kind))
        properties.append(model.DynamicConfigValue(id_val="min", value=0))
    if column.steps:
        properties.append(model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
        properties.append(model.DynamicConfigValue(id_val="thresholds", value=_steps(column.steps).build()))
    return properties


def _steps(steps: Sequence[tuple[float | None, str]]) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def _colors() -> heatmap.HeatmapColorOptions:
    return (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_model.HeatmapColorMode.SCHEME)
        .scheme("Oranges")
        .fill("dark-orange")
        .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _transform(name: str, options: dict[str, object]) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val=name, options=options)


def _instant(expr: str, ref: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(SOURCE).ref_id(ref).instant()


def _ranged(query: Query, ref: str) -> prometheus.Dataquery:
    found = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(SOURCE).ref_id(ref).range()
    return found.exemplar(True) if query.exemplars else found


def _ref(place: int) -> str:
    return chr(ord("A") + place)
