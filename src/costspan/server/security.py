"""Who may ask: the Host header, the token, and where a form was sent from. Plain ASGI, so that streams pass untouched.

Three dangers of a server on a developer's machine: a web page elsewhere that sends requests to it (CSRF), one that has its
own name point to 127.0.0.1 (DNS rebinding), and a neighbour on the network. Against them stand the checks of `Sec-Fetch-Site`
and `Origin`, the list of host names, and the token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse

from costspan.server.limits import HEADER_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "costspan"
LOGIN_PATH: Final = "/login"
OPEN_PATHS: Final = (LOGIN_PATH, "/healthz")
STATIC: Final = "/static/"
"""Styles and scripts, the same in every installation: the page that asks for the token needs its style."""
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: with that a browser says `Origin: null` even of our own forms, and logging in is refused.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """The middleware. `hosts`: names besides the loopback ones that requests may be addressed to; with a token any name is
    allowed, for then a page elsewhere has nothing to send. `page`: also the headers and checks that concern browsers."""

    def __init__(self, app: ASGIApp, *, token: str | None = None, hosts: Iterable[str] = (), page: bool = False) -> None:
        self._app = app
        self._token = token
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sender = self._with_headers(send) if self._page else send
        refusal = self._refusal(scope, headers)
        await (self._app if refusal is None else refusal)(scope, receive, sender)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> ASGIApp | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES_MAX:
            return PlainTextResponse("costspan: the headers are too long\n", 431)
        if self._token is None and host_name(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse(
                "costspan: this host name is not served; use localhost, or start with --host and a token\n", 421
            )
        if scope["method"] not in SAFE_METHODS and not same_origin(headers):
            return PlainTextResponse("costspan: refused, the request comes from another site\n", 403)
        if self._token is None or (self._page and _is_open(scope["path"])) or self._admits(headers):
            return None
        if self._page and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN_PATH, 303)
        message = "costspan: give the token of this server (COSTSPAN_TOKEN) as `Authorization: Bearer TOKEN`\n"
        return PlainTextResponse(message, 401, {"WWW-Authenticate": "Bearer"})

    def _admits(self, headers: dict[str, str]) -> bool:
        assert self._token is not None
        if bearer_matches(headers.get("authorization", ""), self._token):
            return True
        return self._page and hmac.compare_digest(_cookie(headers), session_of(self._token))

    @staticmethod
    def _with_headers(send: Send) -> Send:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in present)]
            await send(message)

        return sender


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(STATIC)


def bearer_matches(header: str, token: str) -> bool:
    """Whether an Authorization header carries the token; takes as long for a wrong one."""
    kind, _, given = header.partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def session_of(token: str) -> str:
    """What the cookie holds: proof of having known the token, not the token."""
    return hmac.new(token.encode(), b"costspan page session", hashlib.sha256).hexdigest()


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    host = header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def same_origin(headers: dict[str, str]) -> bool:
    """False for a request that a browser sends on behalf of another site. Programs send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _cookie(headers: dict[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and found.value.isascii() else ""
