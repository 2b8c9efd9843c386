"""A dashboard as Grafana would ask it: panels also in closed rows, variables put in, and each query run as its panel runs it."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass

from real_programs import ROOT

FOLDER = ROOT / "grafana" / "dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
BAR_SECONDS = 120
LINE_SECONDS = 60


@dataclass(frozen=True)
class Asked:
    """One query of one panel. `place` is dashboard, panel title and reference: how a test names it."""

    place: tuple[str, str, str]
    panel: dict
    target: dict

    @property
    def instant(self) -> bool:
        return bool(self.target.get("instant"))

    @property
    def amounts(self) -> bool:
        """Whether a chart's values are amounts of intervals, which add up (bars, heatmaps), or levels (lines)."""
        custom = self.panel["fieldConfig"]["defaults"].get("custom", {})
        return self.panel["type"] == "heatmap" or custom.get("drawStyle") == "bars"


def panels_of(dashboard: dict) -> list[dict]:
    """Every panel, rows too, also those inside closed rows."""
    return [each for panel in dashboard["panels"] for each in (panel, *(panel.get("panels") or []))]


def queries() -> list[Asked]:
    """Every query of every dashboard."""
    return [
        Asked((uid.removeprefix("costspan-"), panel["title"], target["refId"]), panel, target)
        for uid, dashboard in DASHBOARDS.items()
        for panel in panels_of(dashboard)
        for target in panel.get("targets") or []
    ]


def put_in(expr: str, variables: dict[str, str | list[str]], *, range_seconds: int, step_seconds: int) -> str:
    """The expression with its variables replaced as Grafana's Prometheus data source replaces them.

    A list is several chosen values, which are escaped and joined; a text is put in as it is ("All" is `.*`).
    """
    known = {
        "__range_s": str(range_seconds), "__range": f"{range_seconds}s", "__rate_interval": "240s",
        "__interval_ms": str(step_seconds * 1000), "__interval": f"{step_seconds}s",
    }  # fmt: skip
    for name, value in variables.items():
        known[name] = value if isinstance(value, str) else _either(value)
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], expr)


def _either(values: list[str]) -> str:
    escaped = [re.sub(r"([\\^$.*+?()[\]{}|/])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def ask(
    base: str, asked: Asked, variables: dict, *, end: float, range_seconds: int, step: int = 0
) -> dict[str, list[tuple[float, float]]]:
    """Label values (joined) -> points. One point for a figure; one per step for a chart, which ends on a step."""
    step = step or (BAR_SECONDS if asked.amounts else LINE_SECONDS)
    query = put_in(asked.target["expr"], variables, range_seconds=range_seconds, step_seconds=step)
    if asked.instant:
        found = get(base, "query", query=query, time=end)
        return {_name(one["metric"]): [_point(one["value"])] for one in found}
    end -= end % step
    found = get(base, "query_range", query=query, start=end - range_seconds, end=end, step=step)
    return {_name(one["metric"]): [_point(value) for value in one["values"]] for one in found}


def value(asked: Asked, points: list[tuple[float, float]], at: float | None = None) -> float | None:
    """What a person reads: the figure, the sum of the bars, or a line's value at a time (default: its last)."""
    if asked.instant or not asked.amounts:
        chosen = [number for time, number in points if at is None or time == at]
        return chosen[-1] if chosen else None
    return math.fsum(number for _, number in points)


def get(base: str, what: str, **parameters: object) -> list[dict]:
    """Prometheus' answer; its complaint, where it has one, is the assertion's message."""
    body = urllib.parse.urlencode(parameters).encode()
    try:
        with urllib.request.urlopen(f"{base}/api/v1/{what}", data=body, timeout=30) as answer:
            data = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.read().decode()}\n{parameters.get('query')}") from None
    return data["result"] if isinstance(data, dict) and "result" in data else data


def _name(labels: dict[str, str]) -> str:
    return " ".join(f"{float(found):g}" if label == "le" else found for label, found in sorted(labels.items()))


def _point(pair: list) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
