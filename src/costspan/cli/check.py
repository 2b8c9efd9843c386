"""`costspan check`: does a run keep to its limits?"""

from __future__ import annotations

import json
import sys
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

_HELP: Final = """Do the runs in these files keep to the limits?

FILE: trace files and run records, read as one set. Exit code 0: all limits kept, 1: one is exceeded, 2: wrong use, 3: no data,
or calls without price or usage, so that a limit cannot be judged."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="check", help=_HELP)(judge)


def judge(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Trace files and run records.", show_default=False)],
    max_cost_run: Annotated[str | None, typer.Option(metavar="USD", help="Dollars that each run may cost.")] = None,
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="Dollars that all may cost together.")] = None,
    max_tokens_run: Annotated[int | None, typer.Option(min=0, help="Tokens that each run may use.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens that all may use together.")] = None,
    max_calls_run: Annotated[int | None, typer.Option(min=0, help="Model calls that each run may make.")] = None,
    max_context: Annotated[float | None, typer.Option(min=0, help="Percent of a model's window in one call.")] = None,
    min_coverage: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Share of calls reported and priced: 95%, 95 or 0.95 (1 is all of them).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Print each limit that is exceeded or cannot be judged."""
    from costspan.cli.reading import read
    from costspan.errors import UsageError
    from costspan.report.check import UNDECIDED, Limits, check
    from costspan.report.figures import many

    limits = Limits(
        cost_run=_dollars(max_cost_run, "--max-cost-run"),
        cost=_dollars(max_cost, "--max-cost"),
        tokens_run=max_tokens_run,
        tokens=max_tokens,
        calls_run=max_calls_run,
        context_percent=max_context,
        coverage=None if min_coverage is None else _share(min_coverage, "--min-coverage"),
    )
    if limits == Limits():
        raise UsageError("give at least one limit, for example --max-cost-run 0.50")
    found = read(files)
    checked = check(limits, found.runs, found.report.totals)
    # Part of the input is missing: what was found is a lower bound, so no limit is known to be kept.
    code = checked.code or (UNDECIDED if found.partial else 0)
    if as_json:
        findings = [{"limit": one.limit, "exceeded": one.exceeded, "line": one.line} for one in checked.findings]
        print(json.dumps({"code": code, "runs": checked.runs, "calls": checked.calls, "findings": findings}, indent=1))
    else:
        for one in checked.findings:
            print(f"{'exceeded' if one.exceeded else 'unknown'}: {one.line} ({one.limit})")
        if not code:
            print(f"ok: {many(checked.runs, 'run')}, {many(checked.calls, 'call')} within the limits")
    if code == UNDECIDED and found.partial:
        print("costspan: the input is partial, so the limits cannot be judged", file=sys.stderr)
    raise typer.Exit(code)


def _share(text: str, option: str) -> float:
    """`95%` and `95` are 0.95; a plain number from 0 to 1 is the share itself."""
    from costspan.errors import UsageError

    number = text.strip().removesuffix("%").rstrip()
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        message = f"{option} takes a percentage such as 95% or a share such as 0.95; not {text!r}"
        raise UsageError(message)
    return value / 100 if value > 1 or number != text.strip() else value


def _dollars(text: str | None, option: str) -> Decimal | None:
    from costspan.errors import UsageError

    if text is None:
        return None
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        message = f"{option} takes dollars such as 0.50; not {text!r}"
        raise UsageError(message)
    return amount
