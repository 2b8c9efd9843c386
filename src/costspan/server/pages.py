"""The pages: HTML over the history. Every one is a document that works without scripts; the scripts add sorting, panels
and following a run while it is going."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from costspan.errors import UsageError
from costspan.history import queries, run_queries
from costspan.history.rows import RunFilter
from costspan.report import diff
from costspan.report.figures import many
from costspan.report.html import asset
from costspan.report.markup import text
from costspan.report.page_call import details
from costspan.report.page_run import Place, run_detail
from costspan.server import screens

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from costspan.records import Run
    from costspan.server.context import Context

DAYS: Final = 30
RUNS_SHOWN: Final = 50
FOLLOWERS_MAX: Final = 64
FOLLOW_SECONDS: Final = 300.0
TICK_SECONDS: Final = 1.0
_STATIC: Final = {"page.css": "text/css", "page.js": "text/javascript", "live.js": "text/javascript"}
_GZIP: Final = [Middleware(GZipMiddleware, minimum_size=1024)]


def routes(context: Context) -> Sequence[BaseRoute]:  # noqa: ARG001
    """Every route of the pages; `/metrics`, `/health`, `/login` belong to `app.py`."""
    screens_of: tuple[tuple[str, Callable[[Request], Response]], ...] = (
        ("/", overview),
        ("/runs", runs),
        ("/run", run),
        ("/call", call),
        ("/tools", tools),
        ("/models", models),
        ("/compare", compare),
        ("/measurement", measurement),
        ("/static/{name}", static),
    )
    return [*(Route(path, handler, middleware=_GZIP) for path, handler in screens_of), Route("/live", live)]


def _context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


def _page(title: str, here: str, body: str, *, live: bool = False, status: int = 200) -> HTMLResponse:
    return HTMLResponse(screens.layout(title, here, body, live=live), status, {"Cache-Control": "no-store"})


def _missing(what: str) -> HTMLResponse:
    body = f'<h1>Not found</h1><p>{text(what)}. <a href="/runs">All runs</a></p>'
    return _page("not found", "", body, status=404)


def _days(request: Request) -> int:
    given = request.query_params.get("days", "")
    return min(3660, max(1, int(given))) if given.isdecimal() and len(given) < 6 else DAYS


def _since(days: int) -> tuple[int, list[str]]:
    """The first nanosecond of the range, and the UTC days in it."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=days - 1)
    return int(first.timestamp()) * 10**9, [f"{first + timedelta(days=place):%Y-%m-%d}" for place in range(days)]


# --- screens -----------------------------------------------------------------------------------------
def overview(request: Request) -> Response:
    """Spend by day, model and agent, how much of it is measured, and what runs now."""
    days = _days(request)
    since, names = _since(days)
    context = _context(request)
    with context.database.reading() as db:
        total = queries.total(db, since_ns=since)
        daily = queries.by(db, ("day",), since_ns=since)
        groups = [
            (title, queries.by(db, (key,), since_ns=since))
            for title, key in (("By model", "model"), ("By agent", "agent"), ("By workflow", "workflow"))
        ]
        latest = run_queries.runs(db, limit=8)
    spent = "".join(screens.spend(title, found) for title, found in groups if found)
    body = (
        f"<h1>Overview</h1>{screens.periods('/', days)}{screens.live_runs(context.live_runs())}"
        f"<section>{screens.tiles(total, days)}</section>"
        f"<section><h2>Spend by day</h2>{screens.by_day(daily, names)}</section>"
        '<section><h2>Where the cost went</h2><div class="grid">'
        f"{spent or 'No calls yet: point an OTLP exporter at this server.'}</div></section>"
        f"<section><h2>Latest runs</h2>{screens.run_table(latest, 'started', True, {})}</section>"
    )
    return _page("Overview", "/", body, live=True)


def runs(request: Request) -> Response:
    """Filter, sort, search."""
    query = {
        name: value
        for name in ("q", "workflow", "service", "agent", "model", "outcome")
        if (value := request.query_params.get(name))
    }
    sort, descending = request.query_params.get("sort", "started"), request.query_params.get("way") != "up"
    if sort not in run_queries.SORTS:
        sort = "started"
    start = request.query_params.get("start", "0")
    offset = int(start) if start.isdecimal() and len(start) < 10 else 0
    where = RunFilter(**{"text" if name == "q" else name: value for name, value in query.items()})  # type: ignore[arg-type]
    context = _context(request)
    with context.database.reading() as db:
        found = run_queries.runs(db, where, sort=sort, descending=descending, limit=RUNS_SHOWN, offset=offset)
        count = run_queries.count_runs(db, where)
        form = _filter_form(db, query)
    order = {"sort": sort, "way": "down" if descending else "up"}
    body = (
        f"<h1>Runs</h1>{screens.live_runs(context.live_runs())}<section>{form}<p class=quiet>{many(count, 'run')}</p>"
        f"{screens.run_table(found, sort, descending, query)}{_pager({**query, **order}, offset, count)}</section>"
    )
    return _page("Runs", "/runs", body, live=True)


def _filter_form(db: sqlite3.Connection, query: dict[str, str]) -> str:
    parts = [f'<label>Search <input type="search" name="q" value="{text(query["q"]) if "q" in query else ""}"></label>']
    for name in ("workflow", "agent", "model", "service"):
        choices = screens.options(queries.names(db, name)[:500], query.get(name), "any")
        parts.append(f'<label>{name} <select name="{name}">{choices}</select></label>')
    choices = screens.options(("ok", "error", "cancelled"), query.get("outcome"), "any")
    parts.append(f'<label>outcome <select name="outcome">{choices}</select></label><button class="button">Filter</button>')
    return f'<form class="filter" role="search" action="/runs" method="get">{"".join(parts)}</form>'


def _pager(query: dict[str, str], offset: int, count: int) -> str:
    from html import escape
    from urllib.parse import urlencode

    links = []
    for label, place in (("Newer or first", offset - RUNS_SHOWN), ("Next", offset + RUNS_SHOWN)):
        if 0 <= place < count:
            links.append(f'<a href="{escape("/runs?" + urlencode({**query, "start": place}))}">{label}</a>')
    return f'<nav aria-label="Pages">{" ".join(links)}</nav>' if links else ""


def run(request: Request) -> Response:
    """One run: from the history, or from what has come of it so far."""
    name = request.query_params.get("id", "last")
    found, running = _find(_context(request), name)
    if found is None:
        return _missing(f"There is no run {name!r} here, or retention has removed its record")
    place = Place("", lambda index: screens.call_link(found.id, index))
    return _page(found.workflow or "run", "/runs", run_detail(found, place, running=running), live=running)


def call(request: Request) -> Response:
    """One call of a run: a page, or what a panel shows."""
    name, given = request.query_params.get("run", "last"), request.query_params.get("n", "")
    found, _ = _find(_context(request), name)
    place = int(given) - 1 if given.isdecimal() and len(given) < 8 else -1
    if found is None or not 0 <= place < len(found.calls):
        return _missing("There is no such call")
    body = details(found.calls[place], place)
    if request.headers.get("x-partial"):
        return HTMLResponse(body, headers={"Cache-Control": "no-store"})
    return _page(
        f"call {place + 1}",
        "/runs",
        f'<p><a href="{screens.run_link(found.id)}">Back to the run</a></p><section>{body}</section>',
    )


def _find(context: Context, name: str) -> tuple[Run | None, bool]:
    """The run, and whether it is still going."""
    with context.database.reading() as db:
        try:
            row = run_queries.find_run(db, name)
        except UsageError:
            return None, False
        stored = run_queries.load_run(db, row) if row is not None else None
    if stored is not None:
        return stored, False
    return next((one for one in context.live_runs() if one.id == name), None), True


def tools(request: Request) -> Response:
    """The tool bill over many runs."""
    days = _days(request)
    with _context(request).database.reading() as db:
        found = queries.tools(db, since_ns=_since(days)[0])
    return _page("Tools", "/tools", f"<h1>Tools</h1>{screens.periods('/tools', days)}<section>{screens.tools(found)}</section>")


def models(request: Request) -> Response:
    """Every model, its figures and the price rows they were priced by."""
    days = _days(request)
    with _context(request).database.reading() as db:
        found = queries.models(db, since_ns=_since(days)[0])
    body = f"<h1>Models and prices</h1>{screens.periods('/models', days)}<section>{screens.models(found)}</section>"
    return _page("Models and prices", "/models", body)


def compare(request: Request) -> Response:
    """Two runs side by side."""
    context = _context(request)
    names = [request.query_params.get(side, "") for side in ("a", "b")]
    with context.database.reading() as db:
        latest = run_queries.runs(db, limit=RUNS_SHOWN)
    labels = {row.id: f"{row.workflow or 'run'} {screens.cost_of(row.sums)} {row.id[:12]}" for row in latest}
    selects = []
    for side, chosen in zip(("a", "b"), names, strict=True):
        choices = "".join(
            f'<option value="{text(name)}"{" selected" if name == chosen else ""}>{text(label)}</option>'
            for name, label in labels.items()
        )
        label = f'<label for="of-{side}">{side.upper()}</label>'
        selects.append(f'<div>{label} <select id="of-{side}" name="{side}">{choices}</select></div>')
    form = f'<form class="filter" action="/compare" method="get">{"".join(selects)}<button class="button">Compare</button></form>'
    body = f"<h1>Compare two runs</h1><section>{form}</section>"
    if all(names):
        found = [_find(context, name)[0] for name in names]
        if found[0] is None or found[1] is None:
            return _missing("One of the two runs is not here")
        sides = [diff.side(label, [one]) for label, one in zip("AB", found, strict=True) if one is not None]
        body += screens.comparison(diff.diff(sides[0], sides[1]))
    return _page("Compare", "/compare", body)


def measurement(request: Request) -> Response:
    """How far the figures can be trusted: what is missing, and the state of this server."""
    days = _days(request)
    since, _ = _since(days)
    context = _context(request)
    with context.database.reading() as db:
        total = queries.total(db, since_ns=since)
        gaps = run_queries.gaps(db, since_ns=since)
    body = (
        f"<h1>Measurement</h1>{screens.periods('/measurement', days)}<section>{screens.tiles(total, days)}</section>"
        f"<section><h2>What is missing</h2>{screens.gaps(gaps)}</section>"
        f"<section><h2>This server</h2><dl>{screens.facts(context.health())}</dl></section>"
    )
    return _page("Measurement", "/measurement", body)


def static(request: Request) -> Response:
    """The style and the scripts, which come with the package."""
    name = request.path_params["name"]
    if name not in _STATIC:
        return PlainTextResponse("costspan: no such file\n", 404)
    source = asset(name) if name != "live.js" else _live_script()
    return Response(source, media_type=_STATIC[name], headers={"Cache-Control": "max-age=60"})


def _live_script() -> str:
    from importlib.resources import files

    return files("costspan.server").joinpath("live.js").read_text(encoding="utf-8")


# --- following -----------------------------------------------------------------------------------------
async def live(request: Request) -> Response:
    """Server-sent events: one line whenever the history or a run that is going has changed."""
    state = request.app.state
    if getattr(state, "followers", 0) >= FOLLOWERS_MAX:
        return PlainTextResponse("costspan: too many pages follow already\n", 503)
    return StreamingResponse(_changes(request), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _changes(request: Request) -> AsyncIterator[str]:
    context, state = _context(request), request.app.state
    state.followers = getattr(state, "followers", 0) + 1
    ends = time.monotonic() + FOLLOW_SECONDS
    try:
        # The mark of a change is a connection's own, so one is kept for as long as somebody follows.
        with context.database.reading() as db:
            before: object = None
            yield "retry: 2000\n\n"
            while time.monotonic() < ends and not await request.is_disconnected():
                going = await asyncio.to_thread(context.live_runs)
                now = (queries.changed(db), tuple((one.id, one.totals.calls, len(one.steps)) for one in going))
                if before is not None and now != before:
                    yield f"data: {json.dumps({'running': len(going)})}\n\n"
                before = now
                await asyncio.sleep(TICK_SECONDS)
    finally:
        state.followers -= 1
