"""The pages: HTML over the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from costspan.server.context import Context


def routes(context: Context) -> Sequence[BaseRoute]:  # noqa: ARG001
    """Every route of the pages; `/metrics`, `/health`, `/login` belong to `app.py`."""
    return [Route("/", _index)]


def _index(_: Request) -> PlainTextResponse:
    return PlainTextResponse("costspan: /metrics for Prometheus, /health for the state of this server\n")
