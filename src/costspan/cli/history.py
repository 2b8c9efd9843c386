"""`costspan runs`, `costspan show` and `costspan db`: the history on the command line."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the command line is built
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costspan.errors import OlderHistoryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from costspan.history.database import Database
    from costspan.history.rows import RunRow

_DB = "History file; COSTSPAN_HISTORY or the user's data folder by default."
_COLUMNS = (
    "run", "started", "workflow", "service", "outcome", "seconds", "calls", "input_tokens", "output_tokens", "cost_usd", "known",
)  # fmt: skip
_FIGURES = frozenset({"seconds", "calls", "input", "output", "cost", "known"})
_OPTIONAL = ("seconds", "calls", "outcome")
"""What a narrow terminal does without, in this order."""
_NAME_MIN = 12
"""Columns that a workflow's name has at least; it goes on in the next line."""
_ENDLESS = 10_000


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="runs")(runs)
    app.command(name="show")(show)
    db = typer.Typer(help="Look after the history file.", no_args_is_help=True)
    db.command(name="info")(info)
    db.command(name="vacuum")(vacuum)
    db.command(name="export")(export)
    app.add_typer(db, name="db")


@contextmanager
def opened(path: Path | None, *, write: bool = False) -> Iterator[Database]:
    """The history that the user means: --db, COSTSPAN_HISTORY, or the one in the data folder. Raises HistoryError.

    One that an older costspan wrote is brought up to date, if only to be read.
    """
    from costspan import settings
    from costspan.history.database import Database

    place = path or settings.read().history or settings.history_path()
    try:
        database = Database(place, create=False, write=write)
    except OlderHistoryError:
        database = Database(place, create=False)
    try:
        yield database
    finally:
        database.close()


def runs(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many.")] = 20,
    since: Annotated[str | None, typer.Option(help="Only those that began since: 24h, 7d, 2026-11-01.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Only those of this workflow.")] = None,
    search: Annotated[str | None, typer.Option("-q", "--search", help="Only those with this in an id or a name.")] = None,
    sort: Annotated[str, typer.Option(help="started, duration, cost, tokens, calls or workflow.")] = "started",
    lone: Annotated[bool, typer.Option("--lone", help="The calls that belong to no run instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    db: Annotated[Path | None, typer.Option(help=_DB)] = None,
) -> None:
    """List the runs in the history, the newest first."""
    from costspan.history import run_queries
    from costspan.history.moments import moment
    from costspan.history.rows import RunFilter

    if as_json and as_csv:
        raise UsageError("give --json or --csv, not both")
    since_ns = None if since is None else moment(since, option="--since")
    where = RunFilter(since_ns=since_ns, workflow=workflow, text=search, lone=lone)
    with opened(db) as database, database.reading() as reading:
        found = run_queries.runs(reading, where, sort=sort, limit=limit)
    if as_json:
        print(json.dumps([_cells(row) for row in found], indent=1))
    elif as_csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(["" if cell is None else cell for cell in _cells(row).values()] for row in found)
    elif found:
        _print_table(found)
    else:
        print(f"no {'calls without a run' if lone else 'runs'} in the history fit", file=sys.stderr)


def _cells(row: RunRow) -> dict[str, Any]:
    sums = row.sums
    started = _utc(row.started_ns)
    cost = None if sums.cost_usd is None else f"{sums.cost_usd:f}"
    seconds = round(row.duration_seconds, 3)
    values = (
        row.id, started, row.workflow, row.service, row.outcome, seconds, sums.calls, sums.input_tokens, sums.output_tokens, cost,
        sums.share,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _utc(at_ns: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_table(found: Sequence[RunRow]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from costspan.report.names import width

    plain = not sys.stdout.isatty()
    # In a pipe there is no width to keep to, and a cut figure would be worse than a long line.
    console = Console(highlight=False, width=_ENDLESS if plain else None)
    rows = [_texts(row, ascii_only=plain) for row in found]
    sizes = {name: max(width(row[name]) for row in (*rows, {name: name})) for name in rows[0]}
    sizes["workflow"] = min(sizes["workflow"], _NAME_MIN)
    left_out: list[str] = []
    while sum(sizes.values()) + 2 * len(sizes) > console.width and len(left_out) < len(_OPTIONAL):
        left_out.append(_OPTIONAL[len(left_out)])
        del sizes[left_out[-1]]
    console.width = max(console.width, sum(sizes.values()) + 2 * len(sizes))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, size in sizes.items():
        fixed = name != "workflow"
        table.add_column(name, no_wrap=fixed, min_width=size, overflow="fold", justify="right" if name in _FIGURES else "left")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in sizes))
    console.print(table)
    if left_out:
        console.print(Text(f"no room for {', '.join(left_out)}: --json and --csv have everything", style="dim"))


def _texts(row: RunRow, *, ascii_only: bool) -> dict[str, str]:
    """The cells of a printed line, by heading."""
    from costspan.report.figures import share
    from costspan.report.marks import counted, priced
    from costspan.report.names import clean

    sums = row.sums
    return {
        "run": clean(row.id, ascii_only=ascii_only)[:10],
        "started": _utc(row.started_ns)[:16].replace("T", " "),
        "workflow": clean(row.workflow, ascii_only=ascii_only) if row.workflow else "-",
        "outcome": clean(row.outcome, ascii_only=ascii_only),
        "seconds": f"{row.duration_seconds:,.1f}",
        "calls": f"{sums.calls:,}",
        "input": counted(sums.input_tokens, sums),
        "output": counted(sums.output_tokens, sums),
        "cost": priced(sums.cost_usd, sums),
        "known": share(sums.share),
    }


def show(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of it, or `last`.")] = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print the run record.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the run as one HTML page to this file.")] = None,
    db: Annotated[Path | None, typer.Option(help=_DB)] = None,
) -> None:
    """Show one run of the history: its agents, tools, steps and models."""
    from costspan.history import run_queries

    with opened(db) as database, database.reading() as reading:
        row = run_queries.find_run(reading, run)
        found = None if row is None else run_queries.load_run(reading, row)
    if row is None:
        print(f"costspan: no run {run!r} in the history; `costspan runs` lists them", file=sys.stderr)
        raise typer.Exit(1)
    if found is None:
        print(f"costspan: of run {row.id} only the sums were kept; `costspan report --since ...` shows them", file=sys.stderr)
        raise typer.Exit(1)
    if html is not None:
        from costspan.report import html as page

        page.write([found], html, totals=found.totals)
    if as_json:
        from costspan.report.run_json import to_json

        print(to_json(found), end="")
    elif html is None:
        from costspan.report.console import print_summary

        print_summary(found, sys.stdout)


def info(
    check: Annotated[bool, typer.Option("--check", help="Read the whole file and look for damage.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    db: Annotated[Path | None, typer.Option(help=_DB)] = None,
) -> None:
    """How large the history is and what it spans. An older file is brought up to date."""
    from dataclasses import asdict

    from costspan.history import upkeep

    with opened(db, write=True) as database:
        found = asdict(upkeep.info(database))
        problems = upkeep.check(database) if check else []
    if as_json:
        print(json.dumps(found | {"problems": problems} if check else found, indent=1))
    else:
        for name, value in found.items():
            if name != "dropped" or value:
                print(f"{name.removesuffix('_ns').replace('_', ' '):12} {_readable(name, value)}")
        if check:
            print("check        " + ("; ".join(problems) if problems else "sound"))
    raise typer.Exit(1 if problems else 0)


def _readable(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {place}" for place, count in value.items())
    if not isinstance(value, int):
        return str(value)
    if name.endswith("_ns"):
        return _utc(value)
    return f"{value / 1e6:,.1f} MB" if name.endswith("bytes") and value >= 1_000_000 else f"{value:,}"


def vacuum(
    keep_days: Annotated[int | None, typer.Option(min=1, help="First remove what is older; daily sums stay.")] = None,
    keep_mb: Annotated[int | None, typer.Option(min=1, help="First remove the oldest while there is more.")] = None,
    db: Annotated[Path | None, typer.Option(help=_DB)] = None,
) -> None:
    """Make the file as small as its contents."""
    from costspan.history import upkeep

    with opened(db, write=True) as database:
        before = upkeep.info(database).bytes
        upkeep.vacuum(database, days=keep_days, bytes_max=None if keep_mb is None else keep_mb << 20)
        after = upkeep.info(database).bytes
    print(f"{before:,} bytes before, {after:,} now", file=sys.stderr)


def export(
    what: Annotated[str, typer.Argument(help="runs (run records), calls, or spans.")] = "runs",
    since: Annotated[str | None, typer.Option(help="Only what began since: 24h, 7d, 2026-11-01.")] = None,
    db: Annotated[Path | None, typer.Option(help=_DB)] = None,
) -> None:
    """Print the history as NDJSON, one JSON object a line."""
    from costspan.history import upkeep
    from costspan.history.moments import moment
    from costspan.report.run_json import to_record

    since_ns = 0 if since is None else moment(since, option="--since")
    ways: dict[str, Callable[[Database], Iterable[object]]] = {
        "runs": lambda database: (to_record(run) for run in upkeep.all_runs(database, since_ns=since_ns)),
        "calls": lambda database: upkeep.all_calls(database, since_ns=since_ns),
        "spans": lambda database: upkeep.all_spans(database, since_ns=since_ns),
    }
    if what not in ways:
        message = f"export knows {', '.join(ways)}; not {what!r}"
        raise UsageError(message)
    with opened(db) as database:
        for item in ways[what](database):
            sys.stdout.write(json.dumps(item, separators=(",", ":")) + "\n")
