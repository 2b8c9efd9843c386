"""What a PromQL expression names: its metrics with the labels asked of them, and the labels that it groups or joins by."""

from __future__ import annotations

import re

import promql_parser as promql

from costspan import conventions
from costspan.account.meter_specs import HISTOGRAM, SPECS

_TEMPLATE_QUERY = re.compile(r"(?:printf|query) `([^`]+)`")
FOREIGN = {"up": ("job", "instance", "environment")}
"""Metrics of Prometheus itself that rules may read."""


def known_labels(metric: str) -> set[str] | None:
    """The labels that a series of this name can have; None when the name is not one of ours."""
    if metric in FOREIGN:
        return set(FOREIGN[metric])
    if metric in conventions.RECORDED:
        return set(conventions.RECORDED[metric])
    target = set(conventions.TARGET_LABELS)
    for name, labels in conventions.LABELS.items():
        histogram = SPECS[name].kind == HISTOGRAM
        if metric == name and not histogram:
            return target | set(labels)
        if metric == f"{name.removesuffix('_total')}_created" and (histogram or name.endswith("_total")):
            return target | set(labels)
        if histogram and metric in (f"{name}_sum", f"{name}_count"):
            return target | set(labels)
        if histogram and metric == f"{name}_bucket":
            return target | set(labels) | {"le"}
    return None


def queries_in(template: str) -> list[str]:
    """The queries inside an annotation, their placeholders filled with something."""
    return [found.replace("%q", '"x"') for found in _TEMPLATE_QUERY.findall(template)]


def without_comments(expression: str) -> str:
    return "\n".join(line for line in expression.splitlines() if not line.strip().startswith("#"))


def metrics_in(expression: str) -> set[str]:
    return {name for name, _ in _selectors(promql.parse(without_comments(expression)))}


def faults(expression: str) -> list[str]:
    """What is wrong with the names of an expression; empty when every metric and label is known."""
    tree = promql.parse(without_comments(expression))
    found = []
    for metric, labels in _selectors(tree):
        known = known_labels(metric)
        if known is None:
            found.append(f"no such metric: {metric}")
        elif labels - known:
            found.append(f"{metric} has no label {sorted(labels - known)}")
    found += [f"nothing there has a label {label!r}" for label in sorted(_unknown_groupings(tree))]
    return found


def _children(node: object) -> list[object]:
    found = []
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None and child is not node:
            found.append(child)
    found += list(getattr(node, "args", None) or [])
    return found


def _selectors(node: object) -> list[tuple[str, set[str]]]:
    if isinstance(node, promql.VectorSelector):
        labels = {matcher.name for matcher in node.matchers.matchers}
        return [(node.name or "", labels)]
    return [found for child in _children(node) for found in _selectors(child)]


def _unknown_groupings(node: object) -> set[str]:
    """Labels of by, on, group_left that no selector beneath can have (count_values makes one of its own)."""
    unknown = {label for child in _children(node) for label in _unknown_groupings(child)}
    named: set[str] = set()
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql.AggregateExpr) and modifier is not None:
        named = set(modifier.labels)
    if isinstance(node, promql.BinaryExpr) and modifier is not None:
        named = set(modifier.matching.labels) if modifier.matching else set()
        named |= set(modifier.group_labels or [])
    below = {label for metric, _ in _selectors(node) for label in known_labels(metric) or ()} | _made(node)
    return unknown | (named - below)


def _made(node: object) -> set[str]:
    made = {label for child in _children(node) for label in _made(child)}
    if isinstance(node, promql.AggregateExpr) and "count_values" in str(node.op):
        made.add(str(node.param.val))
    return made
