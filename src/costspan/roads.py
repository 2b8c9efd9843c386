"""The ways out of this process for its figures: `/metrics`, OTLP, the history on disk. Nothing is opened unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costspan import __version__, guard
from costspan.conventions import ELSEWHERE, OTLP, PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.account.meters import Meters
    from costspan.settings import Settings


def opened(settings: Settings, meters: Meters, provider: Any) -> Iterable[Any]:
    """The ways out for metrics: what OpenTelemetry's variable or the caller names, nothing unasked."""
    for name in settings.metrics:
        if name == "prometheus":
            from costspan.expose.listener import Listener

            listener = Listener(
                meters,
                host=settings.prometheus_host,
                port=settings.prometheus_port,
                multiprocess_dir=settings.multiprocess_dir,
            )
            listener.start()
            yield listener
        elif name == "otlp":
            from costspan.expose.otlp_push import OtlpPush

            push = OtlpPush(
                meters, provider.resource, interval_seconds=settings.metric_export_interval_seconds, version=__version__
            )
            push.start()
            yield push
        else:
            guard.warn_once(f"metrics {name}", f"metrics exporter {name!r} is not known here; use prometheus, otlp or none")


def taken(settings: Settings) -> str | None:
    """By which road the figures of this process go, for those who get its spans too."""
    if "otlp" not in settings.metrics:
        return PROMETHEUS if settings.metrics else None
    if len(settings.metrics) > 1:
        return ELSEWHERE
    return OTLP if settings.metrics_go_with_spans else ELSEWHERE


def history(settings: Settings, provider: Any) -> Any:
    """The sink that keeps runs on disk, if that is wanted; it is flushed and stopped like a road of the metrics."""
    if settings.history is None:
        return None
    from costspan.history.span_store import environment_of, service_of
    from costspan.history.writer import Writer

    resource = getattr(getattr(provider, "resource", None), "attributes", {})
    return Writer(settings.history, service=service_of(resource), environment=environment_of(resource))
