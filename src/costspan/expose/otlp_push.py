"""Pushes the meters by OTLP: every interval, when asked, and a last time at the end. Never raises, never piles up.

The standard exporters of OpenTelemetry do the sending and read its variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`,
`_TIMEOUT`, … and the same with `_METRICS_`).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from costspan import forks, guard
from costspan.expose.otlp import metrics_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from costspan.account.meters import Meters

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
_EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
)
_sending: Final = threading.local()


def standard_exporter(environment: Mapping[str, str] | None = None) -> MetricExporter:
    """The exporter that OpenTelemetry's variables ask for; http/protobuf when they do not say."""
    env = os.environ if environment is None else environment
    protocol = env.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL") or HTTP
    if protocol.strip().lower() == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter()
    if protocol.strip().lower() != HTTP:
        message = f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r} is not one of {GRPC}, {HTTP}; metrics go by {HTTP}"
        guard.warn_once("otlp.protocol", message)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    return HttpExporter()


class OtlpPush:
    """Exports one `Meters` on a daemon thread, every `interval_seconds` and on `flush()`; 0 means only on `flush()`.

    `resource` names the service; a `service.instance.id` is added when it has none, and a forked child gets one of its
    own, because two processes that export under one identity overwrite each other's totals.
    """

    def __init__(
        self,
        meters: Meters,
        resource: Resource | None = None,
        *,
        interval_seconds: float = 60.0,
        version: str = "",
        exporter: Callable[[], MetricExporter] = standard_exporter,
    ) -> None:
        self._meters = meters
        self._resource = resource if resource is not None else Resource.create()
        if SERVICE_INSTANCE_ID not in self._resource.attributes:
            self._new_identity()
        self._interval = interval_seconds if interval_seconds > 0 else None
        self._version = version
        self._make = exporter
        self._exporter: MetricExporter | None = None
        self._left_to_parent: list[object] = []
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._wanted = 0
        self._done = 0
        self._succeeded = True
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to export. The exporter is made on the thread at its first export, off the host's start."""
        _warn_of_delta()
        _hush(add=True)
        _alive.add(self)
        self._run()

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Export now and wait; False when it failed or took longer."""
        return self._ask(timeout_seconds, closing=False)

    def shutdown(self, timeout_seconds: float = 5.0) -> bool:
        """Export a last time and end the thread; False when the last export failed. May be called twice."""
        if self._closing:
            return True
        succeeded = self._ask(timeout_seconds, closing=True)
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            with guard.Guard("otlp.shutdown"):
                exporter.shutdown()  # also ends its retries
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        _alive.discard(self)
        if not _alive:
            _hush(add=False)
        return succeeded

    def _ask(self, timeout_seconds: float, *, closing: bool) -> bool:
        if self._thread is None:
            self._run()
        with self._changed:
            self._closing = self._closing or closing
            self._wanted += 1
            ticket = self._wanted
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= ticket, timeout_seconds) and self._succeeded

    def _run(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="costspan-otlp-metrics", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        _sending.now = True
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted > self._done or self._closing, self._interval)
                ticket, closing = self._wanted, self._closing
            succeeded = self._export()
            with self._changed:
                self._done, self._succeeded = ticket, succeeded
                self._changed.notify_all()
            if closing:
                return

    def _export(self) -> bool:
        result = None
        with guard.Guard("otlp.export"):
            if self._exporter is None:
                with forks.loading():
                    self._exporter = self._make()
            data = metrics_data(self._meters, self._resource, version=self._version)
            result = self._exporter.export(data)
        if result is MetricExportResult.SUCCESS:
            return True
        endpoint = getattr(self._exporter, "_endpoint", "the OTLP endpoint")
        message = (
            f"metrics could not be exported to {endpoint}; check OTEL_EXPORTER_OTLP_ENDPOINT and that a Collector listens "
            "there. Nothing is lost while this process lives: every export carries all totals. Logged once"
        )
        guard.warn_once("otlp.export", message)
        return False

    def _new_identity(self) -> None:
        self._resource = self._resource.merge(Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}))

    def _after_fork(self) -> None:
        """In a child: an identity and connections of its own, and a thread once it has something to tell."""
        if self._exporter is not None:
            self._left_to_parent.append(self._exporter)  # kept, so that its connections are not closed from here
            self._exporter = None
        closing = self._closing
        self._begin()
        self._closing = closing
        self._new_identity()
        if not closing:
            self._meters.on_first += (self._start_in_child,)

    def _start_in_child(self) -> None:
        self._run()
        if "multiprocessing.util" in sys.modules:  # its children end without `atexit`
            from multiprocessing.util import Finalize

            Finalize(self, self.shutdown, exitpriority=0)


class _Hush(logging.Filter):
    """Drops what the exporters log about our own exports (a line per retry); everybody else's lines pass."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - it is about who logs, not what
        return not getattr(_sending, "now", False)


_HUSH: Final = _Hush()


def _hush(*, add: bool) -> None:
    for name in _EXPORTER_LOGGERS:
        logger = logging.getLogger(name)
        if add:
            logger.addFilter(_HUSH)
        else:
            logger.removeFilter(_HUSH)


def _warn_of_delta(environment: Mapping[str, str] | None = None) -> None:
    env = os.environ if environment is None else environment
    asked = env.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    if asked in ("delta", "lowmemory"):
        guard.warn_once(
            "otlp.temporality",
            "costspan's metrics are always cumulative; OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="
            f"{asked} is not followed (a Collector's cumulativetodelta processor converts them)",
        )


_alive: weakref.WeakSet[OtlpPush] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for push in list(_alive):
        with guard.Guard("otlp.fork"):
            push._after_fork()  # noqa: SLF001 - the hook of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
