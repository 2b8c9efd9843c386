"""Limits on runs for scripts and CI: what is over, and what cannot be told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costspan.errors import UsageError
from costspan.report.figures import dollars, many, percent, share, tokens
from costspan.report.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from costspan.records import Run, Totals

OK: Final = 0
EXCEEDED: Final = 1
UNDECIDED: Final = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; None is no limit. `cost_run` and `cost` in dollars, for each run and for everything together;
    `context_percent` is of a model's window in one call; `coverage` the least share (0..1) reported and priced."""

    cost_run: Decimal | None = None
    cost: Decimal | None = None
    tokens_run: int | None = None
    tokens: int | None = None
    calls_run: int | None = None
    context_percent: float | None = None
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit that is exceeded, or (`exceeded` None) cannot be judged; `line` says it to people."""

    limit: str
    exceeded: bool | None
    line: str


@dataclass(frozen=True, slots=True)
class Checked:
    """`code` is the exit code: 0 all kept, 1 one exceeded, 3 one cannot be judged (and none is exceeded)."""

    findings: tuple[Finding, ...]
    runs: int
    calls: int

    @property
    def code(self) -> int:
        if any(finding.exceeded for finding in self.findings):
            return EXCEEDED
        return UNDECIDED if self.findings or not self.calls else OK


def check(limits: Limits, runs: Sequence[Run], totals: Totals) -> Checked:
    """Hold runs, and the sum over everything, against the limits. Raises UsageError without any limit."""
    if limits == Limits():
        raise UsageError("give at least one limit, for example --max-cost-run 0.50")
    findings: list[Finding] = []
    if not totals.calls:
        findings.append(Finding("data", None, "no model call was found: nothing can be checked"))
        return Checked(tuple(findings), len(runs), 0)
    for run in runs:
        findings += _run(limits, run)
    findings += _cost("--max-cost", limits.cost, totals, "everything together")
    findings += _tokens("--max-tokens", limits.tokens, totals, "everything together")
    least, known = limits.coverage, totals.coverage.share
    if least is not None and known is not None and known < least:
        line = f"{share(known)} of the calls are reported and priced, at least {share(least)} must be"
        findings.append(Finding("--min-coverage", True, line))
    return Checked(tuple(findings), len(runs), totals.calls)


def _run(limits: Limits, run: Run) -> Iterable[Finding]:
    who = f"run {clean(run.workflow or run.id, ascii_only=True)}"
    yield from _cost("--max-cost-run", limits.cost_run, run.totals, who)
    yield from _tokens("--max-tokens-run", limits.tokens_run, run.totals, who)
    if limits.calls_run is not None and run.totals.calls > limits.calls_run:
        yield Finding("--max-calls-run", True, f"{who} made {many(run.totals.calls, 'call')}, the limit is {limits.calls_run:,}")
    yield from _context(limits.context_percent, run, who)


def _cost(name: str, limit: Decimal | None, totals: Totals, who: str) -> Iterable[Finding]:
    if limit is None:
        return
    coverage = totals.coverage
    gaps = coverage.calls - coverage.refused_calls - coverage.priced_calls
    if totals.cost_usd is not None and totals.cost_usd > limit:
        yield Finding(name, True, f"{who} cost {dollars(totals.cost_usd)}, the limit is {dollars(limit)}")
    elif gaps > 0:
        known = "nothing known" if totals.cost_usd is None else f"{dollars(totals.cost_usd)} known"
        yield Finding(name, None, f"{who} has {many(gaps, 'call')} without a price ({known}): the limit cannot be judged")


def _tokens(name: str, limit: int | None, totals: Totals, who: str) -> Iterable[Finding]:
    if limit is None:
        return
    known, gaps = totals.usage.total_tokens, totals.coverage.missing_calls
    if known is not None and known > limit:
        yield Finding(name, True, f"{who} used {tokens(known)} tokens, the limit is {tokens(limit)}")
    elif gaps:
        yield Finding(name, None, f"{who} has {many(gaps, 'call')} without usage: the limit cannot be judged")


def _context(limit: float | None, run: Run, who: str) -> Iterable[Finding]:
    if limit is None:
        return
    peak = run.efficiency.context_window_peak_percent
    if peak is not None and peak > limit:
        yield Finding("--max-context", True, f"{who} filled {percent(peak)} of a model's window, the limit is {percent(limit)}")
    elif peak is None and run.totals.calls:
        yield Finding("--max-context", None, f"{who} tells no context window: the limit cannot be judged")
