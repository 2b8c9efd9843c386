"""2,000 targets, each with the series of a busy process and six hours of ledger behind it: all rules in under ten seconds."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from costspan import conventions as names
from costspan.budgets import limits
from costspan.demo.monitoring import Prometheus, Target, fetch
from costspan.generate import rules, thresholds
from real_programs import ROOT, require

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(400)]

TARGETS = 2000
AGENTS = 5
TYPES = ("input_uncached", "input_cache_read", "output_visible")
HISTORY_MINUTES = 360
SERIES = 82


def test_all_rules_of_2000_targets_take_under_ten_seconds(tmp_path: Path):
    require("prometheus")
    now = int(time.time())
    _history(tmp_path, now)
    knobs = thresholds.read()
    texts = rules.render(knobs, limits.read(ROOT / "deploy" / "prometheus" / "budgets.example.yaml"))
    # A minute is too long to wait for twice; the work of one evaluation is the same.
    texts = {
        name: text.replace("interval: 1m", "interval: 20s").replace("interval: 5m", "interval: 20s")
        for name, text in texts.items()
    }
    with _page(_exposition(now)) as port:
        server = Prometheus(tmp_path / "prometheus", rules=texts, targets=[Target(port, "fleet")], interval="60s")
        config = server._config
        server._config = lambda: _honouring(config())
        with server as prometheus:
            seconds = _processor_seconds(prometheus)
    print(f"\n{TARGETS} targets, {SERIES * TARGETS} series: one round of all rules takes {seconds:.1f} s of processor time")
    assert seconds < 10


def _labels(number: int) -> str:
    return f'job="fleet",environment="production",instance="host{number}:9464"'


def _exposition(now: int) -> str:
    """What 2,000 processes show, on one page with their instances as labels."""
    lines: dict[str, list[str]] = {}

    def add(metric: str, labels: str, value: float) -> None:
        lines.setdefault(metric, []).append(f"{metric}{{{labels}}} {value}")

    for number in range(TARGETS):
        own, born = _labels(number), now - 7200
        add(names.WORKFLOW_COST_USD, f'{own},workflow="w"', 12.5)
        add("costspan_workflow_cost_usd_created", f'{own},workflow="w"', born)
        add(names.RUNS, f'{own},workflow="w",outcome="ok"', 40)
        add("costspan_runs_created", f'{own},workflow="w",outcome="ok"', born)
        add(names.BUILD_INFO, f'{own},version="1"', 1)
        for metric in (names.ACTIVE_RUN_CALLS_MAX, names.ACTIVE_RUN_TOKENS_MAX, names.ACTIVE_RUN_COST_USD_MAX):
            add(metric, f'{own},workflow="w"', 1)
        for metric, bound in ((names.RUN_COST_USD, "5.0"), (names.RUN_CALLS, "200.0"), (names.RUN_TOKENS, "1e+06")):
            for le in ("1.0", bound, "+Inf"):
                add(f"{metric}_bucket", f'{own},workflow="w",le="{le}"', 40)
        for agent in range(AGENTS):
            add(names.CALLS, f'{own},provider="p",model="m",agent="a{agent}",outcome="ok"', 100)
            for le in ("0.5", "0.9", "+Inf"):
                add(f"{names.CONTEXT_RATIO}_bucket", f'{own},agent="a{agent}",le="{le}"', 100)
            for kind in TYPES:
                call = f'{own},provider="p",model="m",agent="a{agent}",workflow="w"'
                add(names.TOKENS, f'{call},token_type="{kind}",usage_source="reported"', 1e6)
                add(names.COST_USD, f'{call},cost_type="{kind}",price_source="table"', 1.5)
                add("costspan_cost_usd_created", f'{call},cost_type="{kind}",price_source="table"', born)
    assert sum(map(len, lines.values())) == SERIES * TARGETS
    return "\n".join(line for metric in lines.values() for line in metric) + "\n"


def _history(folder: Path, now: int) -> None:
    """What the ledger has recorded in the six hours before: a sample a minute."""
    recorded = (names.INSTANCE_COST_SEEN, names.INSTANCE_COST_BORN, names.INSTANCE_RUNS_OK_SEEN, names.INSTANCE_RUNS_OK_BORN)
    file = folder / "history.om"
    with file.open("w", encoding="utf-8") as text:
        for metric in recorded:
            text.write(f"# TYPE {metric} gauge\n")
            for number in range(TARGETS):
                labels = f'{metric}{{{_labels(number)},workflow="w"}}'
                text.writelines(f"{labels} 12.5 {now - 60 * minute}\n" for minute in range(HISTORY_MINUTES, 1, -1))
        text.write("# EOF\n")
    data = folder / "prometheus" / "data"
    data.mkdir(parents=True)
    done = subprocess.run(
        [require("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", file, data],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _processor_seconds(prometheus: Prometheus) -> float:
    """Processor seconds of one round of all rules and what Prometheus did beside: more than an idle machine would take.

    The clock itself would measure the other programs of this machine.
    """
    until = time.monotonic() + 120
    while (
        prometheus.value("count(workflow:costspan_cost_usd:delta and on () count(instance:costspan_cost_usd:seen) == 2000)")
        is None
    ):
        assert time.monotonic() < until
        time.sleep(2)
    before, rounds = _spent(prometheus), dict.fromkeys(_evaluated(prometheus), 0)
    last, until = _evaluated(prometheus), time.monotonic() + 180
    while min(rounds.values()) < 2:
        assert time.monotonic() < until, rounds
        time.sleep(1)
        now = _evaluated(prometheus)
        rounds = {name: count + (now[name] != last[name]) for name, count in rounds.items()}
        last = now
    return (_spent(prometheus) - before) / min(rounds.values())


def _evaluated(prometheus: Prometheus) -> dict[str, str]:
    """When each group was evaluated last; no rule of it may have failed."""
    groups = fetch(f"{prometheus.url}/api/v1/rules", timeout=60)["data"]["groups"]
    assert [(rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule["health"] == "err"] == []
    return {group["name"]: group["lastEvaluation"] for group in groups}


def _spent(prometheus: Prometheus) -> float:
    fields = Path(f"/proc/{prometheus._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _honouring(config: dict[str, object]) -> dict[str, object]:
    """One page stands for many targets: its own labels count."""
    for scrape in config["scrape_configs"]:
        scrape["honor_labels"] = True
    return config


class _page:  # noqa: N801 - reads as a word in a with statement
    def __init__(self, text: str) -> None:
        body = text.encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> int:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
