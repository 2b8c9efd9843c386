"""One run, from the history or from what has come of it so far, and one call of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from costspan.history import run_queries
from costspan.history.rows import RunFilter
from costspan.report.page.call_view import CallView, call_view
from costspan.report.page.naming import plain
from costspan.report.page.place import LISTS, Place
from costspan.report.page.run_view import RunView, run_view
from costspan.server.asking import call_link, context_of, find_run, number, path_of, run_link
from costspan.server.rendering import Screen, is_partial, missing, piece, show

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from costspan.records import Run
    from costspan.server.context import Context


class Shown(NamedTuple):
    """A run on its page. `before` is where it is compared with the run of the same workflow before it, "" without one."""

    run: RunView
    before: str


class ShownCall(NamedTuple):
    """A call, and the addresses of its run and its neighbours ("" without)."""

    call: CallView
    run: str
    previous: str
    next: str


def run(request: Request) -> Response:
    """The detail of a run."""
    name = request.query_params.get("id", "last")
    context = context_of(request)
    found, running = find_run(context, name)
    if found is None:
        return missing(f"There is no run {plain(name)!r} here, or retention has removed its record")
    starts = {each: number(request, each, 0) for each in LISTS}
    place = Place(
        "", lambda index: call_link(found.id, index), lambda which, start: _turn(found.id, starts, which, start), starts
    )
    screen = Screen(plain(found.workflow or "run"), "/runs", path_of(request), live=running, charts=True)
    return show("run_page.html", screen, Shown(run_view(found, place, running=running), _before(context, found)))


def call(request: Request) -> Response:
    """One call: a page, or what the panel shows."""
    found, _ = find_run(context_of(request), request.query_params.get("run", "last"))
    index = number(request, "n", 0) - 1
    if found is None or not 0 <= index < len(found.calls):
        return missing("There is no such call")
    view = ShownCall(
        call_view(found.calls[index], index),
        run_link(found.id),
        call_link(found.id, index - 1) if index else "",
        call_link(found.id, index + 1) if index + 1 < len(found.calls) else "",
    )
    if is_partial(request):
        return piece("call_panel.html", view)
    return show("call_page.html", Screen(f"Call {index + 1}", "/runs"), view)


def _turn(name: str, starts: dict[str, int], which: str, start: int) -> str:
    """The address of the same page with another part of one list."""
    query = {each: str(value) for each, value in {**starts, which: start}.items() if value}
    section = {"lines": "timeline"}.get(which, which)
    return f"{run_link(name, **query)}#{section}"


def _before(context: Context, found: Run) -> str:
    if found.workflow is None:
        return ""
    with context.database.reading() as db:
        earlier = run_queries.runs(db, RunFilter(until_ns=found.started_ns, workflow=found.workflow), limit=1)
    return f"/compare?{urlencode({'a': earlier[0].id, 'b': found.id})}" if earlier and earlier[0].id != found.id else ""
