"""Cost on other people's spans: their attributes are frozen when they end, so it is added on the way to the exporter.

The batch processors that are on the provider hand a rebuilt span (2.6 us) to their exporter. Simple processors export inside
`on_end`, before the price is known, and processors added later are not seen: for those, cost is in metrics and records only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from costspan import guard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTES_MAX: Final = 20_000


class ExportNotes:
    """Attributes that wait for their span to be exported, bounded; and the exporters that are told."""

    def __init__(self) -> None:
        self._notes: OrderedDict[int, Mapping[str, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._wrapped: list[tuple[Any, Any]] = []

    def note(self, span_id: int, attributes: Mapping[str, Any]) -> None:
        """Add `attributes` to the span when it is exported."""
        with self._lock:
            self._notes[span_id] = attributes
            if len(self._notes) > NOTES_MAX:
                self._notes.popitem(last=False)

    def wrap(self, provider: Any) -> None:
        """Wrap the exporters of the batch processors that are on `provider` now."""
        active = getattr(provider, "_active_span_processor", None)
        for processor in getattr(active, "_span_processors", ()):
            exporter = getattr(processor, "span_exporter", None)
            if isinstance(processor, BatchSpanProcessor) and exporter is not None:
                with guard.Guard("wrap exporter"):
                    self._wrap(exporter)

    def _wrap(self, exporter: Any) -> None:
        original = exporter.export

        def export(spans: Sequence[ReadableSpan]) -> Any:
            with guard.Guard("export"):
                spans = self._noted(spans)
            return original(spans)

        exporter.export = export
        self._wrapped.append((exporter, export))

    def _noted(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        if not self._notes:
            return spans
        with self._lock:
            found = [self._notes.pop(span.context.span_id, None) if span.context is not None else None for span in spans]
        return [rebuilt(span, more) if more else span for span, more in zip(spans, found, strict=True)]

    def unwrap(self) -> None:
        """Give the exporters their own methods back."""
        for exporter, ours in self._wrapped:
            if vars(exporter).get("export") is ours:
                del exporter.export
        self._wrapped.clear()


def rebuilt(span: ReadableSpan, more: Mapping[str, Any]) -> ReadableSpan:
    """The same span with more attributes."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **more},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
