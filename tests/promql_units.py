"""The unit of a PromQL expression, worked out from the units of the metrics in it: dollars over runs are dollars,
tokens over tokens a share. What a panel says about its unit is held against that."""

from __future__ import annotations

from collections import Counter

import promql_parser as promql

from costspan.account.meter_specs import HISTOGRAM, SPECS

EVENTS = "events"
_BY_ARGUMENT = {"histogram_quantile": 1}
_PLAIN = ("hour", "minute", "month", "year", "day_of_month", "days_in_month", "scalar")
_PER_SECOND = ("rate", "irate")


def grafana_units(expr: str) -> set[str]:
    """The units in which Grafana may show this expression."""
    unit = _unit(promql.parse(expr))
    above = [name for name, power in unit.items() if power > 0]
    if "{USD}" in above:
        return {"currencyUSD"}
    if above == ["s"]:
        return {"d"} if "/ 86400" in expr else {"s"}
    return {"short"} if above else {"percentunit", "short"}


def axis_unit(expr: str) -> str:
    """The unit of what a histogram observes, for the axis of its heatmap."""
    unit = SPECS[_histogram(promql.parse(expr))].unit
    return {"{USD}": "currencyUSD", "s": "s", "": "percentunit"}.get(unit, "short")


def _unit(node: object) -> Counter[str]:
    if isinstance(node, promql.NumberLiteral):
        return Counter()
    if isinstance(node, promql.VectorSelector):
        return _of_metric(node.name or "")
    if isinstance(node, promql.MatrixSelector):
        return _unit(node.vector_selector)
    if isinstance(node, promql.Call):
        return _of_call(node)
    if isinstance(node, promql.AggregateExpr):
        return Counter({EVENTS: 1}) if str(node.op) == "count" else _unit(node.expr)
    if isinstance(node, promql.BinaryExpr):
        return _of_operation(str(node.op), _unit(node.lhs), _unit(node.rhs))
    return _unit(node.expr)


def _of_metric(name: str) -> Counter[str]:
    if name.startswith("ALERTS"):
        return Counter({EVENTS: 1})
    if ":" in name:
        return Counter({"{USD}": 1}) if "_usd" in name else Counter()
    for metric, spec in SPECS.items():
        if name == metric or (spec.kind == HISTOGRAM and name == f"{metric}_sum"):
            return Counter({spec.unit or EVENTS: 1}) if spec.unit else Counter()
        if spec.kind == HISTOGRAM and name in (f"{metric}_count", f"{metric}_bucket"):
            return Counter({EVENTS: 1})
        if name == f"{metric.removesuffix('_total')}_created":
            return Counter({"s": 1})
    raise AssertionError(name)


def _of_call(node: promql.Call) -> Counter[str]:
    name, arguments = node.func.name, node.args
    if name == "time":
        return Counter({"s": 1})
    if name in _PLAIN:
        return Counter()
    if name == "histogram_quantile":
        return Counter({unit: 1 for unit in [SPECS[_histogram(arguments[1])].unit] if unit})
    unit = _unit(arguments[0])
    if name in _PER_SECOND:
        unit = Counter({**unit, "s": unit["s"] - 1})
    return unit


def _histogram(node: object) -> str:
    """The histogram whose buckets are below a node."""
    if isinstance(node, promql.VectorSelector):
        return (node.name or "").removesuffix("_bucket")
    below = [getattr(node, name, None) for name in ("vector_selector", "expr", "lhs")] + list(getattr(node, "args", None) or [])
    return next(found for child in below if child is not None and (found := _histogram(child)))


def _of_operation(op: str, left: Counter[str], right: Counter[str]) -> Counter[str]:
    if op not in ("*", "/"):
        return left or right
    joined = Counter(left)
    for name, power in right.items():
        joined[name] += power if op == "*" else -power
    return Counter({name: power for name, power in joined.items() if power})
