"""Measurement: how far the figures can be trusted, what they lack, and the state of this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from costspan.history import queries, run_queries
from costspan.report.figures import many, moment, seconds, tokens
from costspan.report.page.naming import DASH, maybe, plain
from costspan.server.asking import Period, context_of, path_of, period
from costspan.server.rendering import Screen, show
from costspan.server.screens.sums import tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from costspan.history.rows import Gap
    from costspan.report.page.run_view import Tile


class GapLine(NamedTuple):
    """Calls that lack the same thing for the same reason."""

    lacks: str
    model: str
    provider: str
    agent: str
    reason: str
    calls: str
    last: str


class Fact(NamedTuple):
    """A fact about the server."""

    name: str
    value: str


class Measurement(NamedTuple):
    """`trouble` is what the server cannot do now, "" when all is well. `groups` are (title, facts)."""

    period: Period
    tiles: Sequence[Tile]
    gaps: Sequence[GapLine]
    trouble: str
    groups: Sequence[tuple[str, Sequence[Fact]]]


def measurement(request: Request) -> Response:
    """The state of the measuring itself."""
    asked = period(request)
    context = context_of(request)
    with context.database.reading() as db:
        total = queries.total(db, since_ns=asked.since_ns)
        found = run_queries.gaps(db, since_ns=asked.since_ns)
    health = context.health()
    trouble = health.get("trouble")
    view = Measurement(
        asked,
        tiles(total, "today" if asked.days == 1 else f"in {many(asked.days, 'day')}"),
        [_gap(gap) for gap in found],
        plain(str(trouble)) if trouble else "",
        list(groups(health)),
    )
    return show("measurement.html", Screen("Measurement", "/measurement", path_of(request), live=True), view)


def groups(health: Mapping[str, object]) -> Iterator[tuple[str, Sequence[Fact]]]:
    """The facts by the part they are about; those of the server itself come first."""
    own = [
        _fact(name, value) for name, value in health.items() if not isinstance(value, Mapping) and name not in ("ok", "trouble")
    ]
    if own:
        yield "Server", own
    for name, value in health.items():
        if isinstance(value, Mapping) and value:
            yield _words(name).capitalize(), [_fact(str(key), each) for key, each in value.items()]


def _fact(name: str, value: object) -> Fact:
    if name.endswith("_seconds") and isinstance(value, int | float):
        return Fact(_words(name.removesuffix("_seconds")), seconds(value))
    if isinstance(value, bool) or value is None:
        shown = DASH if value is None else "yes" if value else "no"
    elif isinstance(value, int) and name != "pid":
        shown = tokens(value)
    else:
        shown = plain(str(value))
    return Fact(_words(name), shown)


def _words(name: str) -> str:
    return plain(name.replace("_", " "))


def _gap(gap: Gap) -> GapLine:
    return GapLine(
        "price" if gap.unpriced else "usage",
        maybe(gap.model),
        maybe(gap.provider),
        maybe(gap.agent),
        maybe(gap.reason).replace("_", " "),
        tokens(gap.calls),
        moment(gap.last_ns),
    )
