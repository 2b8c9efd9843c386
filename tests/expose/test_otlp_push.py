"""Pushing: when, to whom, under which identity, and what happens when nobody listens."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

import pytest
from opentelemetry.sdk.resources import Resource

from costspan import guard
from costspan.account.meters import Meters
from costspan.expose.otlp_push import OtlpPush, standard_exporter
from meter_cases import call
from otlp_receiver import receiving, resource_of

COST = ("costspan.workflow_cost_usd", (("workflow", "flow"),))


@pytest.fixture
def meters():
    guard.reset()
    return Meters(version="1")


@pytest.fixture
def receiver(monkeypatch):
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_flush_exports_now_to_the_endpoint_of_the_standard_variable(meters, receiver):
    meters.call(call())
    push = OtlpPush(meters, Resource({"service.name": "agent"}), version="1.2")
    push.start()
    assert push.flush()
    push.shutdown()
    assert receiver.values(receiver.requests[0])[COST] == 0.75
    assert resource_of(receiver.requests[0])["service.name"] == "agent"
    assert receiver.requests[0].resource_metrics[0].scope_metrics[0].scope.name == "costspan"
    assert receiver.requests[0].resource_metrics[0].scope_metrics[0].scope.version == "1.2"


def test_it_exports_by_itself_at_every_interval(meters, receiver):
    push = OtlpPush(meters, interval_seconds=0.05)
    push.start()
    eventually(lambda: len(receiver.requests) >= 3)
    push.shutdown()


def test_shutdown_exports_what_was_booked_last_and_ends_the_thread(meters, receiver):
    before = threading.active_count()
    push = OtlpPush(meters)
    push.start()
    meters.call(call())
    assert push.shutdown()
    assert push.shutdown()
    assert receiver.values()[COST] == 0.75
    assert len(receiver.requests) == 1
    eventually(lambda: threading.active_count() <= before + 1)


def test_grpc_is_used_when_the_standard_variable_says_so(meters, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

    received = []

    class Service(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request, context):
            received.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    meters.call(call())
    push = OtlpPush(meters)
    push.start()
    try:
        assert push.shutdown(timeout_seconds=10)
    finally:
        server.stop(0).wait()
    assert len(received) == 1


@pytest.mark.parametrize(
    ("environment", "module"),
    [
        ({}, "http"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"}, "http"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http"),
    ],
)
def test_the_protocol_follows_the_standard_variables(environment, module):
    exporter = standard_exporter(environment)
    assert f".{module}." in type(exporter).__module__
    exporter.shutdown()


def test_a_missing_collector_costs_one_line_and_nothing_is_lost_when_it_comes_back(meters, receiver, caplog):
    receiver.answer = 400
    push = OtlpPush(meters, interval_seconds=0)
    push.start()
    meters.call(call())
    for _ in range(3):
        assert push.flush() is False
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert receiver.endpoint in caplog.text
    receiver.answer = 200
    assert push.flush()
    assert receiver.values()[COST] == 0.75
    push.shutdown()


def test_with_nobody_listening_the_end_is_not_held_up(meters, monkeypatch, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        push = OtlpPush(meters)
        push.start()
        started = time.monotonic()
        assert push.shutdown(timeout_seconds=0.5) is False
        assert time.monotonic() - started < 3


def test_the_hosts_own_exporter_still_logs_its_failures(meters, receiver, caplog):
    receiver.answer = 400
    push = OtlpPush(meters, interval_seconds=0)
    push.start()
    try:
        from opentelemetry.sdk.metrics.export import MetricsData

        exporter = standard_exporter()
        exporter.export(MetricsData([]))
        exporter.shutdown()
        assert "Failed to export" in caplog.text
    finally:
        push.shutdown()


def test_every_process_has_an_identity_of_its_own(meters, receiver):
    meters.call(call())
    push = OtlpPush(meters, Resource({"service.name": "agent", "service.instance.id": "given"}), interval_seconds=0)
    push.start()
    assert push.flush()
    assert resource_of(receiver.requests[-1])["service.instance.id"] == "given"
    child = os.fork()
    if child == 0:
        try:
            meters.call(call())
            meters.call(call())
            os._exit(0 if push.shutdown() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    identity = resource_of(receiver.requests[-1])["service.instance.id"]
    assert identity != "given"
    assert receiver.values()[COST] == 1.5
    assert push.shutdown()
    assert resource_of(receiver.requests[-1])["service.instance.id"] == "given"
    assert receiver.values()[COST] == 0.75


def test_without_an_identity_one_is_made(meters, receiver):
    push = OtlpPush(meters, Resource({}), interval_seconds=0)
    push.start()
    push.shutdown()
    assert len(resource_of(receiver.requests[0])["service.instance.id"]) == 36


def test_a_forked_child_that_counts_nothing_starts_nothing(meters, receiver):
    push = OtlpPush(meters, interval_seconds=0.05)
    push.start()
    child = os.fork()
    if child == 0:
        # By name: whatever other tests left in this process may start threads of its own in a child.
        os._exit(sum(thread.name == "costspan-otlp-metrics" for thread in threading.enumerate()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "costspan-otlp-metrics" in [thread.name for thread in threading.enumerate()]
    push.shutdown()


_METERS = []


def _work(_):
    _METERS[0].call(call())


def test_a_multiprocessing_child_exports_before_it_ends(meters, receiver):
    import multiprocessing

    _METERS[:] = [meters]
    push = OtlpPush(meters, interval_seconds=0)
    push.start()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(0,))
    process.start()
    process.join(20)
    assert [receiver.values(request).get(COST) for request in receiver.requests] == [0.75]
    push.shutdown()


def test_delta_is_not_followed_and_said_once(meters, receiver, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    for _ in range(2):
        push = OtlpPush(meters, interval_seconds=0)
        push.start()
        push.shutdown()
    assert len([record for record in caplog.records if "cumulativetodelta" in record.getMessage()]) == 1
    assert receiver.requests[0].resource_metrics[0].scope_metrics[0].metrics[0].WhichOneof("data")
