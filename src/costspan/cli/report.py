"""`costspan report`: what the runs in trace files and run records cost."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from costspan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress

    from costspan.intake.report_files import Report
    from costspan.records import Run

_HELP: Final = """What did the runs in these files cost?

FILE: OTLP traces in JSON or protobuf (also lines, as the Collector's file exporter writes them), plain, gzip or zstd, and
run records; - is standard input. All files are one set. Exit code 1 when part of the input could not be read.

Without FILE: the history that `costspan serve` and COSTSPAN_HISTORY keep, by day unless --by says otherwise."""
RUNS_SHOWN: Final = 10
_NAME_MIN: Final = 12
"""Columns that a name has at least in a table of groups; it goes on in the next line."""
_ENDLESS: Final = 10_000


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="report", help=_HELP)(report)


def report(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE...]", help="Trace files and run records.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print {runs, totals, groups, problems} as JSON.")] = False,
    by: Annotated[
        str | None,
        typer.Option(
            help="Group calls: any of agent,model,tool,day,workflow,provider; of the history also hour,service,environment."
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: the groups of --by, else a row for each run.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the runs as one HTML page to this file.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many runs are printed in full.")] = RUNS_SHOWN,
    since: Annotated[str | None, typer.Option(help="Of the history, what began since: 24h, 7d, 2026-11-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Of the history, what began before.")] = None,
    db: Annotated[Path | None, typer.Option(help="History file; COSTSPAN_HISTORY or the user's data folder by default.")] = None,
) -> None:
    """Print the summary of each run and the totals over all; what could not be read goes to standard error."""
    if as_json and as_csv:
        raise UsageError("give --json or --csv, not both")
    groups = tuple(part.strip() for part in by.split(",") if part.strip()) if by is not None else ()
    if by is not None and not groups:
        raise UsageError("--by needs names, for example --by agent,model")
    if not files:
        _report_history((since, until), groups or ("day",), db, as_json=as_json, as_csv=as_csv)
        return
    if since is not None or until is not None or db is not None:
        raise UsageError("--since, --until and --db ask the history: leave the files out")
    from costspan import settings
    from costspan.intake.report_files import report_files
    from costspan.price.book import PriceBook

    out = _Json(sys.stdout) if as_json else _Csv(sys.stdout, groups) if as_csv else _Text(sys.stdout, groups, limit)
    pages: list[Run] = []

    with _without_gc(), _progress(files) as bar:

        def show(run: Run) -> None:
            bar.stop()  # the summary goes to the same terminal
            if html is not None:
                pages.append(run)
            out.run(run)

        book = PriceBook(settings.read().prices, strict=True)
        found = report_files(files, book, show, by=groups, progress=bar.advance)
    out.end(found)
    if html is not None:
        _write_html(html, pages, found)
    _tell(found)
    raise typer.Exit(1 if found.partial or book.problems else 0)


@contextmanager
def _without_gc() -> Iterator[None]:
    """This process makes objects, prints them and is over: neither while it reads nor when it ends is garbage worth a search."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def _tell(found: Report) -> None:
    """What is odd and what could not be read, on standard error."""
    for note in found.notes:
        print(f"costspan: note: {note}", file=sys.stderr)
    for problem in found.problems:
        print(f"costspan: {problem}", file=sys.stderr)
    if found.problems:
        print("costspan: the input is partial; everything that could be read is counted", file=sys.stderr)


def _report_history(
    between: tuple[str | None, str | None], by: Sequence[str], db: Path | None, *, as_json: bool, as_csv: bool
) -> None:
    """Groups of what the history keeps."""
    from costspan.cli.history import opened
    from costspan.history.moments import moment
    from costspan.intake.report_history import report_history
    from costspan.intake.report_tables import tail_record

    options = ("--since", "--until")
    moments = [None if text is None else moment(text, option=name) for text, name in zip(between, options, strict=True)]
    with opened(db) as database:
        found = report_history(database, by=by, since_ns=moments[0], until_ns=moments[1])
    if as_json:
        record = tail_record(found)
        print(json.dumps({name: record[name] for name in ("totals", "groups")}, allow_nan=False, indent=1))
    else:
        out = _Csv(sys.stdout, by) if as_csv else _Text(sys.stdout, by, 0)
        out.end(found)


class _Text:
    """For people: a summary of each run, then the totals; or a table of groups."""

    def __init__(self, out: IO[str], by: Sequence[str], limit: int) -> None:
        self._out = out
        self._left = 0 if by else limit
        self._hidden = 0
        self._by = by

    def run(self, run: Run) -> None:
        if not self._left:
            self._hidden += 1
            return
        from costspan.report.console import print_summary

        self._left -= 1
        print_summary(run, self._out)
        print(file=self._out)

    def end(self, found: Report) -> None:
        from costspan.intake.report_tables import overall_lines
        from costspan.report.figures import many

        if self._by:
            _print_groups(found, self._out)
        elif self._hidden:
            print(f"{many(self._hidden, 'more run')} not shown: --limit {found.runs}, --by agent,model or --json", file=self._out)
        for line in overall_lines(found):
            print(line, file=self._out)


def _print_groups(found: Report, out: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from costspan.intake.report_tables import HEADINGS, group_rows
    from costspan.report.names import width

    console = Console(file=out, highlight=False)
    terminal = console.is_terminal and not console.legacy_windows
    rows = list(group_rows(found, ascii_only=not terminal))
    sizes = [max(width(cell) for cell in column) for column in zip(*rows, (*found.by, *HEADINGS), strict=True)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, size in zip(found.by, sizes, strict=False):
        table.add_column(name, overflow="fold", min_width=min(size, _NAME_MIN))
    sizes[: len(found.by)] = [min(size, _NAME_MIN) for size in sizes[: len(found.by)]]
    for name in HEADINGS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row), style="bold" if row is rows[-1] else "")
    # In a pipe there is no width to keep to; a terminal that is too narrow breaks lines. A cut figure would be worse.
    console.width = max(console.width, sum(sizes) + 2 * len(sizes)) if terminal else _ENDLESS
    console.print(table)


class _Json:
    """For programs: the run records one by one as they come, so that a great set needs no great memory."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._count = 0

    def run(self, run: Run) -> None:
        from costspan.report.run_json import to_record

        self._out.write('{"runs": [\n' if not self._count else ",\n")
        self._out.write(json.dumps(to_record(run), allow_nan=False))
        self._count += 1

    def end(self, found: Report) -> None:
        from costspan.intake.report_tables import tail_record

        rest = json.dumps(tail_record(found), allow_nan=False, indent=1)
        self._out.write("\n], " if self._count else '{"runs": [], ')
        self._out.write(rest[1:].lstrip() + "\n")


class _Csv:
    """For spreadsheets: a row for each group, or for each run."""

    def __init__(self, out: IO[str], by: Sequence[str]) -> None:
        import csv

        from costspan.intake.report_tables import RUN_COLUMNS, SUM_COLUMNS

        self._out = out
        self._by = by
        self._table = csv.writer(out, lineterminator="\n")
        if not by:
            self._table.writerow((*RUN_COLUMNS, *SUM_COLUMNS))

    def run(self, run: Run) -> None:
        from costspan.intake.report_tables import run_cells

        if not self._by:
            self._table.writerow(run_cells(run))

    def end(self, found: Report) -> None:
        from costspan.intake.report_tables import write_groups

        if self._by:
            write_groups(found, self._out)


def _write_html(path: Path, runs: list[Run], found: Report) -> None:
    """The page is made by `report/html.py`."""
    from costspan.report import html

    html.write(runs, path, totals=found.totals)
    print(f"costspan: page written to {path}", file=sys.stderr)


class _Bar:
    """A progress bar on standard error; nothing where that is no terminal."""

    def __init__(self, files: Sequence[str]) -> None:
        self._progress: Progress | None = None
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        size = sum(Path(file).stat().st_size for file in files if Path(file).is_file())
        self._task = self._progress.add_task("reading", total=size or None)
        self._progress.start()

    def advance(self, count: int) -> None:
        if self._progress is not None:
            self._progress.advance(self._task, count)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


@contextmanager
def _progress(files: Sequence[str]) -> Iterator[_Bar]:
    bar = _Bar(files)
    try:
        yield bar
    finally:
        bar.stop()
