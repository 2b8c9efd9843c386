"""Two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.history import run_queries
from costspan.report import diff
from costspan.report.diff_text import signed_dollars, signed_tokens
from costspan.report.figures import moment, seconds, tokens
from costspan.report.marks import known_cost, known_tokens
from costspan.report.page.naming import DASH, plain
from costspan.server.asking import context_of, find_run, run_link
from costspan.server.rendering import Screen, missing, show
from costspan.server.screens.sums import cost_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from starlette.requests import Request
    from starlette.responses import Response

    from costspan.history.rows import RunRow
    from costspan.records import Run, Totals
    from costspan.report.diff import Change, Diff

CHOICES: Final = 100
_TITLES: Final = (("agent", "By agent"), ("model", "By model"), ("tool", "Inside tools"))


class Side(NamedTuple):
    """One of the two: its letter, name and address."""

    letter: str
    name: str
    link: str
    started: str


class Measure(NamedTuple):
    """One figure of both. `trend` is up, down or same; more is never shown as good."""

    name: str
    before: str
    after: str
    change: str
    trend: str


class Line(NamedTuple):
    """One name on either side. `note` is new, gone or ""."""

    name: str
    note: str
    cost_before: str
    cost_after: str
    cost_change: str
    trend: str
    tokens_before: str
    tokens_after: str
    tokens_change: str


class Comparison(NamedTuple):
    """`tables` are (title, kind, lines)."""

    sides: Sequence[Side]
    measures: Sequence[Measure]
    notes: Sequence[str]
    tables: Sequence[tuple[str, str, Sequence[Line]]]


class Compare(NamedTuple):
    """`selects` are (letter, name, [(value, words, chosen)])."""

    selects: Sequence[tuple[str, str, Sequence[tuple[str, str, bool]]]]
    found: Comparison | None


def compare(request: Request) -> Response:
    """Choose two, or see what differs. `run` given twice stands for `a` and `b`: the boxes ticked in the list of runs."""
    context = context_of(request)
    ticked = request.query_params.getlist("run")
    names = [request.query_params.get(side) or (ticked[place] if len(ticked) > place else "") for place, side in enumerate("ab")]
    if ticked:
        names.reverse()  # lists show the newest first, a comparison the oldest
    with context.database.reading() as db:
        latest = run_queries.runs(db, limit=CHOICES)
    found = None
    if all(names):
        runs = [find_run(context, name)[0] for name in names]
        if runs[0] is None or runs[1] is None:
            return missing("One of the two runs is not here")
        found = comparison(runs[0], runs[1])
        names = [runs[0].id, runs[1].id]
    view = Compare([(letter.upper(), letter, _options(latest, name)) for letter, name in zip("ab", names, strict=True)], found)
    return show("compare.html", Screen("Compare", "/compare"), view)


def comparison(before: Run, after: Run) -> Comparison:
    """What differs between two runs, the greatest change of cost first."""
    sides = [diff.side(label, [one]) for label, one in (("A", before), ("B", after))]
    found = diff.diff(sides[0], sides[1])
    return Comparison(
        [_side("A", before), _side("B", after)],
        _measures(found),
        [plain(line) for line in found.partial],
        [(title, kind, [_line(change) for change in found.changes[kind]]) for kind, title in _TITLES if found.changes[kind]],
    )


def _options(latest: Sequence[RunRow], chosen: str) -> list[tuple[str, str, bool]]:
    rows = [(row.id, f"{plain(row.workflow or 'run')} · {moment(row.started_ns)} · {cost_of(row.sums)}") for row in latest]
    if chosen and chosen not in (name for name, _ in rows):
        rows.append((chosen, plain(chosen)))
    return [("", "choose a run", not chosen), *((name, words, name == chosen) for name, words in rows)]


def _side(letter: str, run: Run) -> Side:
    return Side(letter, plain(run.workflow or "run"), run_link(run.id), moment(run.started_ns))


def _measures(found: Diff) -> list[Measure]:
    a, b, whole = found.before, found.after, found.whole
    lasted = b.duration_seconds - a.duration_seconds
    return [
        Measure("cost", known_cost(a.totals), known_cost(b.totals), signed_dollars(whole.cost_usd), _trend(whole.cost_usd)),
        Measure("tokens", known_tokens(a.totals), known_tokens(b.totals), signed_tokens(whole.tokens), _trend(whole.tokens)),
        Measure("model calls", tokens(a.totals.calls), tokens(b.totals.calls), _signed(whole.calls), _trend(whole.calls)),
        Measure("steps", tokens(a.steps), tokens(b.steps), _signed(b.steps - a.steps), _trend(b.steps - a.steps)),
        Measure(
            "duration",
            seconds(a.duration_seconds),
            seconds(b.duration_seconds),
            f"{'-' if lasted < 0 else '+'}{seconds(abs(lasted))}" if round(lasted, 3) else "0",
            _trend(round(lasted, 3)),
        ),
    ]


def _line(change: Change) -> Line:
    return Line(
        plain(change.name),
        "new" if change.before is None else "gone" if change.after is None else "",
        _money(change.before),
        _money(change.after),
        signed_dollars(change.cost_usd),
        _trend(change.cost_usd),
        _count(change.before),
        _count(change.after),
        signed_tokens(change.tokens),
    )


def _money(totals: Totals | None) -> str:
    return DASH if totals is None else known_cost(totals)


def _count(totals: Totals | None) -> str:
    return DASH if totals is None else known_tokens(totals)


def _signed(change: int) -> str:
    return f"{change:+,}" if change else "0"


def _trend(change: Decimal | float | None) -> str:
    return "same" if not change else "up" if change > 0 else "down"
