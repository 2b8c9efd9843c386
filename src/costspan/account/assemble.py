"""A finished set of spans -> runs with their agents, tools, steps and totals; what belongs to no run as lone calls.

Pure and deterministic: the order of the spans does not matter, cycles, missing parents, spans delivered twice and spans that
never ended are survived and noted. The conservation law holds by construction: each call is added once, to one agent's `self`
or to `unattributed`; a run's total is the sum of these, and the sum of everything that of the runs and the lone calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.account.fold import fold
from costspan.account.owner import dissolve, hinted, lone_owner, units
from costspan.account.run_sum import RunSum
from costspan.account.tools import join_tools
from costspan.account.totals import Tally
from costspan.account.tree import Tree
from costspan.records import CALL, TOOL, Duplicate, span_hex, trace_hex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from costspan.account.cachehit import CacheHits
    from costspan.account.fold import Group
    from costspan.account.owner import Unit
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call, Owner, Run, Totals

    Make = Callable[[SpanRecord, Reading, Owner], Call]


class Assembled(NamedTuple):
    """Everything that a set of spans tells. `totals` is over all runs and lone calls, each call once.

    `duplicates` are (kept scope, dropped scope) of every span that was folded into another; `notes` clear lines about what
    is odd in the input as a whole.
    """

    runs: tuple[Run, ...]
    lone_calls: tuple[Call, ...]
    totals: Totals
    duplicates: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def assemble(
    spans: Sequence[tuple[SpanRecord, Reading | None]], *, make: Make, hits: CacheHits | None = None, overall: Tally | None = None
) -> Assembled:
    """Fold duplicates, find owners and runs, and sum. `make` prices one call; spans without a reading only link others.

    `hits` remembers answers of earlier sets, so that a cache hit is known across them; `overall` goes on from theirs.
    """
    tree = Tree(spans)
    found = units(tree)
    runs = _open_runs(tree, found)
    overall = overall if overall is not None else Tally()
    lone: list[Call] = []
    duplicates: list[tuple[str, str]] = []
    for group in fold(spans, tree, hits):
        record = spans[group.kept][0]
        unit = _home(group, found, spans)
        owner = lone_owner(group.reading) if unit is None else _owner(unit, group.reading)
        call = make(record, group.reading, owner)
        if len(group.members) > 1:
            call = _with_duplicates(call, group, spans, duplicates)
        if unit is None:
            overall.add(call)
            lone.append(call)
        else:
            runs[id(unit.run)].call(call, unit, tuple(spans[place][0].trace_id for place in group.members))
    for run in runs.values():
        overall.merge(run.tally())
    told = {id(unit.run) for place, unit in enumerate(found) if unit is not None and _is_call(spans[place][1])}
    ended = [run.freeze() for key, run in runs.items() if run.worth_showing(folded_away=key in told)]
    ended.sort(key=lambda run: (run.started_ns, run.id))
    dissolve(found)
    return Assembled(tuple(ended), tuple(lone), overall.freeze(), tuple(duplicates), _notes(tree))


def _is_call(reading: Reading | None) -> bool:
    return reading is not None and reading.kind == CALL


def _open_runs(tree: Tree, found: list[Unit | None]) -> dict[int, RunSum]:
    runs: dict[int, RunSum] = {}
    spans = tree.spans
    tools: list[tuple[SpanRecord, Reading, Unit]] = []
    for place in tree.order:
        unit = found[place]
        if unit is None:
            continue
        record, reading = spans[place]
        run = runs.get(id(unit.run))
        if run is None and reading is not None:
            run = runs[id(unit.run)] = RunSum(unit.run, record, reading)
        if run is None:
            continue
        if unit.place == place and reading is not None:
            run.unit(unit, record)
            if reading.kind == TOOL:
                tools.append((record, reading, unit))
        run.span(record)
    for record, reading, unit in join_tools(tools):
        runs[id(unit.run)].tool(record, reading, unit)
    return runs


def _home(group: Group, found: list[Unit | None], spans: Sequence[tuple[SpanRecord, Reading | None]]) -> Unit | None:
    """The unit that owns a call: the outermost member's that knows an agent, else the outermost's that is in a run at all."""
    best: Unit | None = None
    for place in group.members:
        unit = found[place]
        if unit is None:
            continue
        record, reading = spans[place]
        unit = hinted(unit, record, group.reading if reading is None else reading)
        if unit is not None and (best is None or (best.agent is None and unit.agent is not None)):
            best = unit
    if best is not None and best.agent is None:
        record, _ = spans[group.kept]
        best = hinted(best, record, group.reading)
    return best


def _owner(unit: Unit, reading: Reading) -> Owner:
    owner = unit.owner()
    if owner.tool is None and reading.tool is not None:
        owner = owner._replace(tool=reading.tool)
    if owner.step is None and reading.step is not None:
        owner = owner._replace(step=reading.step)
    return owner


def _with_duplicates(
    call: Call, group: Group, spans: Sequence[tuple[SpanRecord, Reading | None]], duplicates: list[tuple[str, str]]
) -> Call:
    kept = spans[group.kept][0].scope
    told = []
    for place in group.members:
        record, reading = spans[place]
        if place != group.kept and reading is not None:
            told.append(Duplicate(span_hex(record.span_id), trace_hex(record.trace_id), record.scope, reading.usage))
            duplicates.append((kept, record.scope))
    return replace(call, duplicates=tuple(told))


ODDITIES: Final = {
    "never ended: its time is unknown": "never ended: their time is unknown",
    "ended before it began: the clock jumped": "ended before they began: the clock jumped",
    "names a parent that is not here: its owner may be incomplete": (
        "name parents that are not here: their owners may be incomplete"
    ),
    "was its own ancestor: that link was cut": "were their own ancestors: those links were cut",
    "came twice and was counted once": "came twice and were counted once",
}
"""What is odd about a span, and the words for several of them."""


def noted(count: int, oddity: str) -> str:
    """The line about so many spans; `oddity` is a key of `ODDITIES`."""
    return f"1 span {oddity}" if count == 1 else f"{count:,} spans {ODDITIES[oddity]}"


def _notes(tree: Tree) -> tuple[str, ...]:
    open_spans = backwards = 0
    for place in tree.order:
        record, reading = tree.spans[place]
        if reading is not None:
            open_spans += not record.end_ns
            backwards += 0 < record.end_ns < record.start_ns
    counts = (open_spans, backwards, tree.missing, tree.cycles, len(tree.repeated))
    return tuple(noted(count, one) for count, one in zip(counts, ODDITIES, strict=True) if count)
