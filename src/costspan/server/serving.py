"""`costspan serve`: the parts joined, started, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from typing import TYPE_CHECKING, Final

from costspan import __version__, guard
from costspan.account.meters import Meters
from costspan.budgets import limits
from costspan.errors import SettingsError
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.records import ZERO, ActiveRun
from costspan.server.app import create_app
from costspan.server.context import Context, Options
from costspan.server.forward import Forwarder
from costspan.server.inbox import Inbox
from costspan.server.keeping import Keeping
from costspan.server.listening import Listener, open_socket
from costspan.server.otlp_grpc import GrpcReceiver
from costspan.server.otlp_http import create_receiver
from costspan.server.security import is_loopback
from costspan.server.settle import Settler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from costspan.price.book import PriceBook

TOKEN_LENGTH_MIN: Final = 16


class Server:
    """All of it in one process. `start` and `stop` for tests, `run` for the command line.

    Raises SettingsError or HistoryError, with nothing left open, when it cannot be as asked.
    """

    def __init__(self, path: Path, book: PriceBook, options: Options) -> None:
        check_exposure(options)
        self.options = options
        self._closing = contextlib.ExitStack()
        try:
            self._open(path, book)
        except BaseException:
            self._closing.close()
            raise

    def _open(self, path: Path, book: PriceBook) -> None:
        options = self.options
        sockets = {}
        for what, port, option in (("the page", options.page_port, "--port"), ("OTLP/HTTP", options.http_port, "--http-port")):
            sockets[what] = open_socket(options.host, port, what=what, option=option)
            self._closing.callback(sockets[what].close)
        self.database = Database(path)
        self._closing.callback(self.database.close)
        store = Store(self.database)
        self.meters = Meters(
            version=__version__, active_runs=self._active_runs, price_table_timestamp=lambda: book.table_timestamp or None
        )
        self.forwarder = Forwarder(options.forward) if options.forward else None
        told = self.forwarder.settled if self.forwarder is not None else None
        self.settler = Settler(store, book, self.meters, quiet_seconds=options.quiet_seconds, told=told)
        if self.forwarder is not None:
            self.forwarder.preview = self.settler.preview
        keeping = Keeping(self.database, days=options.keep_days, bytes_max=options.keep_bytes)
        self.inbox = Inbox(
            store,
            self.settler,
            forward=self.forwarder.take if self.forwarder is not None else None,
            housekeeping=keeping.now_and_then,
        )
        context = Context(self.database, options, book, self.meters, self.settler.live_runs, self.health)
        hosts = () if is_loopback(options.host) else (options.host,)
        self.page = Listener(create_app(context), sockets["the page"])
        self.http = Listener(create_receiver(self.inbox, token=options.token, hosts=hosts), sockets["OTLP/HTTP"])
        self.grpc: GrpcReceiver | None = None
        if options.grpc_port >= 0:
            self.grpc = GrpcReceiver(self.inbox, host=options.host, port=options.grpc_port, token=options.token)
            self._closing.callback(self.grpc.stop, 0)
        self.context = context
        self.started_at = time.time()

    def _active_runs(self) -> list[ActiveRun]:
        return [
            ActiveRun(
                run.id,
                run.workflow,
                run.trace_ids[0],
                run.started_ns,
                run.totals.calls,
                run.totals.usage.total_tokens or 0,
                run.totals.cost_usd or ZERO,
            )
            for run in self.settler.live_runs()
        ]

    async def serve(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` is called or a listener ends."""
        self.settler.restore(time.time_ns())
        self.inbox.start()
        if self.forwarder is not None:
            self.forwarder.start()
        if self.grpc is not None:
            self.grpc.start()
        listeners = [asyncio.create_task(each.run_until_stopped()) for each in (self.page, self.http)]
        if ready is not None:
            ready()
        try:
            await asyncio.gather(*listeners)
        finally:
            await asyncio.to_thread(self.close)

    def stop(self) -> None:
        """Ask the server to end; from any thread or signal."""
        self.page.should_exit = self.http.should_exit = True

    def close(self) -> None:
        """Take nothing more, write what was taken, close the file."""
        if self.grpc is not None:
            self.grpc.stop()
        self.inbox.stop()
        if self.forwarder is not None:
            self.forwarder.stop()
        self._closing.close()

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""

        _tame_collector()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError):  # Windows has only the keyboard's
                    loop.add_signal_handler(number, self.stop)
            await self.serve(ready)

        asyncio.run(main())

    def health(self) -> dict[str, object]:
        """Plain facts for `/health` and the page on measurement health."""
        counts = self.inbox.counts
        trouble = "; ".join(each for each in (self.inbox.trouble, limits.trouble(self.options.budgets)) if each)
        return {
            "ok": not self.inbox.trouble,
            "trouble": trouble or None,
            "version": __version__,
            "pid": os.getpid(),
            "uptime_seconds": round(time.time() - self.started_at, 1),
            "received": {
                name: counts[name]
                for name in (
                    "requests",
                    "spans",
                    "rejected_spans",
                    "refused_busy",
                    "refused_malformed",
                    "ignored_requests",
                    "failed_writes",
                    "failed_settles",
                )
            },
            "open_traces": self.settler.open_count,
            "open_spans": self.settler.open_spans,
            "settled_runs": self.settler.settled_runs,
            "forward": self.forwarder.health() if self.forwarder is not None else None,
            "history": str(self.database.path),
            "internal_errors": guard.swallowed(),
        }


def _tame_collector() -> None:
    """Look for garbage less often: thousands of spans wait in memory by design, and to go through them again and again would
    take a quarter of the time. Only for a process that is nothing but this server."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def check_exposure(options: Options) -> None:
    """Refuse to be reachable from other machines without a token worth the name. Raises SettingsError."""
    if options.token is not None and len(options.token) < TOKEN_LENGTH_MIN:
        message = (
            f"COSTSPAN_TOKEN is shorter than {TOKEN_LENGTH_MIN} characters, which can be guessed: "
            'make one with `python -c "import secrets; print(secrets.token_urlsafe(32))"`'
        )
        raise SettingsError(message)
    if not is_loopback(options.host) and options.token is None:
        message = (
            f"{options.host} can be reached from other machines: set COSTSPAN_TOKEN to a long random text first, "
            "or leave --host at 127.0.0.1"
        )
        raise SettingsError(message)
