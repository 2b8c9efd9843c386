"""What a request asks for, read leniently: an odd value is the default, never an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from costspan.errors import UsageError
from costspan.history import run_queries
from costspan.report.figures import many

if TYPE_CHECKING:
    from starlette.requests import Request

    from costspan.records import Run
    from costspan.server.context import Context

DAYS: Final = 30
_TRACE: Final = 32
_PERIODS: Final = (1, 7, 30, 90, 365)


class Period(NamedTuple):
    """The last `days` UTC days, today included. `choices` are (address, words, whether it is this one)."""

    days: int
    since_ns: int
    names: tuple[str, ...]
    choices: tuple[tuple[str, str, bool], ...]


def context_of(request: Request) -> Context:
    """What the parts of the server share."""
    found: Context = request.app.state.context
    return found


def path_of(request: Request) -> str:
    """The address of this screen with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def number(request: Request, name: str, default: int, *, low: int = 0, high: int = 10**9) -> int:
    """A whole number of the query, kept within its limits."""
    given = request.query_params.get(name, "")
    return min(high, max(low, int(given))) if given.isascii() and given.isdecimal() and len(given) < 11 else default


def period(request: Request, **keep: str) -> Period:
    """The range of time that is asked for; `keep` goes on in the addresses of other ranges."""
    days = number(request, "days", DAYS, low=1, high=3660)
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    names = tuple(f"{first + timedelta(days=place):%Y-%m-%d}" for place in range(days))
    choices = tuple(
        (f"{request.url.path}?{urlencode({'days': each, **keep})}", "today" if each == 1 else many(each, "day"), each == days)
        for each in _PERIODS
    )
    return Period(days, int(first.timestamp()) * 10**9, names, choices)


def find_run(context: Context, name: str) -> tuple[Run | None, bool]:
    """The run of this id, and whether it is still going.

    An id is the trace's and the outermost span's, and as long as a run is going spans further out may come: then the trace
    alone finds it.
    """
    stored = _stored(context, name)
    if stored is not None:
        return stored, False
    going = context.live_runs()
    trace_id = name[:_TRACE] if len(name) > _TRACE and name[_TRACE] == "-" else name
    found = next((one for one in going if one.id == name), None)
    found = found or next((one for one in going if trace_id in one.trace_ids), None)
    if found is not None or trace_id == name:
        return found, True
    return _stored(context, trace_id), False


def _stored(context: Context, name: str) -> Run | None:
    with context.database.reading() as db:
        try:
            row = run_queries.find_run(db, name)
        except UsageError:
            return None
        return run_queries.load_run(db, row) if row is not None else None


def run_link(name: str, **more: str) -> str:
    """Where a run is shown."""
    return "/run?" + urlencode({"id": name, **more})


def call_link(name: str, index: int) -> str:
    """Where a call is shown; calls are numbered from 1."""
    return "/call?" + urlencode({"run": name, "n": index + 1})
