"""A `Report` as JSON, as CSV and as lines for people."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Final

from costspan.report.figures import UNKNOWN, many, share, tokens
from costspan.report.marks import is_partly_priced, known_cost, marked_tokens, side, stated_cost
from costspan.report.names import clean
from costspan.report.run_json import totals_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from costspan.intake.report_files import Report
    from costspan.records import Run, Totals

SUM_COLUMNS: Final = (
    "calls",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "cost_usd",
    "errors",
    "missing_calls",
    "priced_calls",
    "share",
)
RUN_COLUMNS: Final = ("run_id", "workflow", "started_ns", "duration_seconds", "outcome")
HEADINGS: Final = ("calls", "input", "cache read", "output", "cost", "known")
"""Figures of a printed table, after the group's keys. `known`: the share of the calls that is reported and priced."""
NOBODY: Final = "-"


def sum_cells(totals: Totals) -> list[str]:
    """One row of SUM_COLUMNS; what is not known is empty, money exact."""
    usage, coverage = totals.usage, totals.coverage
    cells: list[object] = [
        totals.calls,
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
        None if totals.cost_usd is None else f"{totals.cost_usd:f}",
        totals.errors,
        coverage.missing_calls,
        coverage.priced_calls,
        coverage.share,
    ]
    return ["" if cell is None else str(cell) for cell in cells]


def write_groups(report: Report, out: IO[str]) -> None:
    """The groups as CSV: a heading, one row a group."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow((*report.by, *SUM_COLUMNS))
    for group in report.groups:
        table.writerow([*(part or "" for part in group.key), *sum_cells(group.totals)])


def run_cells(run: Run) -> list[str]:
    """One row of RUN_COLUMNS and SUM_COLUMNS."""
    return [
        run.id,
        run.workflow or "",
        str(run.started_ns),
        str(run.duration_seconds),
        run.outcome,
        *sum_cells(run.totals),
    ]


def tail_record(report: Report) -> dict[str, object]:
    """Everything of `--json` but the runs: totals, groups when asked for, duplicates, notes, problems."""
    record: dict[str, object] = {
        "totals": totals_record(report.totals) | {"runs": report.runs, "lone_calls": totals_record(report.lone)}
    }
    if report.by:
        record["groups"] = [dict(zip(report.by, group.key, strict=True)) | totals_record(group.totals) for group in report.groups]
    record["spans"] = {"read": report.spans, "understood": report.genai_spans}
    record["duplicates"] = [
        {"kept": kept, "dropped": dropped, "spans": count} for (kept, dropped), count in sorted(report.duplicates.items())
    ]
    record["notes"] = list(report.notes)
    record["problems"] = [
        {"file": problem.file, "where": problem.where, "reason": problem.reason, "times": problem.times}
        for problem in report.problems
    ]
    record["partial"] = report.partial
    return record


def group_rows(report: Report, *, ascii_only: bool) -> Iterator[tuple[str, ...]]:
    """The groups as cells of a printed table (keys, then HEADINGS), the sum last."""
    for group in report.groups:
        names = [NOBODY if part is None else clean(part, ascii_only=ascii_only) for part in group.key]
        yield (*names, *_figures(group.totals))
    if report.by:
        yield ("total", *("" for _ in report.by[1:]), *_figures(report.totals))


def _figures(totals: Totals) -> tuple[str, ...]:
    usage, coverage = totals.usage, totals.coverage
    missing, cost = coverage.missing_calls > 0, known_cost(totals).removesuffix("+?")
    return (
        f"{totals.calls:,}",
        _partly(side(usage.input_tokens, totals), partly=missing),
        tokens(usage.cache_read_tokens),
        _partly(side(usage.output_tokens, totals), partly=missing),
        _partly(UNKNOWN if cost == "unknown" else cost, partly=is_partly_priced(totals)),
        share(coverage.share),
    )


def _partly(figure: str, *, partly: bool) -> str:
    """`+` behind a figure that leaves out calls of which it is not known."""
    return f"{figure}+" if partly and figure != UNKNOWN else figure


def overall_lines(report: Report) -> list[str]:
    """What the whole set comes to, in a few lines."""
    if not report.totals.calls and not report.totals.cache_hits:
        seen = f"{many(report.spans, 'span')}, none of a model call" if report.spans else "no spans"
        return [f"no model calls found ({seen})"] if not report.runs else [f"{many(report.runs, 'run')}, no model calls"]
    lines = [f"total of {many(report.runs, 'run')}: {sentence(report.totals)}"]
    if report.lone.calls:
        lines.append(f"of these outside any run: {sentence(report.lone)}")
    folded = sum(report.duplicates.values())
    if folded:
        lines.append(f"{many(folded, 'span')} told of a call again and were folded: {_pairs(report)}")
    return lines


def sentence(totals: Totals) -> str:
    """`7 calls, 21,036 input + 3,097 output tokens, $0.0099, 100 % reported and priced`."""
    usage, known = totals.usage, totals.coverage.share
    measured = "none of them billed" if known is None else f"{share(known)} reported and priced"
    hits = f", {many(totals.cache_hits, 'cache hit')} at no cost" if totals.cache_hits else ""
    return (
        f"{many(totals.calls, 'call')}, {marked_tokens(usage.input_tokens, totals)} input + "
        f"{marked_tokens(usage.output_tokens, totals)} output tokens, "
        f"{stated_cost(totals)}, "
        f"{measured}{hits}"
    )


def _pairs(report: Report, most: int = 3) -> str:
    pairs: Sequence[tuple[tuple[str, str], int]] = report.duplicates.most_common()
    told = [f"{clean(dropped, ascii_only=True)} under {clean(kept, ascii_only=True)}" for (kept, dropped), _ in pairs[:most]]
    return ", ".join(told) + (f" and {len(pairs) - most} more pairs" if len(pairs) > most else "")
