"""`costspan diff`: what changed between two runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from costspan.records import Totals
    from costspan.report.diff import Diff

_HELP: Final = """What changed from A to B in cost, tokens and calls, by agent, model and tool?

A and B: run records or trace files. Exit code 1 when --fail-over is exceeded, 3 when it cannot be judged because calls have
no price or no usage."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="diff", help=_HELP)(compare)


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="The run to compare with.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="The run that is compared.", show_default=False)],
    fail_over: Annotated[str | None, typer.Option(metavar="LIMIT", help="Fail when B is over A by more: 10%, or 0.05.")] = None,
    on: Annotated[str, typer.Option(help="What --fail-over is on: cost, tokens or calls.")] = "cost",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull-request comment.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Print the comparison, and judge it where a limit was given."""
    from costspan.cli.reading import read
    from costspan.errors import UsageError
    from costspan.report import diff, diff_text

    if as_json and as_markdown:
        raise UsageError("give --json or --markdown, not both")
    diff.check_measure(on)
    limit = diff.read_limit(fail_over, on) if fail_over is not None else None
    sides = []
    partial = False
    for name in (before, after):
        found = read([name])
        partial = partial or found.partial
        sides.append(diff.side(name, found.runs, found.calls))
    result = diff.diff(sides[0], sides[1])
    if as_json:
        print(json.dumps(to_json(result), indent=1, allow_nan=False))
    else:
        print((diff_text.markdown if as_markdown else diff_text.plain)(result), end="")
    code = 1 if partial else 0
    if limit is not None:
        over = diff.exceeds(result, limit)
        code = 3 if over is None or (partial and not over) else int(over)
        words = {0: "kept", 1: "exceeded", 3: "not to be judged: calls without price or usage, or unreadable input"}[code]
        print(f"costspan: --fail-over {fail_over} on {on} {words}", file=sys.stderr)
    raise typer.Exit(code)


def to_json(found: Diff) -> dict[str, object]:
    """The comparison for programs; money as decimal strings, None where not known."""
    return {
        "before": {"label": found.before.label, "runs": found.before.runs, **_sums(found.before.totals)},
        "after": {"label": found.after.label, "runs": found.after.runs, **_sums(found.after.totals)},
        "change": {"cost_usd": _money(found.whole.cost_usd), "tokens": found.whole.tokens, "calls": found.whole.calls},
        "changes": {
            kind: [
                {
                    "name": line.name,
                    "before": None if line.before is None else _sums(line.before),
                    "after": None if line.after is None else _sums(line.after),
                    "cost_usd": _money(line.cost_usd),
                    "tokens": line.tokens,
                    "calls": line.calls,
                }
                for line in lines
            ]
            for kind, lines in found.changes.items()
        },
        "notes": list(found.partial),
    }


def _sums(totals: Totals) -> dict[str, object]:
    return {
        "calls": totals.calls,
        "input_tokens": totals.usage.input_tokens,
        "output_tokens": totals.usage.output_tokens,
        "cost_usd": _money(totals.cost_usd),
        "coverage": totals.coverage.share,
    }


def _money(amount: object) -> str | None:
    return None if amount is None else f"{amount:f}"
