"""What goes wrong around a server: nothing that was acknowledged is lost, and a clear line says what to do."""

from __future__ import annotations

import concurrent.futures
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from costspan import guard
from costspan.errors import HistoryError, SettingsError
from costspan.history import queries, upkeep
from costspan.history.database import Database
from costspan.server.context import Options
from costspan.server.errors import RefusedError
from costspan.server.inbox import Parcel, decode
from costspan.server.serving import Server
from costspan.server.unpack import unpack
from history_parts import body
from otlp_build import agent, chat, request, to_json, to_protobuf, workflow
from serve_parts import BOOK, Bench, serving


def free_ports(count):
    found = [socket.socket() for _ in range(count)]
    for each in found:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports


def start_process(path, ports, **env):
    page, http, rpc = ports
    command = [sys.executable, "-m", "costspan", "serve", "--db", str(path), "--quiet", "0.3"]
    command += ["--port", str(page), "--http-port", str(http), "--grpc-port", str(rpc)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})


def wait_for(url, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(url)


def spans_of(path):
    database = Database(path)
    with database.reading() as db:
        (count,) = db.execute("SELECT count(*) FROM (SELECT DISTINCT trace, span_id FROM spans)").fetchone()
    problems = upkeep.check(database)
    database.close()
    return count, problems


KILLS = int(os.environ.get("COSTSPAN_KILLS", "4"))
"""docs/performance.md has the figures of a run with many more."""


@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * KILLS)
def test_kill_9_while_writing_loses_no_acknowledged_batch(tmp_path):
    path, ports = tmp_path / "history.db", free_ports(3)
    acknowledged, sent, trace = 0, 0, 0
    moments = random.Random(1)
    for _ in range(KILLS):
        server = start_process(path, ports)
        wait_for(f"http://127.0.0.1:{ports[0]}/healthz")
        killer = threading.Timer(moments.uniform(0.05, 0.9), server.kill)
        killer.start()
        with httpx.Client(timeout=20) as client:
            try:
                while True:
                    trace += 1
                    sent += 1
                    url = f"http://127.0.0.1:{ports[1]}/v1/traces"
                    answer = client.post(url, content=body(trace), headers={"Content-Type": "application/x-protobuf"})
                    acknowledged += answer.status_code == 200
            except httpx.HTTPError:
                pass
        server.wait()
        server.stderr.close()
        count, problems = spans_of(path)
        assert acknowledged * 5 <= count <= sent * 5
        assert problems == []
    server = start_process(path, ports)
    wait_for(f"http://127.0.0.1:{ports[0]}/healthz")
    until = time.monotonic() + 60
    while wait_for(f"http://127.0.0.1:{ports[0]}/health").json()["open_traces"] and time.monotonic() < until:
        time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    server.stderr.close()
    database = Database(path)
    with database.reading() as db:
        runs = db.execute("SELECT count(*) FROM runs").fetchone()[0]
        assert queries.total(db).calls == runs * 2
    assert runs >= acknowledged
    assert upkeep.check(database) == []
    database.close()
    print(f"{KILLS} kills: {acknowledged} batches acknowledged, {runs} found again of {sent} sent, the file sound each time")


def test_a_full_disk_refuses_until_there_is_room_and_says_so(tmp_path):
    bench = Bench(tmp_path / "history.db")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        with pytest.raises(RefusedError, match="make room on its disk") as refusal:
            for trace in range(1, 3000):
                bench.send(body(trace, calls=8))
                acknowledged += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (refusal.value.status, refusal.value.grpc, refusal.value.retry) == (503, "UNAVAILABLE", True)
    assert "make room" in bench.inbox.trouble
    bench.send(body(9000, calls=8))
    assert bench.inbox.trouble == ""
    bench.wait()
    assert bench.total().calls == (acknowledged + 1) * 8
    bench.close()


def test_a_locked_history_is_told_as_busy_and_settles_later(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("costspan.history.database.BUSY_SECONDS", 0.2)
    bench = Bench(tmp_path / "history.db")
    bench.send(body(1))
    holder = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RefusedError, match="locked by another program"):
        bench.send(body(2))
    with pytest.raises(HistoryError):
        bench.wait()
    holder.execute("ROLLBACK")
    bench.send(body(2))
    bench.wait()
    assert bench.total().calls == 4
    bench.close()


def test_a_taken_port_is_one_line_that_names_the_option(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"{port} for OTLP/HTTP: the port is taken; choose another with --http-port"):
            Server(tmp_path / "h.db", BOOK, Options(page_port=0, http_port=port, grpc_port=0))
        with pytest.raises(SettingsError, match="OTLP/gRPC.*--grpc-port"):
            Server(tmp_path / "h.db", BOOK, Options(page_port=0, http_port=0, grpc_port=port))


def test_a_public_address_needs_a_token_worth_the_name(tmp_path):
    with pytest.raises(SettingsError, match="set COSTSPAN_TOKEN"):
        Server(tmp_path / "h.db", BOOK, Options(host="0.0.0.0"))
    with pytest.raises(SettingsError, match="shorter than 16"):
        Server(tmp_path / "h.db", BOOK, Options(host="0.0.0.0", token="hunter2"))


def test_the_command_ends_with_one_line_and_code_2(tmp_path):
    (tmp_path / "history.db").write_bytes(b"no database" * 1000)
    server = start_process(tmp_path / "history.db", (0, 0, 0))
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "is damaged" in errors


@pytest.mark.timeout(180)
def test_two_hundred_clients_at_once_are_all_served(tmp_path):
    with serving(tmp_path / "history.db") as server:

        def client(number):
            with httpx.Client(timeout=120) as each:
                url, headers = f"{server.otlp}/v1/traces", {"Content-Type": "application/x-protobuf"}
                return [each.post(url, content=body(number * 10 + turn), headers=headers).status_code for turn in range(3)]

        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(client, range(1, 201)))
        assert [code for codes in answers for code in codes] == [200] * 600
        server.settled(90)
        assert server.total().calls == 600 * 2
        assert len(server.runs()) == 600


def test_too_much_at_once_is_told_to_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr("costspan.server.inbox.INFLIGHT_BYTES_MAX", 100)
    with serving(tmp_path / "history.db") as server:
        answer = server.post(body(1))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert server.server.health()["received"]["refused_busy"] == 1


class Upstream:
    """An OTLP/HTTP endpoint that can be switched off."""

    def __init__(self):
        self.spans = []
        self.status = 200
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                import gzip

                data = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                if upstream.status == 200:
                    message = ExportTraceServiceRequest.FromString(data)
                    upstream.spans += [s for r in message.resource_spans for ss in r.scope_spans for s in ss.spans]
                self.send_response(upstream.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, count, seconds=20):
        until = time.monotonic() + seconds
        while len(self.spans) < count and time.monotonic() < until:
            time.sleep(0.05)
        return {span.name + span.span_id.hex(): {pair.key: pair.value for pair in span.attributes} for span in self.spans}

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def upstream():
    made = Upstream()
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_spans_are_forwarded_with_cost_once_and_with_what_was_not_stored(tmp_path, upstream, kind):
    secret = {"gen_ai.input.messages": "what people wrote goes on untouched"}
    outer = chat(3, parent=2, at=1, seconds=2, attributes={"gen_ai.response.id": "r1", **secret})
    inner = chat(4, parent=3, at=1.2, seconds=1, attributes={"gen_ai.response.id": "r1"})
    framework = request(workflow(1, "w", seconds=9), agent(2, "a", parent=1, seconds=8), outer)
    sdk = request(inner, scope="opentelemetry.instrumentation.genai.openai")
    encode = to_json if kind.endswith("json") else to_protobuf
    with serving(tmp_path / "history.db", forward=upstream.url) as server:
        for document in (sdk, framework):
            assert server.post(encode(document), kind).status_code == 200
        found = upstream.wait_for(4)
        # The upstream has the spans a moment before their sending is counted.
        until = time.monotonic() + 20
        while (sent := server.server.health()["forward"])["sent_requests"] < 2 and time.monotonic() < until:
            time.sleep(0.02)
    priced = [attributes for attributes in found.values() if "gen_ai.usage.cost.amount" in attributes]
    assert len(found) == 4
    assert len(priced) == 1
    assert priced[0]["gen_ai.usage.cost.amount"].double_value == pytest.approx(0.00045)
    assert priced[0]["costspan.metered"].bool_value is True
    assert priced[0]["gen_ai.input.messages"].string_value == secret["gen_ai.input.messages"]
    assert [a["costspan.duplicate_of"].string_value for a in found.values() if "costspan.duplicate_of" in a] == [f"{3:016x}"]
    assert (sent["sent_requests"], sent["dropped_requests"]) == (2, 0)


def test_an_upstream_that_is_down_is_told_and_gets_everything_later(tmp_path, upstream):
    upstream.status = 503
    with serving(tmp_path / "history.db", forward=upstream.url) as server:
        for trace in range(1, 4):
            assert server.post(body(trace)).status_code == 200
        server.settled()
        until = time.monotonic() + 10
        while server.server.health()["forward"]["ok"] and time.monotonic() < until:
            time.sleep(0.05)
        told = server.server.health()["forward"]
        assert (told["ok"], told["waiting_requests"]) == (False, 3)
        assert "503" in told["trouble"]
        upstream.status = 200
        upstream.wait_for(15)
        assert len(upstream.spans) == 15
        assert server.server.health()["forward"]["ok"]


def test_what_waits_for_an_upstream_is_bounded_and_the_loss_told(tmp_path):
    from costspan.server.forward import Forwarder

    (port,) = free_ports(1)
    forwarder = Forwarder(f"http://127.0.0.1:{port}", buffer_bytes=10_000)
    for trace in range(1, 50):
        forwarder.take(Parcel(body(trace), is_json=False), {trace})
    told = forwarder.health()
    assert told["waiting_bytes"] <= 10_000
    assert told["waiting_requests"] + told["dropped_requests"] == 49
    forwarder.stop()


def test_an_hour_without_upstream_costs_a_bounded_buffer_and_few_tries(upstream, monkeypatch):
    """A request every ten seconds; the clock is the test's."""
    from costspan.server import forward

    now = [0.0]
    monkeypatch.setattr(forward, "time", SimpleNamespace(monotonic=lambda: now[0]))
    upstream.status = 503
    size = len(body(1000))
    forwarder = forward.Forwarder(upstream.url, buffer_bytes=60 * size)
    for second in range(3600):
        now[0] = float(second)
        if second % 10 == 0:
            trace = 1000 + second // 10
            forwarder.take(Parcel(body(trace), is_json=False), {trace})
            forwarder.settled((), {trace})
        forwarder._send_due(everything=False)
    told = forwarder.health()
    assert (told["ok"], told["waiting_requests"] + told["dropped_requests"]) == (False, 360)
    assert told["waiting_bytes"] <= 60 * size
    assert 55 <= told["waiting_requests"] <= 60
    assert told["failed_tries"] < 80
    assert "503" in told["trouble"]
    upstream.status = 200
    now[0] += 60
    forwarder._send_due(everything=False)
    assert forwarder.health()["sent_requests"] == told["waiting_requests"]
    assert forwarder.health()["ok"]
    names = [int.from_bytes(span.trace_id, "big") for span in upstream.spans]
    assert (min(names), max(names)) == (1360 - told["waiting_requests"], 1359)  # the newest are kept
    forwarder.stop()


def test_an_address_that_is_none_is_refused_at_once(tmp_path):
    with pytest.raises(SettingsError, match="is no address"):
        Server(tmp_path / "h.db", BOOK, Options(page_port=0, http_port=0, grpc_port=0, forward="collector:4318"))


# --- hostile bytes ----------------------------------------------------------------------------------------
VALID = body(1)
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    guard.reset()
    made = Bench(tmp_path_factory.mktemp("fuzz") / "history.db")
    yield made
    made.close()


@RELAXED
@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, len(VALID)), st.binary(max_size=20)).map(
    lambda cut: VALID[: cut[0]] + cut[1] + VALID[cut[0] + len(cut[1]) :])), st.booleans())  # fmt: skip
def test_any_bytes_are_taken_or_refused_and_never_more(bench, data, is_json):
    try:
        taken = bench.send(data, is_json=is_json)
    except RefusedError as refusal:
        assert refusal.status == 400
    else:
        assert taken.spans >= 0
    assert bench.inbox.trouble == ""
    assert guard.swallowed() == {}


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("9" * 400), st.just("ab" * 16)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([
                "resourceSpans", "resource", "scopeSpans", "scope", "spans", "attributes", "key", "value", "stringValue", "intValue",
                "doubleValue", "arrayValue", "kvlistValue", "values", "traceId", "spanId", "parentSpanId", "startTimeUnixNano",
                "endTimeUnixNano", "events", "status", "code", "name", "timeUnixNano", "gen_ai.operation.name",
            ]),
            inner, max_size=6,
        ),
    ),
    max_leaves=25,
)  # fmt: skip
ATTRIBUTES = st.dictionaries(
    st.sampled_from([
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens", "gen_ai.agent.name", "gen_ai.tool.name", "costspan.kind",
        "costspan.run.id", "costspan.fees", "costspan.stated_cost_usd", "openinference.span.kind", "llm.token_count.prompt", "service.name",
    ]),
    st.one_of(
        st.sampled_from(["chat", "invoke_agent", "execute_tool", "invoke_workflow", "gpt-5-mini", "openai", "LLM", "call", "run", "\ud800"]),
        st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=10), st.lists(st.text(max_size=3), max_size=3),
    ),
)  # fmt: skip
ID = st.sampled_from([f"{n:016x}" for n in range(4)])
SPANS = st.lists(
    st.fixed_dictionaries(
        {"traceId": st.sampled_from([f"{n:032x}" for n in range(3)]), "spanId": ID, "parentSpanId": ID, "attributes": ATTRIBUTES},
        optional={
            "startTimeUnixNano": st.one_of(st.integers(-5, 2**70), st.text(max_size=5)),
            "endTimeUnixNano": st.integers(-5, 2**70),
            "name": st.text(max_size=20),
            "status": st.fixed_dictionaries({"code": st.integers(0, 3), "message": st.text(max_size=5)}),
        },
    ),
    max_size=8,
)


@RELAXED
@given(st.one_of(JSON, SPANS.map(lambda spans: {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]})))
def test_any_json_is_taken_or_refused_settled_and_shown(bench, document):
    import json

    from costspan.expose.prometheus import registry_of

    try:
        bench.send(json.dumps(document).encode(), is_json=True)
    except RefusedError as refusal:
        assert refusal.status == 400
    bench.wait()
    assert bench.settler.open_count == 0
    assert len(bench.whole()) == len(bench.runs())
    for metric in registry_of(bench.meters).collect():
        assert metric.samples is not None
    assert bench.inbox.trouble == ""
    assert guard.swallowed() == {}


@RELAXED
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_any_packed_bytes_are_unpacked_or_refused(data, encoding):
    try:
        unpack(data, encoding, limit=10_000)
    except RefusedError as refusal:
        assert refusal.status in (400, 413)


def test_a_request_of_too_many_spans_is_taken_in_part(monkeypatch):
    monkeypatch.setattr("costspan.server.inbox.SPANS_MAX", 3)
    pairs, taken = decode(Parcel(body(1), is_json=False))
    assert (len(pairs), taken.rejected) == (3, 2)
    assert "more than 3 spans" in taken.message


def test_what_is_readable_of_a_damaged_request_is_taken():
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(VALID[:-30])
    pairs, taken = decode(Parcel(VALID[:-30], is_json=False))
    assert len(pairs) >= 3
    assert taken.rejected >= 1


def test_made_up_figures_cannot_make_sums_that_nothing_holds(tmp_path):
    made = Bench(tmp_path / "history.db")
    message = ExportTraceServiceRequest.FromString(body(1, calls=4))
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.start_time_unix_nano, span.end_time_unix_nano = 1, (1 << 63) - 1
        for pair in span.attributes:
            if pair.key.startswith("gen_ai.usage."):
                pair.value.int_value = 10**12
    made.send(message.SerializeToString())
    made.send(body(2))
    made.wait()
    assert made.total().calls == 6
    assert len(made.runs()) == 2
    made.close()
