"""Steps and calls over the run's time: the lines of the waterfall. A call stands under its own step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import lasted, seconds
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


class _Line(NamedTuple):
    """What a row shows, in the order of rows: by the step's start, the step before its calls, these by their own start."""

    step_ns: int
    step: int
    is_call: bool
    began_ns: int
    at: int
    inner: bool


class Timeline(NamedTuple):
    """`ticks` are the moments at equal distances from the start to the end."""

    rows: Sequence[Row]
    ticks: Sequence[str]
    steps_only: bool
    pager: Pager | None


def timeline(run: Run, place: Place, colour: Mapping[str | None, str]) -> Timeline | None:
    """Steps in order of time, each with its calls; None where nothing has a time."""
    steps = [(step.started_ns, step.ended_ns) for step in run.steps if step.started_ns]
    calls = [(call.started_ns, call.ended_ns) for call in run.calls if call.started_ns]
    if not steps and not calls:
        return None
    start = min(began for began, _ in steps + calls)
    length = max(1, max(ended for _, ended in steps + calls) - start)
    alone = len(steps) + len(calls) > STEPS_ALONE and bool(steps)
    shown, pager = window(_lines(run, () if alone else run.calls), "lines", place)
    rows = []
    for line in shown:
        if line.is_call:
            rows.append(_call(run.calls[line.at], line.at, place, colour, (start, length), line.inner))
        else:
            rows.append(_step(run.steps[line.at], colour, (start, length)))
    ticks = [seconds(length * tick / (_TICKS - 1) / 1e9) if tick else "0" for tick in range(_TICKS)]
    return Timeline(rows, ticks, alone, pager)


def _lines(run: Run, calls: Sequence[Call]) -> list[_Line]:
    named: dict[str, list[int]] = {}
    found = []
    for index, step in enumerate(run.steps):
        if step.started_ns:
            named.setdefault(step.name, []).append(index)
            found.append(_Line(step.started_ns, index, False, 0, index, False))
    for index, call in enumerate(calls):
        if call.started_ns:
            own = _own_step(call, run.steps, named.get(call.owner.step or "", ()))
            if own is None:
                found.append(_Line(call.started_ns, len(run.steps), True, call.started_ns, index, False))
            else:
                found.append(_Line(run.steps[own].started_ns, own, True, call.started_ns, index, True))
    return sorted(found)


def _own_step(call: Call, steps: Sequence[Step], named: Sequence[int]) -> int | None:
    """Of the steps that have the name of the call's, the one in which it began: its own agent's first, then the latest."""
    around = [index for index in named if _holds(steps[index], call.started_ns)]
    return max(around, key=lambda index: (steps[index].agent == call.owner.agent, index), default=None)


def _holds(step: Step, moment_ns: int) -> bool:
    # A step that is still going has no length yet.
    return step.started_ns <= moment_ns and (moment_ns <= step.ended_ns or step.ended_ns <= step.started_ns)


def _call(call: Call, index: int, place: Place, colour: Mapping[str | None, str], span: tuple[int, int], inner: bool) -> Row:
    start, length = span
    return Row(
        "call inner" if inner else "call",
        model_name(call),
        place.link(index),
        plain(call.owner.agent) if call.owner.agent else "",
        seconds((call.started_ns - start) / 1e9),
        lasted(call.started_ns, call.ended_ns),
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
        lasted(step.started_ns, step.ended_ns),
        known_cost(step.totals),
        "" if step.outcome == "ok" else plain(step.outcome),
        bar((step.started_ns - start) / length, (step.ended_ns - step.started_ns) / length, colour.get(step.agent, NOBODYS)),
    )
