"""Siblings of one server share a directory and a port: real forked workers, one sum."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

TESTS = Path(__file__).resolve().parents[1]

WORKER = """
import os, sys, signal, time, json
sys.path.insert(0, {tests!r})
from pathlib import Path
from meter_cases import active, call, run
from costspan.account.meters import Meters
from costspan.expose.listener import Listener
from costspan.expose import listener as module
module.TAKE_OVER_SECONDS = 0.2
port = int(sys.argv[1])
meters = Meters(version="1", active_runs=lambda: [active("flow", calls=os.getpid() % 7 + 1)])
listener = Listener(meters, port=port, multiprocess_dir=Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
"""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "shared"


def program(directory, body, *, port=0):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    code = WORKER.format(tests=str(TESTS)) + body
    return subprocess.Popen(
        [sys.executable, "-c", code, str(port)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def scrape(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in parse_text(text) for sample in family.samples
    }


def test_forked_workers_add_up_to_the_last_token_and_cent(directory):
    body = """
listener.start()
meters.call(call())
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        for _ in range(number + 1):
            meters.call(call(stream=True, time_to_first_token_seconds=0.4))
        meters.run(run())
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(listener.port, flush=True)
sys.stdin.read()
"""
    process = program(directory, body)
    try:
        values = scrape(int(process.stdout.readline()))
    finally:
        process.communicate("")
    tokens = sum(value for key, value in values.items() if key[0] == "costspan_tokens_total")
    assert tokens == 7 * 130
    assert values["costspan_workflow_cost_usd_total", "flow"] == 7 * 0.75
    assert values["costspan_call_duration_seconds_count", "gpt", "openai"] == 7
    assert values["costspan_call_duration_seconds_sum", "gpt", "openai"] == 14
    assert values["costspan_time_to_first_token_seconds_bucket", "0.5", "gpt", "openai"] == 6
    assert values["costspan_run_cost_usd_sum", "flow"] == 7.5
    assert values["costspan_runs_total", "flow", "ok"] == 3
    assert values["costspan_build_info", "1"] == 1
    assert not [key for key in values if key[0].endswith("_created")]


def test_spawned_siblings_share_the_port_and_another_takes_over_when_the_first_is_killed(directory):
    body = """
serving = listener.start()
meters.call(call())
print(json.dumps([serving, listener.port]), flush=True)
sys.stdin.read()
"""
    first = program(directory, body)
    serving, port = json.loads(first.stdout.readline())
    assert serving
    second = program(directory, body, port=port)
    try:
        assert json.loads(second.stdout.readline())[0] is False
        both = scrape(port)
        assert both["costspan_workflow_cost_usd_total", "flow"] == 1.5
        assert both["costspan_active_runs", "flow"] == 2
        first.send_signal(signal.SIGKILL)
        first.wait()
        deadline = time.monotonic() + 20
        while True:
            try:
                alone = scrape(port)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert alone["costspan_workflow_cost_usd_total", "flow"] == 1.5
        assert alone["costspan_active_runs", "flow"] == 1
    finally:
        second.communicate("")
        first.communicate()


def _work(calls):
    from meter_cases import call

    for _ in range(calls):
        _METERS[0].call(call())
    return os.getpid()


_METERS = []


def test_a_pool_of_multiprocessing_counts_every_call(directory, monkeypatch):
    from costspan.account.meters import Meters
    from costspan.expose.listener import Listener

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    meters = Meters(version="1")
    _METERS[:] = [meters]
    listener = Listener(meters, port=0, multiprocess_dir=directory)
    assert listener.start()
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(_work, [5, 6, 7, 8], chunksize=1)
            values = scrape(listener.port)
        assert values["costspan_workflow_cost_usd_total", "flow"] == 26 * 0.75
    finally:
        listener.stop()
        _METERS.clear()


def test_what_was_booked_before_the_listener_started_is_not_lost(directory, monkeypatch):
    from costspan.account.meters import Meters
    from costspan.expose.listener import Listener
    from meter_cases import call

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    meters = Meters(version="1")
    meters.call(call())
    listener = Listener(meters, port=0, multiprocess_dir=directory)
    listener.start()
    try:
        assert scrape(listener.port)["costspan_workflow_cost_usd_total", "flow"] == 0.75
    finally:
        listener.stop()


def test_a_directory_that_cannot_be_used_costs_one_warning_and_this_process_is_still_served(tmp_path, caplog):
    from costspan import guard
    from costspan.account.meters import Meters
    from costspan.expose.listener import Listener

    guard.reset()
    (tmp_path / "file").write_text("")
    listener = Listener(Meters(version="1"), port=0, multiprocess_dir=tmp_path / "file" / "below")
    assert listener.start()
    try:
        assert scrape(listener.port)["costspan_build_info", "1"] == 1
    finally:
        listener.stop()
    assert [record for record in caplog.records if "PROMETHEUS_MULTIPROC_DIR" in record.getMessage()]
