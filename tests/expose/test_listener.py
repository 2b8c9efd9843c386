"""The HTTP side of the metrics: what each path answers, a port that is taken, the end, and a fork."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import threading
import urllib.error
import urllib.request

import pytest

from costspan import guard
from costspan.account.meters import Meters
from costspan.expose.listener import Listener, runs_page
from meter_cases import T0, active, call


@pytest.fixture
def meters():
    guard.reset()
    return Meters(version="1", active_runs=lambda: [active("young", started_ns=T0 + 9), active("old", usd="1.50")])


@pytest.fixture
def listener(meters):
    listener = Listener(meters, port=0)
    assert listener.start()
    yield listener
    listener.stop()


def get(listener, path="/metrics", **headers):
    request = urllib.request.Request(listener.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers, answer.read()


def test_metrics_are_served_on_loopback_in_the_format_that_is_asked_for(meters, listener):
    meters.call(call())
    headers, body = get(listener, Accept="application/openmetrics-text; version=1.0.0")
    assert listener.url.startswith("http://127.0.0.1:")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    headers, body = get(listener, Accept="text/plain")
    assert headers["Content-Type"].startswith("text/plain")
    assert b"costspan_workflow_cost_usd_total" in body


def test_answers_are_gzipped_for_who_accepts_it(listener):
    headers, body = get(listener, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert b"costspan_build_info" in gzip.decompress(body)


def test_one_family_can_be_asked_for_by_name(meters, listener):
    meters.call(call())
    _, body = get(listener, "/metrics?name[]=costspan_workflow_cost_usd_total")
    assert b"costspan_workflow_cost_usd_total" in body
    assert b"costspan_calls_total" not in body


def test_debug_runs_shows_the_runs_in_flight_longest_first(listener):
    headers, body = get(listener, "/debug/runs")
    page = json.loads(body)
    assert headers["Content-Type"] == "application/json"
    assert page["pid"] == os.getpid()
    assert [run["workflow"] for run in page["runs"]] == ["old", "young"]
    assert page["runs"][0]["cost_usd"] == "1.50"
    assert set(page["runs"][0]) == {
        "id", "trace_id", "workflow", "calls", "tokens", "cost_usd", "started_at", "duration_seconds",
    }  # fmt: skip


def test_a_clock_that_jumps_back_makes_no_negative_duration():
    meters = Meters(active_runs=lambda: [active("flow")])
    assert runs_page(meters, now_ns=T0 - 5)["runs"][0]["duration_seconds"] == 0


def test_debug_runs_tells_what_was_folded_into_other(meters, listener):
    for number in range(300):
        meters.tool(f"tool {number}", "a")
    assert json.loads(get(listener, "/debug/runs")[1])["folded"]["costspan_tool_calls_total"] > 0


def test_other_paths_are_not_found_and_say_what_there_is(listener):
    with pytest.raises(urllib.error.HTTPError) as failure:
        get(listener, "/secrets")
    assert failure.value.code == 404
    assert b"/debug/runs" in failure.value.read()


def test_nothing_is_printed(listener, capfd):
    get(listener)
    with socket.create_connection(("127.0.0.1", listener.port)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        connection.recv(100)
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_costs_one_warning_that_names_the_process_and_the_cure(meters, listener, caplog):
    second = Listener(meters, port=listener.port)
    third = Listener(meters, port=listener.port)
    with caplog.at_level(logging.WARNING, "costspan"):
        assert not second.start()
        assert not third.start()
    second.stop()
    third.stop()
    (message,) = [record.getMessage() for record in caplog.records]
    assert str(os.getpid()) in message
    assert str(listener.port) in message
    assert "OTEL_EXPORTER_PROMETHEUS_PORT" in message
    get(listener)


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1"])
def test_an_address_that_is_not_ours_costs_one_warning(meters, caplog, host):
    listener = Listener(meters, host=host, port=0)
    assert not listener.start()
    listener.stop()
    assert len(caplog.records) == 1


def test_after_stop_the_port_is_free_and_no_thread_is_left(meters):
    before = set(threading.enumerate())
    first = Listener(meters, port=0)
    first.start()
    port = first.port
    first.stop()
    first.stop()
    assert set(threading.enumerate()) <= before
    second = Listener(meters, port=port)
    assert second.start()
    second.stop()


def test_a_failing_callback_does_not_fail_the_scrape(listener, meters):
    meters._active_runs = lambda: 1 / 0
    _, body = get(listener)
    assert b'costspan_internal_errors_total{where="meters.active_runs"}' in body
    assert json.loads(get(listener, "/debug/runs")[1])["runs"] == []


def in_child(work):
    """Run `work` in a forked child; what it returns, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def test_a_forked_child_gives_the_port_back_and_warns_once_when_it_counts(meters, listener):
    heard = []

    class Ears(logging.Handler):
        def emit(self, record):
            heard.append(record.getMessage())

    logging.getLogger("costspan").addHandler(ears := Ears())
    meters.call(call())

    def child():
        assert not listener.serving
        before = len(heard)
        meters.call(call())
        meters.call(call())
        return f"{before} {len(heard)} {str(os.getpid()) in heard[-1]} {'PROMETHEUS_MULTIPROC_DIR' in heard[-1]}"

    try:
        assert in_child(child) == "0 1 True True"
    finally:
        logging.getLogger("costspan").removeHandler(ears)
    _, body = get(listener)
    assert b'costspan_workflow_cost_usd_total{workflow="flow"} 0.75' in body


def test_a_child_that_outlives_its_parents_listener_does_not_hold_the_port(meters):
    listener = Listener(meters, port=0)
    listener.start()
    read, write = os.pipe()
    ready, is_ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(is_ready, b"x")
        os.read(read, 1)
        os._exit(0)
    os.read(ready, 1)
    port = listener.port
    listener.stop()
    again = Listener(meters, port=port)
    try:
        assert again.start()
    finally:
        again.stop()
        os.write(write, b"x")
        os.waitpid(child, 0)


def test_importing_the_meters_loads_no_exporter_and_no_server():
    import subprocess
    import sys

    program = (
        "import sys, costspan.account.meters as m; m.Meters()\n"
        "heavy = {'prometheus_client', 'opentelemetry', 'http.server', 'wsgiref', 'requests', 'grpc'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
