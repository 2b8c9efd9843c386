"""Overview: spend by day, who spent it, budgets, how much is measured, and what runs now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from costspan.history import queries, run_queries
from costspan.history.rows import RunFilter
from costspan.report.figures import many
from costspan.report.page.naming import plain
from costspan.report.page.shares import COLOURS, NOBODYS, Breakdown, Part, breakdown
from costspan.server.asking import Period, context_of, path_of, period
from costspan.server.rendering import Screen, show
from costspan.server.screens.budgets import Budgets, budgets
from costspan.server.screens.spend import Spend, spend
from costspan.server.screens.sums import LiveLine, RunLine, live_lines, run_line, tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from costspan.history.rows import Group
    from costspan.report.page.run_view import Tile

BY: Final = ("model", "agent", "workflow")
"""What the spend of a day is stacked by."""
LISTED: Final = 8


class Overview(NamedTuple):
    """`by` are (address, word, whether it is this one)."""

    period: Period
    live: Sequence[LiveLine]
    tiles: Sequence[Tile]
    by: Sequence[tuple[str, str, bool]]
    spend: Spend | None
    shares: Sequence[Breakdown]
    budgets: Budgets | None
    dearest: Sequence[RunLine]
    latest: Sequence[RunLine]


def overview(request: Request) -> Response:
    """The first screen."""
    chosen = request.query_params.get("by", "")
    by = chosen if chosen in BY else BY[0]
    asked = period(request, by=by)
    context = context_of(request)
    with context.database.reading() as db:
        total = queries.total(db, since_ns=asked.since_ns)
        groups = {key: queries.by(db, (key,), since_ns=asked.since_ns) for key in BY}
        daily = queries.by(db, ("day", by), since_ns=asked.since_ns)
        latest = run_queries.runs(db, limit=LISTED)
        dearest = run_queries.runs(db, RunFilter(since_ns=asked.since_ns), sort="cost", limit=LISTED)
        limits = budgets(db, context.options.budgets)
    view = Overview(
        asked,
        live_lines(context.live_runs()),
        tiles(total, "today" if asked.days == 1 else f"in {many(asked.days, 'day')}"),
        [(f"/?{urlencode({'days': asked.days, 'by': each})}#spend", each, each == by) for each in BY],
        spend(daily, asked.names, f"no {by}"),
        shares(groups),
        limits,
        [run_line(row) for row in dearest],
        [run_line(row) for row in latest],
    )
    return show("overview.html", Screen("Overview", "/", path_of(request), live=True, charts=True), view)


def shares(groups: Mapping[str, Sequence[Group]], most: int = 7) -> list[Breakdown]:
    """Who spent it, by each of the keys; the colours are those of the chart."""
    found = []
    for key, own in groups.items():
        if own:
            parts = [
                Part(
                    plain(group.key[0]) if group.key[0] else f"no {key}",
                    group.sums.cost_usd,
                    f"k{place % COLOURS}" if group.key[0] and place < most else NOBODYS,
                    f"/runs?{urlencode({key: group.key[0]})}" if group.key[0] else "",
                )
                for place, group in enumerate(own)
            ]
            found.append(breakdown(f"By {key}", parts, most=most))
    return found
