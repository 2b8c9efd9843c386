"""A real `costspan serve` for tests of its pages, and recorded traces sent to it as if they happened now."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACES = Path(__file__).parent / "pipeline" / "traces"
_TIMES = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano")
_DAY = 86_400 * 10**9


class Served:
    """The addresses of a server that runs."""

    def __init__(self, page: str, otlp: str) -> None:
        self.page = page
        self.otlp = otlp

    def send(self, spans: dict[str, Any]) -> None:
        httpx.post(f"{self.otlp}/v1/traces", json=spans, timeout=30).raise_for_status()

    def settled(self, runs: int) -> None:
        """Wait until so many runs are in the history and none is open."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            health = httpx.get(f"{self.page}/health", timeout=30).json()
            if health["settled_runs"] >= runs and not health["open_traces"]:
                return
            time.sleep(0.1)
        message = f"not settled: {health}"
        raise AssertionError(message)


@contextmanager
def serving(history: Path, **env: str) -> Iterator[Served]:
    """`costspan serve` on free ports, in a process of its own, ended by SIGTERM. What it says is in a file beside the history."""
    command = [sys.executable, "-m", "costspan", "serve", "--port", "0", "--http-port", "0", "--grpc-port", "-1"]
    said = history.with_suffix(".log")
    with said.open("w") as log:
        process = subprocess.Popen([*command, "--db", str(history), "--quiet", "0.3"], stderr=log, env={**os.environ, **env})
    try:
        yield _addresses(process, said)
        assert process.poll() is None, said.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _addresses(process: subprocess.Popen[bytes], said: Path) -> Served:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = [re.search(rf"costspan: {what} +(http://[\d.]+:\d+)", said.read_text()) for what in ("page", "OTLP")]
        if found[0] and found[1]:
            return Served(found[0][1], found[1][1])
        time.sleep(0.05)
    raise AssertionError(said.read_text())


def recorded(name: str, *, days_ago: float = 0, salt: int = 1) -> dict[str, Any]:
    """A recorded trace as an OTLP request, moved to end so many days before now, under ids of its own."""
    spans: dict[str, Any] = json.loads(gzip.decompress((TRACES / f"{name}.json.gz").read_bytes()))
    every = list(each_span(spans))
    delta = time.time_ns() - int(days_ago * _DAY) - max(int(span["endTimeUnixNano"]) for span in every)
    for span in every:
        span["traceId"] = f"{int(span['traceId'], 16) ^ salt:032x}"
        for moment in (span, *span.get("events", ())):
            moment.update({key: str(int(moment[key]) + delta) for key in _TIMES if int(moment.get(key, 0))})
    return spans


def each_span(spans: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in spans["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def only(spans: dict[str, Any], ids: set[str]) -> dict[str, Any]:
    """The request with those spans alone."""
    found = json.loads(json.dumps(spans))
    for resource in found["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [span for span in scope["spans"] if span["spanId"] in ids]
    return found


def renamed(spans: dict[str, Any], bad: str) -> dict[str, Any]:
    """Every text that a page may show, replaced: names, models, agents, tools, ids, services."""
    found = json.loads(json.dumps(spans))
    kept = {"gen_ai.operation.name", "gen_ai.output.type", "telemetry.sdk.language"}
    for resource in found["resourceSpans"]:
        _rename(resource["resource"]["attributes"], bad, kept)
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                span["name"] = bad
                _rename(span["attributes"], bad, kept)
                span["status"] = {"code": span.get("status", {}).get("code", 0), "message": bad}
    return found


def _rename(attributes: list[dict[str, Any]], bad: str, kept: set[str]) -> None:
    for attribute in attributes:
        if "stringValue" in attribute["value"] and attribute["key"] not in kept:
            attribute["value"]["stringValue"] = bad
