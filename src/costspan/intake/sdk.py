"""The door in this process: OpenTelemetry's TracerProvider, ours or the user's (added to, never replaced)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from costspan import conventions as c
from costspan import guard
from costspan.intake.exporting import ExportNotes
from costspan.intake.foreign import Foreign
from costspan.intake.processor import Processor
from costspan.intake.sampling import SamplerWrap
from costspan.pipeline import call_attributes
from costspan.records import Call

if TYPE_CHECKING:
    from costspan.pipeline import Pipeline
    from costspan.settings import Settings


def find_provider(given: object, settings: Settings) -> tuple[Any, bool]:
    """(provider, ours?): the one given, else the global one, else a new one that becomes the global one.

    A new provider exports only what OpenTelemetry's variables ask for: nothing is opened unasked.
    """
    if given is not None:
        return given, False
    found = trace.get_tracer_provider()
    theirs = _is_a_vendors(found)
    if hasattr(found, "add_span_processor") and not theirs:
        return found, False
    provider = TracerProvider()
    with guard.Guard("trace exporter"):
        _add_exporters(provider, settings)
    if not theirs:
        trace.set_tracer_provider(provider)
    return provider, True


def _is_a_vendors(provider: Any) -> bool:
    """True for a global provider by which a framework sends spans to its maker: ours would go there too.

    CrewAI before 1.15 made its telemetry's provider the global one (crewai/telemetry/telemetry.py).
    """
    resource = getattr(provider, "resource", None)
    return resource is not None and resource.attributes.get("service.name") == "crewAI-telemetry"


def _add_exporters(provider: TracerProvider, settings: Settings) -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    for name in settings.traces:
        if name == "otlp":
            provider.add_span_processor(BatchSpanProcessor(_otlp_exporter()))
        elif name == "console":
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        else:
            guard.warn_once(
                f"OTEL_TRACES_EXPORTER {name}",
                f"OTEL_TRACES_EXPORTER={name} is not known here; use otlp, console or none, or set up your own TracerProvider",
            )


def _otlp_exporter() -> Any:
    """The standard exporter for the protocol that OpenTelemetry's variables name; http/protobuf by default."""
    import os

    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    if protocol.strip() == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http()


def carry_context_into_threads() -> Any:
    """Threads, timers and executors see the Context of whoever started them: that is where everybody loses the owner.

    The instrumentor that was switched on here, to be switched off again; None when somebody else already did it.
    """
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    instrumentor = ThreadingInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return None
    instrumentor.instrument()
    return instrumentor


class Measures:
    """Everything that is added to a provider: the processor, the sampler's wrapper, the exporters' notes."""

    def __init__(self, provider: Any, pipeline: Pipeline) -> None:
        self._notes = ExportNotes()
        self._pipeline = pipeline
        self.foreign = Foreign(pipeline)
        self._processor = Processor(self.foreign)
        self._sampler = SamplerWrap(provider, self.foreign.activate)
        pipeline.settling.on_foreign = self._note
        with guard.Guard("wrap exporters"):
            self._notes.wrap(provider)
        with guard.Guard("sampler"):
            self._sampler.apply()
        provider.add_span_processor(self._processor)

    def _note(self, span_id: int, told: Call | str) -> None:
        if isinstance(told, Call):
            self._notes.note(span_id, call_attributes(told, metered=self._pipeline.metered))
        else:
            self._notes.note(span_id, {c.DUPLICATE_OF: told})

    def undo(self) -> None:
        """Take everything out again. The SDK cannot remove a processor; ours then does nothing any more."""
        self.foreign.flush()
        self._processor.stop()
        self._sampler.undo()
        self._notes.unwrap()
