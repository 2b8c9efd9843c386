"""The real Prometheus with our rules: the day's dollars equal the provider's log, whatever becomes of the processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from costspan.demo.alert import short
from costspan.demo.alert_worker import Worker
from costspan.demo.monitoring import INSTALL, Prometheus, Target, free_port
from costspan.demo.play import price
from costspan.generate import rules, thresholds
from costspan.price.book import PriceBook
from costspan.testing import FakeProvider, Reply, Usage
from real_programs import CACHE, ROOT, missing, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(180)]

TODAY = "sum(workflow:costspan_cost_usd:today)"
COLLECTOR_VERSION = "0.158.0"
BUILD = (
    f"go install go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION} && "
    f"builder --config deploy/collector/builder.yaml && "
    f"install -D otelcol-costspan/otelcol-costspan {CACHE}/bin/otelcol-costspan-{COLLECTOR_VERSION}"
)
REPLY = Reply(text="done", usage=Usage(input_tokens=400_000, output_tokens=20_000))


@pytest.fixture(autouse=True)
def _real_prometheus() -> None:
    require("prometheus")


def collector() -> str:
    found = CACHE / "bin" / f"otelcol-costspan-{COLLECTOR_VERSION}"
    if not found.is_file():
        missing("the OpenTelemetry Collector", BUILD)
    return str(found)


def test_two_workers_of_which_one_restarts(tmp_path: Path):
    book = PriceBook()
    with Worker(tmp_path, "one", seed=1) as one, Worker(tmp_path, "two", seed=2) as two:
        targets = [Target(one.port, "agents"), Target(two.port, "agents")]
        with Prometheus(tmp_path / "prometheus", rules=_rules(), targets=targets) as prometheus:
            one.ask("run 3")
            two.ask("run 2")
            _wait(lambda: _cents(prometheus.value(TODAY)) == _cents(one.billed(book) + two.billed(book)))
            before = one.billed(book)
            one.__exit__(None, None, None)
            # The new process is first seen above zero, having spent less than the old one, on the same address.
            with Worker(tmp_path, "one-again", seed=3, port=one.port) as again:
                again.ask("run 1")
                two.ask("run 1")
                total = before + again.billed(book) + two.billed(book)
                _wait(lambda: _cents(prometheus.value(TODAY)) == _cents(total))
                again.ask("run 4")
                total = before + again.billed(book) + two.billed(book)
                _wait(lambda: prometheus.value("sum(costspan_workflow_cost_usd_total)") == pytest.approx(float(total - before)))
                time.sleep(3)
                assert prometheus.value(TODAY) == pytest.approx(float(total), abs=1e-9)


def test_short_jobs_that_push_to_the_collector(tmp_path: Path):
    """Three jobs of one call each; each is seen once, at its full amount, and `increase()` has nothing to say about it."""
    flags = ["--web.enable-remote-write-receiver"]
    with FakeProvider(1) as provider, Prometheus(tmp_path / "prometheus", rules=_rules(), flags=flags) as prometheus:
        provider.always(REPLY)
        with _collector(tmp_path, prometheus.url) as endpoint:
            for _ in range(3):
                _job(provider, "otlp", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SERVICE_NAME="digest",
                     OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test", OTEL_TRACES_EXPORTER="none")  # fmt: skip
            _wait_for_dollars(prometheus, _billed(provider))
            (labels, _) = prometheus.query("workflow:costspan_cost_usd:today")[0]
            assert {key: labels.get(key) for key in ("job", "environment", "workflow")} == {
                "job": "digest", "environment": "test", "workflow": "digest"
            }  # fmt: skip
            assert prometheus.value("sum(increase(costspan_workflow_cost_usd_total[10m])) or vector(0)") == 0
            names = {labels["__name__"] for labels, _ in prometheus.query('{__name__=~"costspan.+"}')}
            assert {"costspan_tokens_total", "costspan_run_cost_usd_bucket", "costspan_build_info"} <= names


def test_cron_jobs_that_write_a_textfile(tmp_path: Path):
    """The same job twice, with the same dollars: its file looks alike but for the created timestamps."""
    exporter = require(
        "prometheus-node-exporter", "node_exporter", install=INSTALL.replace("prometheus ", "prometheus-node-exporter ")
    )
    folder = tmp_path / "textfiles"
    folder.mkdir()
    port = free_port()
    arguments = [f"--collector.textfile.directory={folder}", "--collector.disable-defaults", "--collector.textfile"]
    node = subprocess.Popen([exporter, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        targets = [Target(port, "node")]
        with FakeProvider(1) as provider, Prometheus(tmp_path / "p", rules=_rules(), targets=targets) as prometheus:
            provider.always(REPLY)
            for name in ("other", "digest", "digest"):
                _job(provider, str(folder / f"{name}.prom"))
                _wait_for_dollars(prometheus, _billed(provider))
    finally:
        node.terminate()
        node.wait(10)


def _rules() -> dict[str, str]:
    return rules.render(short(thresholds.read()))


def _wait(done: Callable[[], bool], seconds: float = 30, state: Callable[[], object] = lambda: "") -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, state()
        time.sleep(0.25)


def _wait_for_dollars(prometheus: Prometheus, total: Decimal) -> None:
    expected = pytest.approx(float(total), abs=1e-9)
    _wait(lambda: prometheus.value(TODAY) == expected, state=lambda: (prometheus.query(TODAY), total))


def _cents(amount: Decimal | float | None) -> str:
    return "nothing" if amount is None else f"{amount:.2f}"


def _billed(provider: FakeProvider) -> Decimal:
    book = PriceBook()
    return sum(price(book, entry) or 0 for entry in provider.log)  # type: ignore[return-value]


def _job(provider: FakeProvider, road: str, **environment: str) -> None:
    command = [sys.executable, str(ROOT / "tests" / "short_job.py"), provider.openai_url, road]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "NO_PROXY": "127.0.0.1", **environment})


class _collector:  # noqa: N801 - reads as a word in a with statement
    """The real Collector with the committed configuration, on ports of its own; its OTLP/HTTP endpoint."""

    def __init__(self, folder: Path, prometheus_url: str) -> None:
        self._log = (folder / "collector.log").open("wb")
        self._health, self._http = free_port(), free_port()
        self._environment = {
            **os.environ,
            "OTLP_GRPC_ENDPOINT": f"127.0.0.1:{free_port()}",
            "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{self._http}",
            "HEALTH_ENDPOINT": f"127.0.0.1:{self._health}",
            "PROMETHEUS_URL": prometheus_url,
            "GOMAXPROCS": "1",
        }

    def __enter__(self) -> str:
        config = ROOT / "deploy" / "collector" / "collector.yaml"
        command = [collector(), "--config", str(config), "--set=service::telemetry::metrics::level=none"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=self._environment)
        _wait(self._healthy, state=lambda: (self._process.poll(), self._log.name))
        return f"http://127.0.0.1:{self._http}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def _healthy(self) -> bool:
        from costspan.demo.monitoring import fetch

        try:
            return bool(fetch(f"http://127.0.0.1:{self._health}"))
        except OSError:
            return False
