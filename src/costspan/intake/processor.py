"""Other people's spans in this process: a SpanProcessor that knows who they belong to and what they mean.

Our own spans are accounted for by `instrument/spans.py` before they end and are passed over here. Whatever runs inside one of
our units finds it in its Context. Foreign agents, tools and workflows open nodes too, kept by span id while they are open;
spans in between only pass their parent's on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from costspan import guard
from costspan.conventions import AGENT_NAME, SCOPE
from costspan.instrument.spans import UNIT, Unit
from costspan.normalise.dialects import is_genai_scope, is_marked
from costspan.readings import SpanRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from costspan.intake.foreign import Foreign


_STARTING: Final = guard.Guard("processor.on_start")
_ENDING: Final = guard.Guard("processor.on_end")


class Processor(SpanProcessor):
    """Feeds foreign GenAI spans into the pipeline. Everything it does is guarded; it exports nothing."""

    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign
        self._stopped = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        scope = span.instrumentation_scope
        name = "" if scope is None else scope.name
        if name == SCOPE or self._stopped:
            return  # ours, before anything else: this is on the way of every call
        with _STARTING:
            context = span.context
            if context is None:
                return
            if not (is_genai_scope(name) or is_marked(span.attributes)):
                parent = span.parent
                if parent is not None:
                    self._foreign.passes(context.trace_id, context.span_id, parent.span_id)
                return
            owner = self._foreign.started(to_record(span), _unit(parent_context))
            if owner.agent and AGENT_NAME not in (span.attributes or ()):
                # The convention has no agent on a model call; with it every backend can group by agent.
                span.set_attribute(AGENT_NAME, owner.agent)

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        name = "" if scope is None else scope.name
        if name == SCOPE or self._stopped:
            return
        with _ENDING:
            context = span.context
            if context is None:
                return
            if is_genai_scope(name) or is_marked(span.attributes):
                self._foreign.ended(to_record(span))
            else:
                self._foreign.passed(context.trace_id, context.span_id)

    def stop(self) -> None:
        """Do nothing from now on."""
        self._stopped = True

    def shutdown(self) -> None:
        with guard.Guard("processor.shutdown"):
            self._foreign.flush()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface
        with guard.Guard("processor.flush"):
            self._foreign.flush()
        return True


def _unit(parent_context: Context | None) -> Unit | None:
    if parent_context is None:
        from opentelemetry import context as otel_context

        found = otel_context.get_value(UNIT)
    else:
        found = parent_context.get(UNIT)
    return found if isinstance(found, Unit) else None


def to_record(span: ReadableSpan) -> SpanRecord:
    """An SDK span in neutral form. Attributes are the span's own mapping, not copied."""
    context, scope = span.context, span.instrumentation_scope
    parent = span.parent
    events = span.events
    return SpanRecord(
        context.trace_id if context is not None else 0,
        context.span_id if context is not None else 0,
        parent.span_id if parent is not None else 0,
        span.name,
        scope.name if scope is not None else "",
        (scope.version or "") if scope is not None else "",
        span.start_time or 0,
        span.end_time or 0,
        span.attributes or {},
        [(event.name, event.timestamp, event.attributes or {}) for event in events] if events else (),
        span.status.status_code is StatusCode.ERROR,
        span.status.description or "",
        span.resource.attributes,
    )
