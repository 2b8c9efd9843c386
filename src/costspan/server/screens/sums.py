"""Rows of the history as figures with the marks of their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costspan.report.figures import many, moment, seconds, share, tokens
from costspan.report.marks import counted, known_cost, known_tokens, priced
from costspan.report.page.naming import plain, state
from costspan.report.page.run_view import Tile
from costspan.server.asking import run_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costspan.history.rows import RunRow, Sums
    from costspan.records import Run


class RunLine(NamedTuple):
    """A run in a list. `seconds` is what its duration is sorted by."""

    id: str
    name: str
    link: str
    service: str
    started: str
    outcome: str
    state: str
    agents: str
    calls: str
    tokens: str
    cost: str
    duration: str
    seconds: float
    measured: str


class LiveLine(NamedTuple):
    """A run that is going."""

    name: str
    link: str
    cost: str
    calls: str
    tokens: str


def cost_of(sums: Sums) -> str:
    """Dollars of a sum."""
    return priced(sums.cost_usd, sums)


def tokens_of(sums: Sums) -> str:
    """Its tokens."""
    return counted(sums.total_tokens, sums)


def tiles(sums: Sums, note: str) -> tuple[Tile, ...]:
    """The figures that matter over a range of time."""
    cached = sums.cache_read_tokens / sums.input_tokens if sums.cache_read_tokens is not None and sums.input_tokens else None
    return (
        Tile("cost", cost_of(sums), note),
        Tile("tokens", tokens_of(sums), f"{tokens(sums.input_tokens)} in, {tokens(sums.output_tokens)} out"),
        Tile("model calls", tokens(sums.calls), many(sums.errors, "error")),
        Tile("measured", share(sums.share), "reported and priced"),
        Tile("read from cache", share(cached), "of input tokens"),
        Tile("unpriced", many(sums.unpriced_calls, "call"), f"{many(sums.missing_calls, 'call')} without usage"),
    )


def run_line(row: RunRow) -> RunLine:
    """One line of a list of runs."""
    return RunLine(
        plain(row.id),
        plain(row.workflow or row.id),
        run_link(row.id),
        plain(row.service) if row.service else "",
        moment(row.started_ns),
        plain(row.outcome),
        state(row.outcome),
        tokens(row.agents),
        tokens(row.sums.calls),
        tokens_of(row.sums),
        cost_of(row.sums),
        seconds(row.duration_seconds),
        round(row.duration_seconds, 6),
        share(row.sums.share),
    )


def live_lines(runs: Sequence[Run]) -> list[LiveLine]:
    """What is going on now."""
    return [
        LiveLine(
            plain(run.workflow or _unnamed(run)),
            run_link(run.id),
            known_cost(run.totals),
            many(run.totals.calls, "call"),
            f"{known_tokens(run.totals)} tokens",
        )
        for run in runs
    ]


def _unnamed(run: Run) -> str:
    """A run whose root has not been told yet, by who has worked in it so far."""
    names = ", ".join(agent.name for agent in run.agents[:3])
    return f"run of {names}" if names else "run"
