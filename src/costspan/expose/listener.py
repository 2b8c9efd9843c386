"""A small HTTP listener: `/metrics` for Prometheus and `/debug/runs` for people, on loopback unless told otherwise.

It never stops the host: a port that is taken costs one warning and this process goes unexported. With a multiprocess
directory the siblings of one server share a port: one serves what all of them booked, the others wait to take over.
A forked child neither serves nor keeps the port from its parent.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import weakref
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from costspan import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from costspan.account.meters import Meters

TAKE_OVER_SECONDS: Final = 5.0
"""How often a waiting sibling looks whether the port has become free."""
_INDEX: Final = b"costspan: /metrics for Prometheus, /debug/runs for the runs in flight\n"
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")


class Listener:
    """Serves one `Meters`. `start()` answers whether this process serves; `port` is then the real one (0 picks any).

    `multiprocess_dir` is the directory that siblings share (`PROMETHEUS_MULTIPROC_DIR`).
    """

    def __init__(
        self,
        meters: Meters,
        *,
        host: str = "localhost",
        port: int = 9464,
        multiprocess_dir: Path | None = None,
        register_globally: bool = False,
    ) -> None:
        self._meters = meters
        self._host = "127.0.0.1" if host == "localhost" else host
        self.port = port
        self._directory = multiprocess_dir
        self._register_globally = register_globally
        self._mirror: Any = None
        self._registry: CollectorRegistry | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def serving(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def start(self) -> bool:
        """Open the port. False when it is taken or cannot be opened; then one warning says so and the host goes on."""
        self._registry = self._open_registry()
        error = self._bind()
        _alive.add(self)
        if error is None:
            return True
        if self._directory is None:
            guard.warn_once(f"listener.{self._host}:{self.port}", self._complaint(error))
        else:
            self._run(self._wait_for_port, "costspan-metrics-wait")
        return False

    def stop(self) -> None:
        """Close the port and wait for the thread; nothing when it was never opened. May be called twice."""
        self._stopped.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None
        if self._register_globally:
            from costspan.expose.prometheus import unregister_globally

            unregister_globally(self._meters)
        _alive.discard(self)

    def _open_registry(self) -> CollectorRegistry:
        from costspan.expose.prometheus import registry_of

        if self._directory is None:
            return registry_of(self._meters, register_globally=self._register_globally)
        from costspan.expose.multiprocess import Mirror, SiblingsRegistry

        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._mirror = self._mirror or Mirror(self._meters)
            return SiblingsRegistry(self._meters, self._directory)
        except OSError as error:
            message = f"PROMETHEUS_MULTIPROC_DIR={self._directory} cannot be used ({error}); only this process is exported"
            guard.warn_once("listener.multiprocess", message)
            self._directory = None
            return registry_of(self._meters, register_globally=self._register_globally)

    def _bind(self) -> OSError | None:
        try:
            server = _Server(self._host, self.port, self._app())
        except OSError as error:
            return error
        self._server = server
        self.port = server.server_port
        self._run(server.serve, "costspan-metrics")
        return None

    def _run(self, target: Callable[[], None], name: str) -> None:
        self._thread = threading.Thread(target=target, name=name, daemon=True)
        self._thread.start()

    def _wait_for_port(self) -> None:
        """A sibling that found the port taken serves as soon as whoever has it is gone."""
        while not self._stopped.wait(TAKE_OVER_SECONDS):
            if self._bind() is None:
                return

    def _complaint(self, error: OSError) -> str:
        return (
            f"cannot listen on {self._host}:{self.port} ({error.strerror or error}), so the metrics of {_this_process()} "
            "are not exported; set OTEL_EXPORTER_PROMETHEUS_PORT to a free port, or, for the workers of one server, "
            "PROMETHEUS_MULTIPROC_DIR to a directory that they share"
        )

    def _app(self) -> Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]:
        from prometheus_client import make_wsgi_app

        assert self._registry is not None
        metrics = make_wsgi_app(self._registry)

        def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                answer: Iterable[bytes] = metrics(environ, start_response)
                return answer
            if path == "/debug/runs":
                start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
                return [json.dumps(runs_page(self._meters), indent=2).encode()]
            start_response("200 OK" if path == "/" else "404 Not Found", [_TEXT])
            return [_INDEX]

        return app

    def _after_fork(self) -> None:
        """In a child: give the port back (the child would hold it after its parent is gone), then wait or warn."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()
        self._stopped = threading.Event()
        if self._directory is not None:
            self._meters.on_first += (lambda: self._run(self._wait_for_port, "costspan-metrics-wait"),)
        else:
            self._meters.on_first += (self._warn_orphan,)

    def _warn_orphan(self) -> None:
        message = (
            f"the metrics of {_this_process()}, forked from a process that serves {self.url}/metrics, are not exported; "
            "set PROMETHEUS_MULTIPROC_DIR to a directory that they share, or export by OTLP (OTEL_METRICS_EXPORTER=otlp)"
        )
        guard.warn_once("listener.fork", message)


def runs_page(meters: Meters, now_ns: int | None = None) -> dict[str, object]:
    """What `/debug/runs` answers: the runs in flight of this process, the longest first; dollars are decimal strings.

    `folded` tells which labels or metrics had more values than are shown, and how often one became `_other`.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    return {
        "pid": os.getpid(),
        "runs": [
            {
                "id": run.id,
                "trace_id": run.trace_id,
                "workflow": run.workflow,
                "calls": run.calls,
                "tokens": run.tokens,
                "cost_usd": format(run.cost_usd, "f"),
                "started_at": datetime.fromtimestamp(run.started_ns / 1e9, UTC).isoformat(),
                "duration_seconds": max(0, now_ns - run.started_ns) / 1e9,
            }
            for run in meters.runs_in_flight()
        ],
        "folded": meters.overflow(),
    }


def _this_process() -> str:
    """Pid and program, without its arguments, which may hold secrets."""
    return f"process {os.getpid()} ({sys.argv[0] if sys.argv and sys.argv[0] else sys.executable})"


class _Server(ThreadingMixIn, WSGIServer):
    """One daemon thread a request, no log lines, no name look-up of the host."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two processes share one port

    def __init__(self, host: str, port: int, app: Any) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Silent)
        self.set_app(app)

    def server_bind(self) -> None:
        """Without `socket.getfqdn`, which may ask a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(self.allow_reuse_address))
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def serve(self) -> None:
        self.serve_forever(poll_interval=0.1)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class calls it so
        """A client that hung up is nobody's error; anything else is counted, never printed."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            guard.note("listener.request", error)


class _Silent(WSGIRequestHandler):
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: the listener shares the host's terminal."""

    def get_stderr(self) -> Any:
        return _Nowhere()


class _Nowhere:
    def write(self, text: str) -> None: ...
    def flush(self) -> None: ...


_alive: weakref.WeakSet[Listener] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for listener in list(_alive):
        with guard.Guard("listener.fork"):
            listener._after_fork()  # noqa: SLF001 - the hook of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
