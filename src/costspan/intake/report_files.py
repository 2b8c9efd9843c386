"""Trace files and run records -> runs, totals and groups: what `costspan report` shows, without the command line."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from costspan.account.assemble import ODDITIES, assemble, noted
from costspan.account.booking import make_call
from costspan.account.totals import Tally
from costspan.errors import UsageError
from costspan.intake.files import read_files
from costspan.intake.hold import Hold
from costspan.intake.problems import Problems
from costspan.normalise.dialects import read
from costspan.records import Totals
from costspan.report.run_read import from_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from costspan.account.assemble import Assembled
    from costspan.intake.files import FileSpans
    from costspan.price.book import PriceBook
    from costspan.records import Call, Run

    Show = Callable[[Run], None]

BY: Final = ("agent", "model", "tool", "day", "workflow", "provider")
"""What calls can be grouped by. `tool` is the tool inside which a call was made, `day` the UTC day on which it began."""
_CYCLE: Final = "own ancestor"
"""Of the oddities that `assemble` notes, the one that no correct program produces."""
_ONE: Final = {f"spans {many}": f"span {one}" for one, many in ODDITIES.items()}
"""The words about one span, by those about several: traces are summed, each has its own count."""
_BATCHES_BETWEEN: Final = 500
"""Batches between two looks for garbage, which cost as much as reading: in between some 60 MB gather."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Group:
    """The calls that share these values of the keys asked for; None is a call of which that is not known."""

    key: tuple[str | None, ...]
    totals: Totals


@dataclass(slots=True)
class Report:
    """Everything that the files tell, over all runs; the runs themselves were handed to `show`.

    `totals` is over all calls, `lone` over those outside any run. `duplicates` counts spans that told of a call which
    another span, of the scope named first, already told of. `notes` are odd but readable things, `problems` what was not.
    """

    spans: int = 0
    genai_spans: int = 0
    runs: int = 0
    totals: Totals = field(default_factory=Totals)
    lone: Totals = field(default_factory=Totals)
    by: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    duplicates: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    problems: Problems = field(default_factory=Problems)

    @property
    def partial(self) -> bool:
        """Whether part of the input could not be read as it should."""
        return bool(self.problems)


def report_files(
    paths: Sequence[Path | str],
    book: PriceBook,
    show: Show,
    *,
    by: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    see: Callable[[Call], None] | None = None,
) -> Report:
    """Read all files as one set, hand each run to `show` as it is ready (in order of time), and sum everything.

    Run records among the files count as the runs that they describe; one whose spans are there too counts once. `see` is
    shown every call. Raises InputError for a file that cannot be opened, UsageError for an unknown group.
    """
    unknown = [name for name in by if name not in BY]
    if unknown:
        message = f"--by knows {', '.join(BY)}; not {unknown[0]!r}"
        raise UsageError(message)
    spans = read_files(paths, progress)
    with _without_gc():
        return _Reporter(book, show, tuple(by), see).run(spans)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Reading makes millions of objects that live until the end; to look for garbage among them again and again would
    more than double the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.unfreeze()
            gc.enable()


class _Reporter:
    def __init__(self, book: PriceBook, show: Show, by: tuple[str, ...], see: Callable[[Call], None] | None) -> None:
        self._make = partial(make_call, book=book)
        self._show = show
        self._see = see
        self._by = by
        self._groups: dict[tuple[str | None, ...], Tally] = {}
        self._totals = Tally()
        self._lone = Tally()
        self._told_calls: set[tuple[str, str]] = set()
        self._notes: Counter[str] = Counter()
        self._report = Report(by=by)

    def run(self, spans: FileSpans) -> Report:
        report = self._report
        hold = Hold()
        report.problems = spans.problems
        genai = 0
        keep = hold.add
        for record in spans:
            reading = read(record)
            if reading is not None:
                genai += 1
            keep(record, reading)
        report.spans, report.genai_spans = hold.count, genai
        told_ids: set[str] = set()
        gc.freeze()
        young = 0
        for batch in hold.batches():
            found = assemble(batch, make=self._make, overall=self._totals)
            self._batch(found, told_ids if spans.records else None)
            batch.clear()
            young += 1
            if young >= _BATCHES_BETWEEN:
                # What was assembled refers to itself in circles; what was read does not, and is not looked through again.
                gc.collect(0)
                young = 0
        for told in spans.records:
            self._record(from_record(told), told_ids)
        return self._closed()

    def _batch(self, found: Assembled, told_ids: set[str] | None) -> None:
        for run in found.runs:
            if told_ids is not None:
                told_ids.update((run.id, *run.trace_ids))
            self._run(run)
        self._count(found.lone_calls, self._lone)
        self._report.duplicates.update(found.duplicates)
        for note in found.notes:
            count, _, text = note.partition(" ")
            self._notes[_ONE.get(text, text)] += int(count.replace(",", ""))

    def _run(self, run: Run) -> None:
        self._report.runs += 1
        self._count(run.calls, None)
        self._show(run)

    def _record(self, run: Run, told_ids: set[str]) -> None:
        """A run record; the same run may be there as spans, or as a second copy of the record.

        `told_ids` are of runs, and traces that are here as spans. Records of one trace may be of several runs: a request to
        a web service may begin two. They are the same where they have a call in common.
        """
        calls = {(call.trace_id, call.id) for call in run.calls if call.trace_id}
        if run.id in told_ids or not told_ids.isdisjoint(run.trace_ids) or not calls.isdisjoint(self._told_calls):
            self._notes["run records tell of runs that are here as spans or as another record: counted once"] += 1
            return
        told_ids.add(run.id)
        self._told_calls |= calls
        if run.totals.calls and not run.calls:
            self._report.problems.add(run.id, "", "a run record without its calls was left out: nothing in it can be checked")
            return
        for call in run.calls:
            self._totals.add(call)
        self._run(run)

    def _count(self, calls: Iterable[Call], also: Tally | None) -> None:
        by, see = self._by, self._see
        if not by and see is None and also is None:
            return
        for call in calls:
            if also is not None:
                also.add(call)
            if by:
                key = tuple(_KEYS[name](call) for name in by)
                tally = self._groups.get(key)
                if tally is None:
                    tally = self._groups[key] = Tally()
                tally.add(call)
            if see is not None:
                see(call)

    def _closed(self) -> Report:
        report = self._report
        report.totals, report.lone = self._totals.freeze(), self._lone.freeze()
        groups = [Group(key, tally.freeze()) for key, tally in self._groups.items()]
        report.groups = tuple(sorted(groups, key=_dearest_first if "day" not in self._by else _in_order))
        for text, count in self._notes.items():
            oddity = text.removeprefix("span ")
            note = noted(count, oddity) if oddity in ODDITIES else f"{count:,} {text}"
            if _CYCLE in text:
                report.problems.add("the traces", "", note)
            else:
                report.notes = (*report.notes, note)
        return report


def _dearest_first(group: Group) -> tuple[object, ...]:
    cost = group.totals.cost_usd
    return (cost is None, -(cost or 0), -(group.totals.usage.total_tokens or 0), _in_order(group))


def _in_order(group: Group) -> tuple[object, ...]:
    return tuple((part is None, part or "") for part in group.key)


def _day(call: Call) -> str | None:
    if call.started_ns <= 0:
        return None
    try:
        return f"{_EPOCH + timedelta(days=call.started_ns // _DAY_NS):%Y-%m-%d}"
    except OverflowError:
        return None


_KEYS: Final[dict[str, Callable[[Call], str | None]]] = {
    "agent": lambda call: call.owner.agent,
    "model": lambda call: call.model or call.response_model or call.request_model,
    "tool": lambda call: call.owner.tool,
    "day": _day,
    "workflow": lambda call: call.owner.workflow,
    "provider": lambda call: call.provider,
}
