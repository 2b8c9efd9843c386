"""A real Prometheus scrapes the listener: it accepts every line, keeps exemplars, and promtool finds nothing to mend."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
from prometheus_client import generate_latest

from costspan.account.meters import Meters
from costspan.expose.listener import Listener
from costspan.expose.prometheus import registry_of
from meter_cases import SPAN, TRACE, active, call, everything
from real_programs import require


@pytest.fixture
def meters():
    meters = Meters(version="1", active_runs=lambda: [active("flow")], price_table_timestamp=lambda: 1.75e9)
    everything(meters)
    return meters


@pytest.mark.live
def test_promtool_lints_the_exposition_clean(meters):
    promtool = require("promtool")
    text = b"".join(line for line in generate_latest(registry_of(meters)).splitlines(keepends=True) if b"_created" not in line)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.live
def test_a_real_prometheus_stores_the_dollars_the_birth_and_the_exemplar(meters, tmp_path):
    prometheus = require("prometheus")
    now = time.time_ns()
    meters.call(call(started_ns=now - 1_000_000_000, ended_ns=now, owner=call().owner._replace(workflow="live")))
    listener = Listener(meters, port=0)
    listener.start()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: agent, static_configs: [{{targets: ['127.0.0.1:{listener.port}']}}]}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        query = 'costspan_workflow_cost_usd_total{workflow="live"}'
        found = asked(port, "query", query=query)
        assert float(found[0]["value"][1]) == 0.75
        born = asked(port, "query", query=query.replace("_total", "_created"))
        assert abs(float(born[0]["value"][1]) - now / 1e9) < 60
        window = {"start": now / 1e9 - 60, "end": now / 1e9 + 60}
        exemplars = asked(port, "query_exemplars", query=query, **window)
        assert exemplars[0]["exemplars"][0]["labels"] == {"trace_id": TRACE, "span_id": SPAN}
        (target,) = asked(port, "targets")["activeTargets"]
        assert target["lastError"] == ""
    finally:
        process.terminate()
        process.wait()
        listener.stop()


def asked(port, what, **parameters):
    """Ask Prometheus until it has an answer."""
    url = f"http://127.0.0.1:{port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                data = json.load(answer)["data"]
            found = data.get("result", data) if isinstance(data, dict) else data
            if found:
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)
