"""OTLP over HTTP and gRPC: formats, packings, partial success, refusals, and the official exporters."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import zlib

import grpc
import httpx
import openai
import pytest
import zstandard
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import costspan
from otlp_build import chat, request, to_json, to_protobuf, workflow
from serve_parts import serving

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("serve") / "history.db") as running:
        yield running


_trace = iter(range(1000, 100_000))


def one_run():
    trace = next(_trace)
    return request(workflow(1, f"job {trace}", trace=trace, seconds=3), chat(2, trace=trace, parent=1, at=1)), f"job {trace}"


def stored(server, name):
    server.settled()
    return [run for run in server.runs() if run.workflow == name]


def zstd_stream(data):
    """As clients write it that do not know the length beforehand."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACKINGS = {
    None: lambda data: data,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd ": zstd_stream,
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_every_format_and_packing_is_taken(server, kind, packing):
    document, name = one_run()
    body = to_json(document) if kind.endswith("json") else to_protobuf(document)
    headers = {"Content-Encoding": packing.strip()} if packing else {}
    answer = server.post(PACKINGS[packing](body), kind, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content in (b"", b"{}")
    (run,) = stored(server, name)
    assert run.sums.calls == 1


def test_an_acknowledged_batch_is_on_disk(server):
    document, _ = one_run()
    server.post(to_protobuf(document))
    with server.server.database.reading() as db:
        (count,) = db.execute("SELECT count(*) FROM spans").fetchone()
    assert count >= 2


def test_grpc_takes_the_same(server):
    document, name = one_run()
    with grpc.insecure_channel(server.grpc) as channel:
        answer = channel.unary_unary(EXPORT)(to_protobuf(document), timeout=20)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert len(stored(server, name)) == 1


def bad_request():
    """A request of which one span has no id."""
    document, name = one_run()
    message = ExportTraceServiceRequest.FromString(to_protobuf(document))
    message.resource_spans[0].scope_spans[0].spans.add(trace_id=bytes(16), span_id=bytes(8), name="nothing")
    return message, name


def test_partial_success_is_answered_as_the_protocol_says(server):
    message, name = bad_request()
    answer = ExportTraceServiceResponse.FromString(server.post(message.SerializeToString()).content)
    assert answer.partial_success.rejected_spans == 1
    assert "no trace id" in answer.partial_success.error_message
    assert len(stored(server, name)) == 1


def test_partial_success_in_json_is_spelt_as_otlp_json(server):
    message, _ = bad_request()
    document = json_format.MessageToDict(message)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for key in ("traceId", "spanId", "parentSpanId"):
            span[key] = (
                "0" * (32 if key == "traceId" else 16) if span["name"] == "nothing" else f"{1:0{32 if key == 'traceId' else 16}x}"
            )
    answer = server.post(json.dumps(document).encode(), "application/json").json()
    assert answer["partialSuccess"]["rejectedSpans"] == "1"


def test_grpc_answers_partial_success_too(server):
    message, _ = bad_request()
    with grpc.insecure_channel(server.grpc) as channel:
        answer = channel.unary_unary(EXPORT)(message.SerializeToString(), timeout=20)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"),
    [
        (b"\xff\xff\xff not protobuf", "application/x-protobuf", {}, 400),
        (b"{not json", "application/json", {}, 400),
        (b"", "application/json", {}, 400),
        (b"{}", "text/plain", {}, 415),
        (b"xx", "application/json", {"Content-Encoding": "br"}, 415),
        (b"xx", "application/json", {"Content-Encoding": "gzip"}, 400),
        (b"xx", "application/json", {"Content-Encoding": "zstd"}, 400),
        (gzip.compress(b"{}")[:-6], "application/json", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(bytes(80 << 20)), "application/json", {"Content-Encoding": "gzip"}, 413),
        (zstandard.ZstdCompressor().compress(bytes(80 << 20)), "application/json", {"Content-Encoding": "zstd"}, 413),
        (zstd_stream(bytes(80 << 20)), "application/json", {"Content-Encoding": "zstd"}, 413),
        (zlib.compress(bytes(80 << 20)), "application/json", {"Content-Encoding": "deflate"}, 413),
        (bytes(17 << 20), "application/x-protobuf", {}, 413),
    ],
    ids=(
        "no-protobuf no-json nothing kind coding no-gzip no-zstd cut-gzip gzip-bomb zstd-bomb zstd-stream-bomb deflate-bomb large"
    ).split(),
)
def test_what_cannot_be_taken_is_refused_with_a_line(server, body, kind, headers, status):
    answer = server.post(body, kind, **headers)
    assert answer.status_code == status
    if kind.endswith("json"):
        assert len(answer.json()["message"]) > 10
    elif kind == "text/plain":
        assert answer.text.startswith("costspan: Content-Type 'text/plain'")
    else:
        assert len(Status.FromString(answer.content).message) > 10
    assert httpx.get(f"{server.page}/healthz").text == "ok\n"


def test_grpc_refuses_damage_and_bombs(server):
    with grpc.insecure_channel(server.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        send = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as damaged:
            send(b"\xff\xff\xff", timeout=20)
        with pytest.raises(grpc.RpcError) as bomb:
            send(bytes(60 << 20), timeout=30, compression=grpc.Compression.Gzip)
    assert damaged.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert bomb.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert httpx.get(f"{server.page}/healthz").text == "ok\n"


def test_metrics_and_logs_are_answered_and_dropped(server):
    before = server.server.health()["received"]["ignored_requests"]
    for path in ("metrics", "logs"):
        assert (
            httpx.post(f"{server.otlp}/v1/{path}", content=b"x", headers={"Content-Type": "application/x-protobuf"}).status_code
            == 200
        )
    assert server.server.health()["received"]["ignored_requests"] == before + 2


def test_headers_beyond_the_limit_are_refused(server):
    answer = server.post(b"{}", "application/json", **{"X-Long": "y" * 40_000})
    assert answer.status_code in (400, 431)


def test_clients_that_never_finish_their_headers_or_body_are_hung_up_on(server, monkeypatch):
    monkeypatch.setattr("costspan.server.listening.HEADER_SECONDS", 0.5)
    monkeypatch.setattr("costspan.server.otlp_http.BODY_SECONDS", 0.5)
    host, port = server.otlp.removeprefix("http://").split(":")
    silent = socket.create_connection((host, int(port)))
    halfway = socket.create_connection((host, int(port)))
    halfway.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nX-A: ")
    slow = socket.create_connection((host, int(port)))
    slow.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    began = time.monotonic()
    for each in (silent, halfway, slow):
        each.settimeout(10)
        answer = each.recv(1000)
        assert answer == b"" or b" 408 " in answer
        each.close()
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("protocol", ["http", "http gzip", "grpc"])
def test_the_official_exporters_bring_what_the_provider_billed(protocol, tmp_path, provider):
    """costspan in the program, its spans over the SDK's own exporter, the server's totals against the provider's log."""
    with serving(tmp_path / "history.db") as server:
        exporter = {
            "http": lambda: OTLPSpanExporter(f"{server.otlp}/v1/traces"),
            "http gzip": lambda: OTLPSpanExporter(f"{server.otlp}/v1/traces", compression=Compression.Gzip),
            "grpc": lambda: GrpcExporter(f"http://{server.grpc}", insecure=True),
        }[protocol]()
        tracers = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(exporter))
        costspan.enable(tracer_provider=tracers, summary=False)
        try:
            client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
            with costspan.run("checkout"):
                for number in range(5):
                    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"question {number}"}])
        finally:
            costspan.disable()
            tracers.shutdown()
        server.settled()
        billed = [entry.usage for entry in provider.log]
        total = server.total()
        assert total.calls == len(billed) == 5
        assert total.input_tokens == sum(usage.input_tokens for usage in billed)
        assert total.output_tokens == sum(usage.output_tokens for usage in billed)
        (run,) = server.runs()
        assert (run.workflow, run.service, run.outcome) == ("checkout", "shop", "ok")
        assert run.sums.cost_nano == total.cost_nano > 0
        page = httpx.get(f"{server.page}/metrics").text
        assert 'costspan_runs_total{outcome="ok",workflow="checkout"} 1.0' in page


SHORT = """
import sys, costspan, openai
costspan.enable(summary=False)
client = openai.OpenAI(base_url=sys.argv[1], api_key="none")
with costspan.run("nightly"):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "one question"}])
"""


@pytest.mark.parametrize(
    ("variables", "counted"),
    [({}, 2), ({"OTEL_METRICS_EXPORTER": "none"}, 2), ({"OTEL_METRICS_EXPORTER": "prometheus"}, 0)],
    ids=["otlp", "none", "prometheus"],
)
def test_metrics_go_on_counting_across_the_lives_of_short_programs(variables, counted, tmp_path, provider):
    """One variable is enough; what a program gives to Prometheus itself is not counted a second time."""
    with serving(tmp_path / "history.db") as server:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "OTEL_EXPORTER_PROMETHEUS_PORT": "0", **variables}
        for _ in range(2):
            words = [sys.executable, "-c", SHORT, provider.openai_url]
            done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=100, check=False)
            assert done.returncode == 0, done.stderr
        server.settled()
        assert server.total().calls == len(provider.log) == 2
        page = httpx.get(f"{server.page}/metrics").text
        found = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith("costspan_calls_total{")]
        assert sum(map(float, found)) == counted
