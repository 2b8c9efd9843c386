"""Steps and calls over the run's time: the lines of the waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import seconds
from costspan.report.marks import call_cost, known_cost
from costspan.report.page.naming import model_name, plain
from costspan.report.page.place import window
from costspan.report.page.shares import NOBODYS, Bar, bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.records import Call, Run, Step
    from costspan.report.page.place import Pager, Place

STEPS_ALONE: Final = 2_000
"""A run of more lines shows its steps only: its calls are in their own list."""
_TICKS: Final = 5


class Row(NamedTuple):
    """A step or a call (`kind`), or a call made in a step (`call inner`). `link` leads to a call's details, "" without."""

    kind: str
    name: str
    link: str
    agent: str
    start: str
    duration: str
    cost: str
    failed: str
    bar: Bar


class Timeline(NamedTuple):
    """`ticks` are the moments at equal distances from the start to the end."""

    rows: Sequence[Row]
    ticks: Sequence[str]
    steps_only: bool
    pager: Pager | None


def timeline(run: Run, place: Place, colour: Mapping[str | None, str]) -> Timeline | None:
    """In order of time; None where nothing has a time."""
    steps: list[tuple[int, bool, int, int]] = [
        (step.started_ns, False, -step.ended_ns, index) for index, step in enumerate(run.steps) if step.started_ns
    ]
    calls = [(call.started_ns, True, -call.ended_ns, index) for index, call in enumerate(run.calls) if call.started_ns]
    every = steps + calls
    if not every:
        return None
    start = min(line[0] for line in every)
    length = max(1, max(-line[2] for line in every) - start)
    alone = len(every) > STEPS_ALONE and bool(steps)
    shown, pager = window(sorted(steps if alone else every), "lines", place)
    rows = []
    for _, is_call, _, index in shown:
        if is_call:
            rows.append(_call(run.calls[index], index, place, colour, (start, length), bool(steps)))
        else:
            rows.append(_step(run.steps[index], colour, (start, length)))
    ticks = [seconds(length * tick / (_TICKS - 1) / 1e9) if tick else "0" for tick in range(_TICKS)]
    return Timeline(rows, ticks, alone, pager)


def _call(call: Call, index: int, place: Place, colour: Mapping[str | None, str], span: tuple[int, int], inner: bool) -> Row:
    start, length = span
    return Row(
        "call inner" if inner else "call",
        model_name(call),
        place.link(index),
        plain(call.owner.agent) if call.owner.agent else "",
        seconds((call.started_ns - start) / 1e9),
        seconds(call.duration_seconds),
        call_cost(call),
        "" if call.outcome == "ok" else plain(call.outcome),
        bar(
            (call.started_ns - start) / length, (call.ended_ns - call.started_ns) / length, colour.get(call.owner.agent, NOBODYS)
        ),
    )


def _step(step: Step, colour: Mapping[str | None, str], span: tuple[int, int]) -> Row:
    start, length = span
    return Row(
        "step",
        plain(step.name),
        "",
        plain(step.agent) if step.agent else "",
        seconds((step.started_ns - start) / 1e9),
        seconds(step.duration_seconds),
        known_cost(step.totals),
        "" if step.outcome == "ok" else plain(step.outcome),
        bar((step.started_ns - start) / length, (step.ended_ns - step.started_ns) / length, colour.get(step.agent, NOBODYS)),
    )
