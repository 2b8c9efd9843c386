"""How full the model's context window was over a run, agent by agent: the points of a chart, and the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import many, percent, tokens
from costspan.report.page.naming import maybe
from costspan.report.page.shares import NOBODYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.records import Call, Run

POINTS: Final = 800
"""Points that are drawn; of more, the highest of each piece of time and agent."""


class AgentFill(NamedTuple):
    """One agent's line as figures: of its first call, its fullest and its last."""

    agent: str
    colour: str
    calls: str
    first: str
    peak: str
    last: str


class Curve(NamedTuple):
    """`data` goes to the script as JSON: {kind, unit, series: [{name, colour}], points: [[seconds, value, series, call]]}."""

    data: Mapping[str, object]
    rows: Sequence[AgentFill]
    note: str


def curve(run: Run, colour: Mapping[str | None, str]) -> Curve | None:
    """In percent of the window; in tokens where no window is known. None where no call tells its tokens."""
    told = [(index, call) for index, call in enumerate(run.calls) if call.usage.total_tokens is not None]
    windowed = [(index, call) for index, call in told if call.context_window_tokens]
    points = [(call, index, _value(call, bool(windowed))) for index, call in windowed or told]
    if not points:
        return None
    points.sort(key=lambda point: (point[0].started_ns, point[1]))
    show = (lambda value: percent(value, 1)) if windowed else tokens
    by_agent: dict[str | None, list[tuple[Call, int, float]]] = {}
    for point in points:
        by_agent.setdefault(point[0].owner.agent, []).append(point)
    rows = [
        AgentFill(
            maybe(agent) if agent else "unattributed",
            colour.get(agent, NOBODYS),
            tokens(len(own)),
            show(own[0][2]),
            show(max(value for _, _, value in own)),
            show(own[-1][2]),
        )
        for agent, own in by_agent.items()
    ]
    return Curve(_data(run, by_agent, rows, "%" if windowed else "tokens"), rows, _note(points, len(told), bool(windowed)))


def _value(call: Call, windowed: bool) -> float:
    total = float(call.usage.total_tokens or 0)
    return round(100 * total / (call.context_window_tokens or 1), 6) if windowed else total


def _data(
    run: Run, by_agent: Mapping[str | None, Sequence[tuple[Call, int, float]]], rows: Sequence[AgentFill], unit: str
) -> dict[str, object]:
    starts = [call.started_ns for own in by_agent.values() for call, _, _ in own if call.started_ns]
    start = min([run.started_ns, *starts]) if run.started_ns else min(starts, default=0)
    room = max(2, POINTS // len(by_agent))
    points = [
        [round(max(0, call.started_ns - start) / 1e9, 3), value, series, index + 1]
        for series, own in enumerate(by_agent.values())
        for call, index, value in _thinned(own, room)
    ]
    series = [{"name": row.agent, "colour": row.colour} for row in rows]
    return {"kind": "curve", "unit": unit, "series": series, "points": points}


def _thinned(own: Sequence[tuple[Call, int, float]], room: int) -> Sequence[tuple[Call, int, float]]:
    if len(own) <= room:
        return own
    size = len(own) / room
    pieces = [own[int(piece * size) : max(int(piece * size) + 1, int((piece + 1) * size))] for piece in range(room)]
    return [max(piece, key=lambda point: point[2]) for piece in pieces]


def _note(points: Sequence[tuple[Call, int, float]], told: int, windowed: bool) -> str:
    fullest, _, peak = max(points, key=lambda point: point[2])
    exact = f"{percent(peak)} of the model's window" if windowed else f"{tokens(peak)} tokens in one call"
    owner = f", by {maybe(fullest.owner.agent)}" if fullest.owner.agent else ""
    left = told - len(points)
    without = f" {many(left, 'call')} of unknown window not shown." if left else ""
    return f"Peak: {exact}{owner}.{without}"
