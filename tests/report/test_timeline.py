"""The rows of the waterfall: a call is indented under the step that made it, and under no other."""

from __future__ import annotations

from costspan.account.totals import total
from costspan.records import Owner, Step
from costspan.report.page.place import Place
from costspan.report.page.timeline import timeline
from made_runs import NOON, SECOND, made_call, made_run


def step(index, agent, name, start, end):
    return Step(index, agent, name, NOON + start * SECOND, NOON + end * SECOND, total([]))


def call(number, agent, name):
    return made_call(agent, number=number, owner=Owner("demo", agent, name), model=f"m{number}")


def rows(steps, calls):
    found = timeline(made_run(tuple(calls), steps=tuple(steps)), Place("", str, lambda which, start: "", {}), {})
    return [(row.kind, row.name) for row in found.rows]


def test_calls_of_parallel_steps_stand_under_their_own():
    steps = [step(0, "PM", "plan", 0, 9), step(1, "QA", "check", 1, 9)]
    calls = [call(2, "PM", "plan"), call(3, "QA", "check"), call(4, "PM", "plan")]
    assert rows(steps, calls) == [
        ("step", "plan"), ("call inner", "m2"), ("call inner", "m4"), ("step", "check"), ("call inner", "m3"),
    ]  # fmt: skip


def test_a_step_that_is_done_again_has_its_own_calls_and_a_call_of_no_step_none():
    steps = [step(0, "PM", "plan", 0, 2), step(1, "PM", "plan", 5, 8)]
    calls = [call(1, "PM", "plan"), call(3, None, None), call(6, "PM", "plan"), call(7, None, None)]
    assert rows(steps, calls) == [
        ("step", "plan"), ("call inner", "m1"), ("call", "m3"), ("step", "plan"), ("call inner", "m6"), ("call", "m7"),
    ]  # fmt: skip
