"""A real OTLP/HTTP receiver for metrics on loopback, and what it received in plain form."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


class Receiver:
    """`requests` are decoded; `answer` is the status it gives."""

    def __init__(self):
        self.requests = []
        self.answer = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.answer == 200:
                    receiver.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(receiver.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def values(self, request=None):
        """(instrument, sorted label pairs) -> value, or (count, sum, bucket counts), of one request (the last)."""
        found = {}
        for metric, _, point in points(request or self.requests[-1]):
            key = (metric.name, tuple(sorted((a.key, a.value.string_value) for a in point.attributes)))
            if metric.WhichOneof("data") == "histogram":
                found[key] = (point.count, point.sum, tuple(point.bucket_counts))
            else:
                found[key] = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
        return found


def points(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    yield metric, kind, point


def resource_of(request):
    return {a.key: a.value.string_value for a in request.resource_metrics[0].resource.attributes}


@contextmanager
def receiving():
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
