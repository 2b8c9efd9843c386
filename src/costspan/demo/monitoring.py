"""Real Prometheus and Alertmanager on loopback, with a webhook receiver: for the alert demo and for tests.

The programs come from the machine's packages. Each keeps its data and its log in a folder that the caller gives, listens on
127.0.0.1 only, and ends with its context.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from costspan.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

INSTALL: Final = "sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager"
_NAMES: Final = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_SECONDS: Final = 30.0


def program(name: str) -> str:
    """Path of `prometheus` or `alertmanager`. Raises MissingExtraError with the line that installs it."""
    for candidate in _NAMES[name]:
        found = shutil.which(candidate)
        if found:
            return found
    message = f"{name} is not installed: {INSTALL}"
    raise MissingExtraError(message)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, timeout: float = 10.0) -> Any:
    """The JSON behind a URL on loopback."""
    with _OPENER.open(url, timeout=timeout) as answer:
        return json.load(answer)


class _Program:
    """A child process with a log file, ready when its URL answers."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> Self:
        """Start and wait until it is ready. Raises UsageError with the end of its log when it does not come up."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [program(self.name), *self._arguments()]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                tail = (self.directory / f"{self.name}.log").read_text(errors="replace")[-600:]
                message = f"{self.name} did not start; the end of its log says: {tail}"
                raise UsageError(message)
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _ready(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/-/ready", timeout=1) as answer:
                return int(answer.status) == 200
        except (OSError, urllib.error.URLError):
            return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Target:
    """A process to scrape: its port on loopback and the job it belongs to."""

    port: int
    job: str
    environment: str = "demo"


class Prometheus(_Program):
    """A Prometheus with rules, that scrapes the targets every `interval` (Prometheus' notation)."""

    def __init__(  # noqa: PLR0913 - a server has this many settings
        self,
        directory: Path,
        *,
        rules: Mapping[str, str],
        targets: Sequence[Target] = (),
        interval: str = "1s",
        alertmanager_port: int | None = None,
        external_labels: Mapping[str, str] | None = None,
        flags: Iterable[str] = (),
    ) -> None:
        super().__init__("prometheus", directory)
        self._rules = rules
        self._targets = targets
        self._interval = interval
        self._alertmanager_port = alertmanager_port
        self._external_labels = external_labels
        self._flags = tuple(flags)

    def _arguments(self) -> list[str]:
        for name, text in self._rules.items():
            (self.directory / name).write_text(text, encoding="utf-8")
        config = self.directory / "prometheus.json.yml"  # JSON is YAML
        config.write_text(json.dumps(self._config(), indent=1), encoding="utf-8")
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url={self.url}",
            *self._flags,
        ]

    def _config(self) -> dict[str, object]:
        everyone: dict[str, object] = {"scrape_interval": self._interval, "scrape_timeout": self._interval}
        if self._external_labels:
            everyone["external_labels"] = dict(self._external_labels)
        jobs: dict[str, list[dict[str, object]]] = {}
        for target in self._targets:
            static: dict[str, object] = {"targets": [f"127.0.0.1:{target.port}"], "labels": {"environment": target.environment}}
            jobs.setdefault(target.job, []).append(static)
        config: dict[str, object] = {
            "global": everyone,
            "rule_files": [str(self.directory / name) for name in self._rules],
            "scrape_configs": [{"job_name": job, "static_configs": statics} for job, statics in jobs.items()],
        }
        if self._alertmanager_port is not None:
            static_managers = [{"targets": [f"127.0.0.1:{self._alertmanager_port}"]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": static_managers}]}
        return config

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """An instant query: the labels and the value of each series found."""
        answer = fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}")
        return [(dict(found["metric"]), float(found["value"][1])) for found in answer["data"]["result"]]

    def value(self, promql: str) -> float | None:
        """The value of the only series that an instant query finds; None when it finds none."""
        found = self.query(promql)
        return found[0][1] if found else None


class Alertmanager(_Program):
    """An Alertmanager that passes everything on to one webhook, pages (severity critical) at once."""

    def __init__(self, directory: Path, *, webhook_url: str, wait: str = "1s") -> None:
        super().__init__("alertmanager", directory)
        self._webhook_url = webhook_url
        self._wait = wait

    def _arguments(self) -> list[str]:
        config = self.directory / "alertmanager.json.yml"
        hook = [{"url": self._webhook_url, "send_resolved": False}]
        route = {
            "receiver": "team",
            "group_by": ["..."],
            "group_wait": self._wait,
            "group_interval": "5s",
            "routes": [{"matchers": ['severity="critical"'], "receiver": "page", "group_wait": "0s"}],
        }
        receivers = [{"name": name, "webhook_configs": hook} for name in ("team", "page")]
        config.write_text(json.dumps({"route": route, "receivers": receivers}, indent=1), encoding="utf-8")
        return [
            f"--config.file={config}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as it arrived at the webhook."""

    receiver: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    arrived_at: float

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def summary(self) -> str:
        return self.annotations.get("summary", "")


@dataclass(slots=True)
class Webhook:
    """Receives what Alertmanager sends; `notices` holds every alert in order of arrival."""

    notices: list[Notice] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def wait_for(self, wanted: Callable[[Notice], bool], timeout_seconds: float) -> Notice | None:
        """The first notice that fits, waiting for it; None when it does not come in time."""

        def found() -> Notice | None:
            return next((notice for notice in self.notices if wanted(notice)), None)

        with self._changed:
            return self._changed.wait_for(found, timeout_seconds)

    def receive(self, body: Mapping[str, Any]) -> None:
        now = time.time()
        alerts = [alert for alert in body["alerts"] if alert["status"] == "firing"]
        with self._changed:
            self.notices += [Notice(body["receiver"], alert["labels"], alert["annotations"], now) for alert in alerts]
            self._changed.notify_all()

    def __enter__(self) -> Self:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                webhook.receive(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
