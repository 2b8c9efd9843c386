"""Cost must not depend on the trace sampling rate: a wrapper that turns DROP into RECORD_ONLY for GenAI spans.

RECORD_ONLY spans reach span processors and are not exported. A program's own processors therefore see them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from costspan import guard
from costspan.conventions import SCOPE
from costspan.normalise.dialects import is_genai_scope, is_marked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind
    from opentelemetry.trace.span import TraceState
    from opentelemetry.util.types import Attributes


class Measuring(Sampler):
    """Asks the wrapped sampler; what it drops is still recorded when it may be, or lie beneath, a model call."""

    def __init__(self, inner: Sampler, *, always: bool) -> None:
        self.inner = inner
        self._always = always

    def should_sample(  # noqa: PLR0913 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002 - the wrapped sampler finds its own
    ) -> SamplingResult:
        answer = self.inner.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if answer.decision is not Decision.DROP:
            return answer
        if self._always or is_marked(attributes) or trace.get_current_span(parent_context).is_recording():
            return SamplingResult(Decision.RECORD_ONLY, attributes, answer.trace_state)
        return answer

    def get_description(self) -> str:
        return f"Costspan{{{self.inner.get_description()}}}"


class SamplerWrap:
    """Wraps the samplers of a provider and of every tracer that it gave out or will give out; `undo` takes it back."""

    def __init__(self, provider: Any, on_genai_scope: Callable[[], None]) -> None:
        self.provider = provider
        self._on_genai_scope = on_genai_scope
        self._tracers: list[Any] = []
        self._get_tracer: Any = None

    def apply(self) -> None:
        """Wrap. A provider without samplers (not the SDK's) is left alone: it decides for itself what it records."""
        provider = self.provider
        if not isinstance(getattr(provider, "sampler", None), Sampler):
            return
        for scope, tracer in list(getattr(provider, "_tracers", {}).items()):
            self._wrap(tracer, getattr(scope, "name", ""))
        self._get_tracer = original = provider.get_tracer

        def get_tracer(instrumenting_module_name: str, *args: Any, **kwargs: Any) -> Any:
            tracer = original(instrumenting_module_name, *args, **kwargs)
            with guard.Guard("sampler"):
                self._wrap(tracer, instrumenting_module_name)
            return tracer

        provider.get_tracer = get_tracer

    def _wrap(self, tracer: Any, scope: str) -> None:
        if scope != SCOPE and is_genai_scope(scope):
            self._on_genai_scope()
        inner = getattr(tracer, "sampler", None)
        if isinstance(inner, Sampler) and not isinstance(inner, Measuring):
            tracer.sampler = Measuring(inner, always=scope == SCOPE or is_genai_scope(scope))
            self._tracers.append(tracer)

    def undo(self) -> None:
        """Put the provider's own samplers back."""
        if self._get_tracer is None:
            return
        vars(self.provider).pop("get_tracer", None)
        self._get_tracer = None
        for tracer in self._tracers:
            if isinstance(tracer.sampler, Measuring):
                tracer.sampler = tracer.sampler.inner
        self._tracers.clear()
