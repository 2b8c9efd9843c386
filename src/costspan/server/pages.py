"""The pages: HTML over the history. Every one is a document that works without scripts; the scripts add sorting, charts,
panels and following a run while it is going."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from costspan.server.following import live
from costspan.server.rendering import static_file
from costspan.server.screens.bills import models, tools
from costspan.server.screens.compare import compare
from costspan.server.screens.measurement import measurement
from costspan.server.screens.overview import overview
from costspan.server.screens.run import call, run
from costspan.server.screens.runs import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

_GZIP: Final = [Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)]


def routes() -> Sequence[BaseRoute]:
    """Every route of the pages; `/metrics`, `/health`, `/login` belong to `app.py`."""
    screens: tuple[tuple[str, Callable[[Request], Response]], ...] = (
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
    return [*(Route(path, handler, middleware=_GZIP) for path, handler in screens), Route("/live", live)]


def static(request: Request) -> Response:
    """Styles and scripts, which come with the package."""
    found = static_file(request.path_params["name"])
    if found is None:
        return PlainTextResponse("costspan: no such file\n", 404)
    kept = "max-age=31536000, immutable" if request.query_params.get("v") else "max-age=60"
    return Response(found[0], media_type=found[1], headers={"Cache-Control": kept})
