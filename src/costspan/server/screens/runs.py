"""Runs: filter, sort, search, and choose two to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from costspan.history import queries, run_queries
from costspan.history.rows import RunFilter
from costspan.report.figures import many
from costspan.report.page.naming import plain
from costspan.report.page.place import Pager
from costspan.server.asking import context_of, number
from costspan.server.rendering import Screen, show
from costspan.server.screens.sums import LiveLine, RunLine, live_lines, run_line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

SHOWN: Final = 50
FILTERS: Final = ("workflow", "agent", "model", "service", "outcome")
_LONE: Final = "lone"
"""In an address: the calls that belong to no run instead."""
_OUTCOMES: Final = ("ok", "error", "cancelled")
_CHOICES_MAX: Final = 500
_COLUMNS: Final = (
    ("workflow", "run"), ("started", "started"), (None, "outcome"), (None, "agents"), ("calls", "calls"), ("tokens", "tokens"),
    ("cost", "cost"), ("duration", "duration"), (None, "measured"),
)  # fmt: skip
_FIGURES: Final = ("agents", "calls", "tokens", "cost", "duration", "measured")


class Head(NamedTuple):
    """A heading. `link` sorts by it, "" where it does not sort; `sort` is ascending, descending or ""."""

    label: str
    shape: str
    link: str
    sort: str


class Choice(NamedTuple):
    """A select: what it is called, and (value, words, whether it is chosen) of its options."""

    name: str
    options: Sequence[tuple[str, str, bool]]


class Runs(NamedTuple):
    """`path` is the address of this very list. `outside` tells of calls that belong to no run, and leads to them or back."""

    live: Sequence[LiveLine]
    search: str
    choices: Sequence[Choice]
    found: str
    heads: Sequence[Head]
    rows: Sequence[RunLine]
    pager: Pager | None
    path: str
    outside: str
    outside_link: str


class Order(NamedTuple):
    """What the list is sorted by."""

    key: str
    descending: bool

    def query(self) -> dict[str, str]:
        """As it stands in an address."""
        return {"sort": self.key, "way": "down" if self.descending else "up"}


def runs(request: Request) -> Response:
    """The list of runs."""
    query = {name: value for name in ("q", *FILTERS) if (value := request.query_params.get(name))}
    sort = request.query_params.get("sort", "started")
    order = Order(sort if sort in run_queries.SORTS else "started", request.query_params.get("way") != "up")
    start = number(request, "start", 0)
    told: dict[str, Any] = {"text" if name == "q" else name: value for name, value in query.items()}
    lone = bool(request.query_params.get(_LONE))
    where = RunFilter(**told, lone=lone)
    if lone:
        query[_LONE] = "1"
    context = context_of(request)
    with context.database.reading() as db:
        found = run_queries.runs(db, where, sort=order.key, descending=order.descending, limit=SHOWN, offset=start)
        count = run_queries.count_runs(db, where)
        choices = _choices(db, query)
        outside = run_queries.count_outside(db)
    path = _path(query, order, start)
    view = Runs(
        live_lines(context.live_runs()),
        query.get("q", ""),
        choices,
        f"{many(count, 'trace')} with calls outside of any run" if lone else many(count, "run"),
        _heads(query, order),
        [run_line(row) for row in found],
        _pager(query, order, start, count),
        path,
        *_outside(outside, lone=lone),
    )
    return show("runs.html", Screen("Runs", "/runs", path), view)


def _outside(count: int, *, lone: bool) -> tuple[str, str]:
    if lone:
        return "all runs", "/runs"
    return (f"{many(count, 'call')} outside of any run", f"/runs?{_LONE}=1") if count else ("", "")


def _choices(db: sqlite3.Connection, query: Mapping[str, str]) -> list[Choice]:
    found = []
    for name in FILTERS:
        values = _OUTCOMES if name == "outcome" else queries.names(db, name)[:_CHOICES_MAX]
        chosen = query.get(name)
        if chosen and chosen not in values:
            values = [*values, chosen]
        found.append(
            Choice(name, [("", "any", not chosen), *((value, plain(value), value == chosen) for value in values if value)])
        )
    return found


def _heads(query: Mapping[str, str], order: Order) -> list[Head]:
    heads = []
    for key, label in _COLUMNS:
        here = key == order.key
        link = "" if key is None else _path(query, Order(key, not (here and order.descending)), 0)
        way = ("descending" if order.descending else "ascending") if here else ""
        heads.append(Head(label, "n" if label in _FIGURES else "", link, way))
    return heads


def _pager(query: Mapping[str, str], order: Order, start: int, count: int) -> Pager | None:
    if count <= SHOWN and not start:
        return None
    before = _path(query, order, max(0, start - SHOWN)) if start else ""
    after = _path(query, order, start + SHOWN) if start + SHOWN < count else ""
    return Pager("runs", min(start + 1, count), min(start + SHOWN, count), count, before, after)


def _path(query: Mapping[str, str], order: Order, start: int) -> str:
    return "/runs?" + urlencode({**query, **order.query(), **({"start": start} if start else {})})
