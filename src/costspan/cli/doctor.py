"""`costspan doctor`: who writes spans here, what overlaps, how good a trace's numbers are, and the lines that mend them."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.intake.doctor import Environment
    from costspan.intake.emitters import Emitter
    from costspan.intake.trace_health import TraceHealth

_HELP: Final = """What is instrumented here and by whom, which layers overlap, and what would mend missing numbers?

With FILEs (OTLP traces, run records) also how much of them is reported and priced. Exit code 1 when part of the files could
not be read."""
_STATES: Final = {"on": "on", "off": "off", "unknown": "if switched on"}
_WIDTH: Final = 110


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="doctor", help=_HELP)(doctor)


def doctor(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE...]", help="Trace files to examine.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine this Python environment and, where files are given, the traces in them."""
    from costspan import settings
    from costspan.intake.doctor import examine_environment, examine_files
    from costspan.price.book import PriceBook

    book = PriceBook(settings.read().prices, strict=True)
    environment = examine_environment(book)
    health = examine_files(files, book) if files else None
    if as_json:
        print(json.dumps(to_record(environment, health), indent=2, allow_nan=False))
    else:
        _print_environment(environment, sys.stdout)
        if health is not None:
            _print_health(health, sys.stdout)
    if health is not None:
        for problem in health.report.problems:
            print(f"costspan: {problem}", file=sys.stderr)
        raise typer.Exit(1 if health.report.partial or book.problems else 0)


def to_record(environment: Environment, health: TraceHealth | None) -> dict[str, object]:
    """`--json`: {environment, trace}; trace is null without files."""
    return {
        "environment": {
            "python": environment.python,
            "costspan": environment.costspan,
            "libraries": dict(environment.libraries),
            "emitters": [_emitter(each) for each in environment.emitters],
            "overlaps": [
                {"outer": pair.outer.title, "inner": pair.inner.title, "text": pair.text, "mend": pair.off}
                for pair in environment.overlaps
            ],
            "variables": dict(environment.variables),
            "price_table_age_days": environment.price_table_days,
        },
        "trace": None if health is None else _health(health),
    }


def _emitter(each: Emitter) -> dict[str, object]:
    return {
        "name": each.title,
        "distribution": each.distribution,
        "version": each.version,
        "target": each.target,
        "layer": each.layer,
        "state": each.state,
        "switch_on": each.switch,
        "switch_off": each.off,
    }


def _health(health: TraceHealth) -> dict[str, object]:
    from costspan.intake.report_tables import tail_record

    return tail_record(health.report) | {
        "emitters": [{"scope": scope, "calls": calls} for scope, calls in health.scopes.most_common()],
        "unreported": [
            {"reason": reason, "scope": scope, "provider": provider or None, "model": model, "calls": calls}
            for (reason, scope, provider, model), calls in health.missing.most_common()
        ],
        "unpriced": [
            {"provider": provider or None, "model": model, "reason": reason, "calls": calls}
            for (provider, model, reason), calls in health.unpriced.most_common()
        ],
        "unattributed_calls": health.unattributed,
        "findings": [finding._asdict() for finding in health.findings],
    }


def _print_environment(found: Environment, out: IO[str]) -> None:
    from costspan.intake.doctor import STALE_DAYS
    from costspan.report.figures import many

    print(f"costspan {found.costspan}, Python {found.python}", file=out)
    libraries = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
    _paragraph(f"libraries that call models: {libraries or 'none installed'}", out)
    print("\nwho can write spans of model calls here", file=out)
    _rows(((each.title, each.version, each.layer, _STATES[each.state], each.switch) for each in found.emitters), out)
    if not found.emitters:
        print("  nobody: pip install 'costspan[langchain]' or an instrumentation of your framework", file=out)
    if found.overlaps:
        print("\nlayers that overlap when both are on (costspan counts such calls once, others count them twice)", file=out)
        for pair in found.overlaps:
            _item(f"{pair.outer.title} + {pair.inner.title}: {pair.text}", f"to have one layer only: {pair.off}", out)
    if found.variables:
        print("\nset in this environment", file=out)
        _rows(found.variables.items(), out)
    print(file=out)
    days = found.price_table_days
    if days is None:
        print("price table: cannot be read; pip install --force-reinstall genai-prices", file=out)
    elif days > STALE_DAYS:
        _item(f"price table: {days:.0f} days old", "pip install --upgrade costspan genai-prices", out, mark="!")
    else:
        print(f"price table: {many(round(max(days, 0)), 'day')} old", file=out)


def _print_health(health: TraceHealth, out: IO[str]) -> None:
    from costspan.intake.report_tables import overall_lines
    from costspan.report.figures import many

    print("\nthe files", file=out)
    if health.report.problems and not health.report.spans and not health.report.totals.calls:
        print("  nothing in them could be read (see the errors), so nothing can be said of them", file=out)
        return
    for line in overall_lines(health.report)[:2]:
        _paragraph(f"  {line}", out)
    coverage = health.report.totals.coverage
    if coverage.calls:
        print(
            f"  {many(coverage.calls, 'call')}: {coverage.reported_calls:,} reported, {coverage.estimated_calls:,} estimated, "
            f"{coverage.missing_calls:,} without usage, {coverage.refused_calls:,} refused by the provider; "
            f"{coverage.priced_calls:,} priced",
            file=out,
        )
    for scope, calls in health.scopes.most_common():
        print(f"  {calls:,} told by {_safe(scope)}", file=out)
    unread = health.report.spans - health.report.genai_spans
    print(f"  {unread:,} of {health.report.spans:,} spans say nothing of models, agents or tools", file=out)
    for note in health.report.notes:
        print(f"  note: {note}", file=out)
    if not health.findings:
        print("\nnothing to mend in what could be read" if health.report.problems else "\nnothing to mend", file=out)
        return
    print("\nfindings", file=out)
    for finding in health.findings:
        _item(finding.text, finding.mend, out)


def _safe(name: str) -> str:
    from costspan.report.names import clean

    return clean(name, ascii_only=True)


def _item(text: str, mend: str, out: IO[str], mark: str = "-") -> None:
    _paragraph(f"  {mark} {text}", out)
    if mend:
        # Not wrapped: it is there to be copied.
        print(f"      {mend}", file=out)


def _paragraph(text: str, out: IO[str]) -> None:
    print(textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False), file=out)


def _rows(rows: Iterable[tuple[str, ...]], out: IO[str]) -> None:
    """Cells in columns; the last one runs on."""
    listed = list(rows)
    sizes = [max(len(row[place]) for row in listed) for place in range(len(listed[0]) - 1)] if listed else []
    for row in listed:
        cells = [cell.ljust(size) for cell, size in zip(row, sizes, strict=False)]
        print("  " + "  ".join([*cells, row[-1]]), file=out)
