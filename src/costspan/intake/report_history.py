"""The history as a `Report`: the same groups and totals that trace files give, over what was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.errors import UsageError
from costspan.history import queries, run_queries
from costspan.history.rows import RunFilter
from costspan.intake.report_files import Group, Report
from costspan.records import ESTIMATED, MISSING, NO_USAGE, REPORTED, ZERO, Coverage, Totals, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from costspan.history.database import Database
    from costspan.history.rows import Group as HistoryGroup
    from costspan.history.rows import Sums

_PRICE: Final = ("price_source", "price_ref")
BY: Final = ("agent", "model", "tool", "day", "hour", "workflow", "provider", "service", "environment")


def report_history(
    database: Database, *, by: Sequence[str] = (), since_ns: int | None = None, until_ns: int | None = None
) -> Report:
    """Groups and totals of a range. Raises UsageError for an unknown group."""
    unknown = [name for name in by if name not in BY]
    if unknown:
        message = f"--by knows {', '.join(BY)} for the history; not {unknown[0]!r}"
        raise UsageError(message)
    where = RunFilter(since_ns=since_ns, until_ns=until_ns)
    with database.reading() as db:
        groups = queries.by(db, by, since_ns=since_ns, until_ns=until_ns) if by else []
        priced = _priced(queries.by(db, (*by, *_PRICE), since_ns=since_ns, until_ns=until_ns))
        total = queries.total(db, since_ns=since_ns, until_ns=until_ns)
        runs = run_queries.count_runs(db, where)
    return Report(
        runs=runs,
        totals=totals_of(total, [one for found in priced.values() for one in found]),
        by=tuple(by),
        groups=tuple(Group(group.key, totals_of(group.sums, priced.get(group.key, ()))) for group in groups),
    )


def _priced(groups: Sequence[HistoryGroup]) -> dict[tuple[str | None, ...], list[HistoryGroup]]:
    """The parts of each group that were priced alike."""
    found: dict[tuple[str | None, ...], list[HistoryGroup]] = {}
    for group in groups:
        found.setdefault(group.key[: -len(_PRICE)], []).append(group)
    return found


def totals_of(sums: Sums, priced: Sequence[HistoryGroup] = ()) -> Totals:
    """Figures of the history in the shape of a sum of calls. `priced`: its parts by price source and price row.

    How the dollars divide by the kind of token is kept with each run, not with sums.
    """
    if not sums.calls:
        return Totals(cache_hits=sums.cache_hits)
    known = sums.total_tokens is not None
    source = ESTIMATED if sums.estimated_calls else REPORTED if sums.reported_calls else MISSING
    return Totals(
        calls=sums.calls,
        usage=Usage(
            sums.input_tokens,
            sums.output_tokens,
            sums.cache_read_tokens,
            sums.cache_write_tokens,
            reasoning_tokens=sums.reasoning_tokens,
            source=source,
        )
        if known
        else NO_USAGE,
        cost_usd=sums.cost_usd,
        cost_by_source=_by_source(priced),
        price_refs=tuple(sorted({ref for group in priced if (ref := group.key[-1])})),
        coverage=Coverage(
            calls=sums.calls,
            reported_calls=sums.reported_calls,
            estimated_calls=sums.estimated_calls,
            missing_calls=sums.missing_calls,
            refused_calls=sums.refused_calls,
            priced_calls=sums.priced_calls,
            share=sums.share,
        ),
        errors=sums.errors,
        cache_hits=sums.cache_hits,
        duration_seconds=sums.duration_ns / 1e9,
    )


def _by_source(priced: Sequence[HistoryGroup]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for group in priced:
        source, cost = group.key[-2], group.sums.cost_usd
        if source is not None and cost is not None:
            found[source] = found.get(source, ZERO) + cost
    return found
