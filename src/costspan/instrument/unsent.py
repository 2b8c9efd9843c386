"""Whether a request that failed has left this machine: what never did cannot have been billed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_ERRORS: Final = frozenset(
    {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "LocalProtocolError", "UnsupportedProtocol", "InvalidURL",
        "ConnectionRefusedError", "gaierror", "ClientConnectorError", "EndpointConnectionError", "NewConnectionError",
    }
)  # fmt: skip
"""Errors of HTTP clients (httpx, aiohttp, botocore, urllib3) and of sockets that come before a byte has left."""
_CLOSED: Final = "client has been closed"
_BEFORE: Final = frozenset(
    {"_prepare_options", "_prepare_request", "_build_request", "_sleep_for_retry", "_connect", "wait_for_connection"}
)
"""Functions of the SDKs, and of the connections beneath them, in which nothing has been sent yet."""
_ASIDE: Final = "._utils._sync"
"""The module by which the async clients look at the platform in a thread, before their first request."""
_ROOTS: Final = frozenset({"openai", "anthropic", "httpcore", "httpcore2"})
_CAUSES_MAX: Final = 6
_FRAMES_MAX: Final = 200


def never_left(error: BaseException | None) -> bool:
    """True when an error, or what caused it, shows that its request was not sent. In doubt: False."""
    for _ in range(_CAUSES_MAX):
        if error is None:
            break
        if type(error).__name__ in _ERRORS or _raised_before(error.__traceback__):
            return True
        if isinstance(error, RuntimeError) and _CLOSED in str(error):
            return True
        error = error.__cause__
    return False


def _raised_before(at: TracebackType | None) -> bool:
    for _ in range(_FRAMES_MAX):
        if at is None:
            break
        frame = at.tb_frame
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in _ROOTS and (frame.f_code.co_name in _BEFORE or module.endswith(_ASIDE)):
            return True
        at = at.tb_next
    return False
