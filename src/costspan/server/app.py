"""The page server: the pages, `/metrics`, `/health` and the log-in, behind the gate."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from costspan.server import pages
from costspan.server.rendering import missing, piece
from costspan.server.security import COOKIE, LOGIN_PATH, Gate, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from costspan.server.context import Context

FORM_BYTES_MAX: Final = 64 << 10


def create_app(context: Context) -> Starlette:
    """The application that serves people and Prometheus. Pages find `context` in `request.app.state.context`."""
    token = context.options.token
    app = Starlette(
        routes=[
            Route("/healthz", _alive),
            Route("/health", _health),
            Route("/metrics", _metrics(context)),
            Route(LOGIN_PATH, _login, methods=["GET", "POST"]),
            *pages.routes(),
        ],
        middleware=[Middleware(Gate, token=token, hosts=(context.options.host,), page=True)],
        exception_handlers={404: _nowhere},
    )
    app.state.context = context
    return app


def _nowhere(request: Request, _: Exception) -> Response:
    """No such address: a page for people, a line for programs (an exporter that has the wrong port logs it)."""
    if "text/html" in request.headers.get("accept", ""):
        return missing("There is no page at this address")
    return PlainTextResponse(
        "costspan: nothing at this address; pages start at /, OTLP has a port of its own (4318, 4317)\n", 404
    )


def _alive(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _health(request: Request) -> Response:
    """What this server has taken, refused, holds and cannot do. Status 503 while it cannot write."""
    health = request.app.state.context.health()
    return JSONResponse(health, 200 if health.get("ok", True) else 503, {"Cache-Control": "no-store"})


def _metrics(context: Context) -> Callable[[Request], Response]:
    """The same metrics as a process of its own serves, over everything that came in and was not metered already."""

    def metrics(request: Request) -> Response:
        from prometheus_client.exposition import choose_encoder

        if context.meters is None:
            return PlainTextResponse("costspan: no receiver runs here\n", 404)
        from costspan.expose.prometheus import registry_of

        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(registry_of(context.meters)), media_type=content_type)

    return metrics


async def _login(request: Request) -> Response:
    """A person with the token gets a cookie that this site alone is sent."""
    token = request.app.state.context.options.token
    if token is None:
        return RedirectResponse("/", 303)
    if request.method == "GET":
        return piece("login.html", "This server asks for its token (COSTSPAN_TOKEN).")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            return PlainTextResponse("costspan: too long\n", 413)
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        return piece("login.html", "That is not the token.", status=401)
    answer = RedirectResponse("/", 303)
    behind_tls = request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, session_of(token), httponly=True, secure=behind_tls, samesite="strict", max_age=30 * 86_400)
    return answer
