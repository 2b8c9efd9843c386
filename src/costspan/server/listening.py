"""HTTP listeners: sockets opened first, so that a taken port is one clear line, then uvicorn with limits on slow clients."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from costspan.errors import SettingsError
from costspan.server.limits import CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp


def open_socket(host: str, port: int, *, what: str, option: str) -> socket.socket:
    """A listening socket. Raises SettingsError with a line that names the port, its use and the option that moves it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)
    except OSError as error:
        found.close()
        why = "the port is taken" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        message = f"cannot listen on {host}:{port} for {what}: {why}; choose another with {option}"
        raise SettingsError(message) from error
    found.setblocking(False)
    return found


class Listener(uvicorn.Server):
    """One application on one socket, inside an event loop that somebody else runs."""

    def __init__(self, app: ASGIApp, sock: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Patient,
                loop="none",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                backlog=1024,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            )
        )
        self.sock = sock
        self.port: int = sock.getsockname()[1]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the loop."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit`."""
        await self.serve(sockets=[self.sock])


class _Patient(H11Protocol):
    """uvicorn's protocol, but patient only so long: headers that do not come in time end the connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waits_for_headers():
            if self._deadline is None:
                self._expect()
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _waits_for_headers(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _expect(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if self._waits_for_headers() and self.transport is not None and not self.transport.is_closing():
            self.transport.close()
