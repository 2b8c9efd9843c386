"""Runs as one HTML file that works offline: no script, style, font or picture from elsewhere, and none at all that the
policy in its head does not name by its hash."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import lasted, many, moment, tokens
from costspan.report.marks import known_cost, known_tokens
from costspan.report.page.call_view import CallView, call_view
from costspan.report.page.naming import plain, state
from costspan.report.page.place import ROWS, Place
from costspan.report.page.run_view import RunView, run_view
from costspan.report.page.templating import asset, shared_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from costspan.records import Run, Totals

RUNS_MAX: Final = 100
"""Runs that are shown in full; a file of more lists the rest in its table."""
PANELS_MAX: Final = 2_000
"""Calls of a whole file that have a panel, at most `ROWS` of one run: a file must open, and go by mail."""
_CHARTS: Final = ("vendor/uPlot.iife.min.js", "charts.js")


class Shown(NamedTuple):
    """A run with the panels of its calls."""

    view: RunView
    calls: Sequence[CallView]


class Row(NamedTuple):
    """A run in the table of runs; `link` is empty for one that is not shown in full."""

    name: str
    link: str
    started: str
    outcome: str
    state: str
    calls: str
    tokens: str
    cost: str
    duration: str
    seconds: float


class Overview(NamedTuple):
    """The table of several runs. `whole` is the sum of everything read, `more` what the file leaves out."""

    title: str
    whole: str
    rows: Sequence[Row]
    more: str


def write(runs: Sequence[Run], path: Path, *, totals: Totals | None = None) -> Path:
    """Write the page. `totals` is over everything that was read, also calls outside of any run.

    Raises InputError with one line when the file cannot be written.
    """
    from costspan.errors import InputError

    try:
        path.write_text(page(runs, totals=totals), encoding="utf-8")
    except OSError as error:
        message = f"{path}: the page cannot be written ({error.strerror or error}): name another file"
        raise InputError(message) from error
    return path


def page(runs: Sequence[Run], *, totals: Totals | None = None) -> str:
    """The whole document. One run is shown open; several come as a table and a section each."""
    from markupsafe import Markup

    title = f"{plain(runs[0].workflow or 'run')}" if len(runs) == 1 else many(len(runs), "run")
    shown: list[Shown] = []
    for place, run in enumerate(runs[:RUNS_MAX]):
        left = PANELS_MAX - sum(len(other.calls) for other in shown)
        shown.append(_shown(run, place, min(ROWS, left)))
    drawn = any(run.view.curve for run in shown)
    # Charts are a third of the file of a small run: a file without a curve does not carry them.
    style = asset("page.css") + (asset("vendor/uPlot.min.css") if drawn else "")
    script = (_charts() if drawn else "") + asset("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:"
    return (
        shared_environment()
        .get_template("file.html")
        .render(
            title=title,
            policy=f"{policy}; base-uri 'none'; form-action 'none'",
            style=Markup(style),
            script=Markup(script),
            overview=_overview(runs, totals) if len(runs) > 1 else None,
            runs=shown,
        )
    )


def _charts() -> str:
    licence = asset("vendor/uPlot.LICENSE.txt").replace("*/", "")
    return f"/*! {licence} */\n" + "\n".join(asset(name) for name in _CHARTS) + "\n"


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _shown(run: Run, place: int, panels: int) -> Shown:
    prefix = f"r{place}-"
    view = run_view(run, Place(prefix, lambda index: f"#{prefix}call-{index + 1}" if index < panels else ""))
    return Shown(
        view, [call_view(call, index, name=f"{prefix}call-{index + 1}") for index, call in enumerate(run.calls[:panels])]
    )


def _overview(runs: Sequence[Run], totals: Totals | None) -> Overview:
    whole = ""
    if totals is not None:
        whole = f"{many(totals.calls, 'call')}, {known_tokens(totals)} tokens, {known_cost(totals)}"
    more = len(runs) - RUNS_MAX
    tail = f"{many(more, 'run')} beyond the first {RUNS_MAX} in the table only." if more > 0 else ""
    return Overview(many(len(runs), "run"), whole, [_row(run, place) for place, run in enumerate(runs)], tail)


def _row(run: Run, place: int) -> Row:
    return Row(
        plain(run.workflow or "run"),
        f"#r{place}" if place < RUNS_MAX else "",
        moment(run.started_ns),
        plain(run.outcome),
        state(run.outcome),
        tokens(run.totals.calls),
        known_tokens(run.totals),
        known_cost(run.totals),
        lasted(run.started_ns, run.ended_ns),
        round(run.duration_seconds, 6),
    )
