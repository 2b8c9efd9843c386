"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from costspan import guard
from costspan.testing import FakeProvider, Measured, measure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nothing_swallowed_yet() -> None:
    """Each test begins without what the tests before it have let fail, and hears every line that is said once."""
    guard.reset()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake provider on loopback (see `costspan.testing`), seed 1."""
    with FakeProvider(seed=1) as running:
        yield running


@pytest.fixture
def seen() -> Iterator[Measured]:
    """costspan switched on for every framework, with what it sees kept in memory (see `costspan.testing.measure`)."""
    with measure() as measured:
        yield measured


@pytest.fixture(scope="module")
def quick_collections() -> Iterator[None]:
    """What is there already is left out of garbage collections, which would take most of a module's time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class OtlpSink:
    """A loopback OTLP/HTTP receiver that keeps what it was sent."""

    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)

    def _requests(self, path, kind):
        for where, body in self.bodies:
            if where == path:
                message = kind()
                message.ParseFromString(body)
                yield message

    def spans(self):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = self._requests("/v1/traces", ExportTraceServiceRequest)
        return [span for each in found for one in each.resource_spans for two in one.scope_spans for span in two.spans]

    def resource(self, key):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for each in self._requests("/v1/traces", ExportTraceServiceRequest):
            for attribute in each.resource_spans[0].resource.attributes:
                if attribute.key == key:
                    return attribute.value.string_value
        return None

    def metric_sum(self, name):
        """The sum over the series of a counter, as it was last told."""
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        totals = {}
        for each in self._requests("/v1/metrics", ExportMetricsServiceRequest):
            for metric in (m for one in each.resource_metrics for two in one.scope_metrics for m in two.metrics):
                if metric.name == name:
                    for point in metric.sum.data_points:
                        key = tuple(sorted((a.key, a.value.string_value) for a in point.attributes))
                        totals[key] = point.as_int or point.as_double
        return sum(totals.values())


@pytest.fixture
def otlp_sink() -> Iterator[OtlpSink]:
    """A receiver for the OTLP exporters of a program under test."""
    sink = OtlpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            import gzip

            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.bodies.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sink.url = f"http://127.0.0.1:{server.server_port}"
    yield sink
    server.shutdown()
    server.server_close()
    thread.join()
