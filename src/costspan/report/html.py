"""Runs as one HTML file that works offline: no script, style, font or picture from elsewhere, and none at all that the
policy in its head does not name by its hash."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from costspan.report.figures import many, seconds, tokens
from costspan.report.marks import known_cost, known_tokens
from costspan.report.markup import Cell, Column, Html, badge, number, table, text
from costspan.report.page_call import clock, drawer
from costspan.report.page_run import Place, run_detail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from costspan.records import Run, Totals

RUNS_MAX: Final = 100
"""Runs that are shown in full; a file of more lists the rest in its table."""


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
    title = f"{runs[0].workflow or 'run'} · costspan" if len(runs) == 1 else f"{many(len(runs), 'run')} · costspan"
    shown = runs[:RUNS_MAX]
    body = "".join(_section(run, place, alone=len(runs) == 1) for place, run in enumerate(shown))
    if not runs:
        body = "<h1>costspan</h1><p>No run was found in the input.</p>"
    elif len(runs) > 1:
        body = _overview(runs, totals) + body
    return document(text(title), f'<main id="main">{body}</main>{_foot()}')


def document(title: str, body: str) -> str:
    """The shell: policy, style and script by their hashes, inside the file. `title` and `body` are markup."""
    style, script = asset("page.css"), asset("page.js")
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the content</a>{body}<script>{script}</script></body></html>\n'
    )


@cache
def asset(name: str) -> str:
    """The style and the script that the file and the server's page share."""
    return files("costspan.report").joinpath(name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _section(run: Run, place: int, *, alone: bool) -> str:
    prefix = f"r{place}-"
    at = Place(prefix, lambda index: f"#{prefix}call-{index + 1}")
    back = f"#{prefix}calls"
    drawers = "".join(drawer(call, index, name=f"{prefix}call-{index + 1}", back=back) for index, call in enumerate(run.calls))
    detail = f"{run_detail(run, at)}{drawers}"
    if alone:
        return f'<article id="r{place}">{detail}</article>'
    name = f"{text(run.workflow or 'run')} · {known_cost(run.totals)}"
    return f'<details class="run" id="r{place}"><summary>{name}</summary><article>{detail}</article></details>'


def _overview(runs: Sequence[Run], totals: Totals | None) -> str:
    heads = (
        Column("run"),
        Column("started"),
        Column("outcome"),
        Column("calls", number=True),
        Column("tokens", number=True),
        Column("cost", number=True),
        Column("duration", number=True),
    )
    rows = [
        (
            Cell(f'<a href="#r{place}">{text(run.workflow or "run")}</a>' if place < RUNS_MAX else text(run.workflow or "run")),
            Cell(clock(run.started_ns), run.started_ns),
            Cell(badge(run.outcome)),
            number(tokens(run.totals.calls), run.totals.calls),
            number(known_tokens(run.totals), run.totals.usage.total_tokens),
            number(known_cost(run.totals), run.totals.cost_usd),
            number(seconds(run.duration_seconds), run.duration_seconds),
        )
        for place, run in enumerate(runs)
    ]
    whole = ""
    if totals is not None:
        whole = f"<p>All together: {many(totals.calls, 'call')}, {known_tokens(totals)} tokens, {known_cost(totals)}</p>"
    more = len(runs) - RUNS_MAX
    tail = f'<p class="quiet">{many(more, "run")} beyond the first {RUNS_MAX} in the table only.</p>' if more > 0 else ""
    return f"<h1>{many(len(runs), 'run')}</h1>{whole}{table('Runs', heads, rows)}{tail}"


def _foot() -> Html:
    return Html(
        '<footer class="quiet">Made by costspan. <b>~</b> holds estimates, <b>+?</b> is only partly known, <b>?</b> is not '
        "known; unknown is never 0.</footer>"
    )
