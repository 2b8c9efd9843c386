"""Following: server-sent events that say when the history or a run that is going has changed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from costspan.history import queries
from costspan.server.asking import context_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

FOLLOWERS_MAX: Final = 64
FOLLOW_SECONDS: Final = 300.0
TICK_SECONDS: Final = 1.0
EVENT: Final = "costspan-changed"


async def live(request: Request) -> Response:
    """One event whenever something has changed. The page then asks for itself again."""
    state = request.app.state
    if getattr(state, "followers", 0) >= FOLLOWERS_MAX:
        return PlainTextResponse("costspan: too many pages follow already\n", 503)
    return StreamingResponse(_changes(request), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _changes(request: Request) -> AsyncIterator[str]:
    context, state = context_of(request), request.app.state
    state.followers = getattr(state, "followers", 0) + 1
    ends = time.monotonic() + FOLLOW_SECONDS
    try:
        # The mark of a change is a connection's own, so one is kept for as long as somebody follows.
        with context.database.reading() as db:
            before: object = None
            yield ": following\n\n"
            while time.monotonic() < ends and not await request.is_disconnected():
                going = await asyncio.to_thread(context.live_runs)
                now = (queries.changed(db), tuple((one.id, one.totals.calls, len(one.steps)) for one in going))
                # What is going may have begun between the page's own reading and this one: that is news too.
                if now != before and (before is not None or going):
                    yield f"event: {EVENT}\ndata: {len(going)}\n\n"
                before = now
                await asyncio.sleep(TICK_SECONDS)
    finally:
        state.followers -= 1
