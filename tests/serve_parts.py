"""Parts of the server for tests: without threads and clock (`Bench`), or whole on free ports (`serving`)."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from costspan.account.meters import Meters
from costspan.history import queries, run_queries
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.price.book import PriceBook
from costspan.server.context import Options
from costspan.server.inbox import Inbox, Parcel
from costspan.server.serving import Server
from costspan.server.settle import Settler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from costspan.history.rows import RunRow, Sums
    from costspan.records import Run

BOOK = PriceBook()
SECOND = 1_000_000_000


class Bench:
    """Store, inbox and settler in the calling thread; time passes when the test says so."""

    def __init__(self, path: Path, **switches: Any) -> None:
        self.database = Database(path)
        self.store = Store(self.database)
        self.meters = Meters(version="test")
        self.settler = Settler(self.store, BOOK, self.meters, **switches)
        self.inbox = Inbox(self.store, self.settler)

    def send(self, data: bytes, *, is_json: bool = False) -> Any:
        """Take one request as the inbox's thread does; its answer, or the refusal raised."""
        parcel = Parcel(data, is_json=is_json)
        self.inbox._take([parcel])
        return parcel.answer.result(0)

    def wait(self, seconds: float = 3600) -> None:
        """Settle everything that is due so many seconds from now."""
        while self.settler.tick(time.time_ns() + int(seconds * SECOND)):
            pass

    def runs(self, **where: Any) -> list[RunRow]:
        with self.database.reading() as db:
            return run_queries.runs(
                db, run_queries.RunFilter(**{"lone": None, **where}), limit=1000, sort="started", descending=False
            )

    def whole(self) -> list[Run]:
        with self.database.reading() as db:
            rows = run_queries.runs(db, run_queries.RunFilter(lone=None), limit=1000, descending=False)
            return [run for row in rows if (run := run_queries.load_run(db, row)) is not None]

    def total(self) -> Sums:
        with self.database.reading() as db:
            return queries.total(db)

    def metric(self, name: str) -> Any:
        found = next((metric for metric in self.meters.collect() if metric.spec.name == name), None)
        return sum(series.value for series in found.series) if found else 0

    def close(self) -> None:
        self.database.close()


@contextmanager
def serving(path: Path, **options: Any) -> Iterator[Running]:
    """A whole server on free ports in a thread of this process."""
    server = Server(path, BOOK, Options(page_port=0, http_port=0, grpc_port=0, **{"quiet_seconds": 0.2, **options}))
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(ready.set)), daemon=True)
    thread.start()
    ready.wait(30)
    running = Running(server)
    running.reached()
    try:
        yield running
    finally:
        server.stop()
        thread.join(30)


class Running:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.page = f"http://127.0.0.1:{server.page.port}"
        self.otlp = f"http://127.0.0.1:{server.http.port}"
        self.grpc = f"127.0.0.1:{server.grpc.port}" if server.grpc else ""

    def reached(self) -> None:
        for _ in range(200):
            try:
                httpx.get(f"{self.page}/healthz")
                httpx.get(self.otlp)
            except httpx.ConnectError:
                time.sleep(0.02)
            else:
                return

    def post(self, body: bytes, kind: str = "application/x-protobuf", **headers: str) -> httpx.Response:
        return httpx.post(f"{self.otlp}/v1/traces", content=body, headers={"Content-Type": kind, **headers}, timeout=60)

    def settled(self, seconds: float = 30) -> dict[str, Any]:
        """Wait until no trace is open; the health then."""
        until = time.monotonic() + seconds
        while True:
            health = self.server.health()
            if not health["open_traces"] or time.monotonic() > until:
                return health
            time.sleep(0.05)

    def runs(self) -> list[RunRow]:
        with self.server.database.reading() as db:
            return run_queries.runs(db, run_queries.RunFilter(lone=None), limit=1000, descending=False)

    def total(self) -> Sums:
        with self.server.database.reading() as db:
            return queries.total(db)
