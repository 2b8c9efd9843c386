"""From what is missing or odd in a trace to the one line that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.conventions import SCOPE
from costspan.intake.trace_health import Finding
from costspan.report.evidence import ASK_STREAM_USAGE
from costspan.report.figures import many
from costspan.report.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.intake.trace_health import TraceHealth


LANGCHAIN_STREAM: Final = "ChatOpenAI(..., stream_usage=True)"
OPENAI_STREAM: Final = 'client.chat.completions.create(..., stream=True, stream_options={"include_usage": True})'
LITELLM_STREAM: Final = 'litellm.completion(..., stream=True, stream_options={"include_usage": True})'
_LAYER_OFF: Final = (
    ("com.anthropic.sdk", "ANTHROPIC_OPEN_TELEMETRY=false"),
    ("openinference.instrumentation.openai_agents", "leave out OpenAIAgentsInstrumentor().instrument()"),
    ("openinference.instrumentation.openai", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai, or leave out OpenAIInstrumentor()"),
    ("openinference.instrumentation.anthropic", "leave out AnthropicInstrumentor().instrument()"),
    ("opentelemetry.instrumentation.genai.openai", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai"),
    ("opentelemetry.instrumentation.genai.anthropic", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=anthropic"),
    ("opentelemetry.instrumentation.openai", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai, or leave out OpenAIInstrumentor()"),
    ("opentelemetry.instrumentation.anthropic", "leave out AnthropicInstrumentor().instrument()"),
    ("opentelemetry.instrumentation.langchain", "leave out LangchainInstrumentor().instrument()"),
    ("openlit", 'openlit.init(disabled_instrumentors=["openai", "anthropic"])'),
    ("logfire.openai", "leave out logfire.instrument_openai()"),
    ("logfire.anthropic", "leave out logfire.instrument_anthropic()"),
)
_NO_TOKENS: Final = "its CrewAI package tells no tokens: switch on an instrumentation of the client too"
_LIMITS: Final = (
    ("openlit", "OpenLIT does not mark estimates: a stream without usage shows a guess as if it were reported"),
    ("openinference.instrumentation.crewai", _NO_TOKENS),
    ("opentelemetry.instrumentation.crewai", _NO_TOKENS),
    ("gcp.vertex.agent", "google-adk with LiteLLM counts reasoning tokens twice in the output (2.13)"),
)
_ODD: Final = {
    "inconsistent_usage": "usage that contradicts itself (parts greater than the whole)",
    "partial_usage": "a stream that ended before the final counts",
    "other_iterations_billed": "the provider billed further passes beside the answer, which are not counted",
}


def findings_of(health: TraceHealth) -> Iterator[Finding]:
    """Everything worth telling about a trace, the gravest first."""
    yield from _missing(health)
    yield from _unpriced(health)
    yield from _odd(health)
    yield from _estimated(health)
    yield from _duplicates(health)
    yield from _limits(health)
    yield from _owners(health)


def _missing(health: TraceHealth) -> Iterator[Finding]:
    for (reason, scope, provider, model), calls in health.missing.most_common():
        name, by = clean(model, ascii_only=True), clean(scope, ascii_only=True)
        told = f"{many(calls, 'call')} to {name} (told by {by}) without usage: "
        if reason == "stream_without_usage":
            yield Finding("stream", told + "streamed, and the provider was not asked for usage", stream_mend(scope, provider))
        elif reason == "aborted":
            yield Finding("aborted", told + "aborted; the provider bills what it had generated", "read streams to their end")
        elif reason == "error":
            yield Finding("error", told + "failed; if the provider billed it, nobody was told")
        else:
            yield Finding("missing", told + "its span says nothing of tokens", _missing_mend(scope))


def stream_mend(scope: str, provider: str) -> str:
    """What makes the emitter of these streams tell their usage."""
    if provider == "anthropic" or "anthropic" in scope:
        return "read the stream to its end: Anthropic tells usage in its last events"
    if scope == SCOPE:
        return ASK_STREAM_USAGE
    if "litellm" in scope:
        return LITELLM_STREAM
    if "langchain" in scope or scope in ("langfuse-sdk", "langsmith", "openlit.otel.tracing"):
        return LANGCHAIN_STREAM
    if "openai" in scope:
        return OPENAI_STREAM
    return f"{LANGCHAIN_STREAM} in LangChain; with the bare OpenAI client {OPENAI_STREAM}"


def _missing_mend(scope: str) -> str:
    if "crewai" in scope or "openai_agents" in scope:
        return "pip install opentelemetry-instrumentation-genai-openai: the client's own spans have the tokens"
    return ""


def _unpriced(health: TraceHealth) -> Iterator[Finding]:
    for (provider, model, reason), calls in health.unpriced.most_common():
        name = clean(model, ascii_only=True)
        what = f"{many(calls, 'call')} to {name}" + (f" of {clean(provider, ascii_only=True)}" if provider else "")
        if reason == "invalid_usage":
            yield Finding("usage", f"{what} not priced: the usage makes no sense")
        else:
            mend = "add the model to a price file and set COSTSPAN_PRICES=that file (docs/prices.md)"
            known = "provider unknown" if reason == "unknown_provider" else "model unknown"
            yield Finding("price", f"{what} without a price ({known})", mend)


def _odd(health: TraceHealth) -> Iterator[Finding]:
    for (problem, scope), calls in health.odd.most_common():
        text = _ODD.get(problem, problem.replace("_", " "))
        yield Finding("odd", f"{many(calls, 'call')} told by {clean(scope, ascii_only=True)}: {text}")


def _estimated(health: TraceHealth) -> Iterator[Finding]:
    for estimator, calls in health.estimated.most_common():
        yield Finding("estimate", f"{many(calls, 'call')} estimated by {clean(estimator, ascii_only=True)}, not reported")


def _duplicates(health: TraceHealth) -> Iterator[Finding]:
    for (kept, dropped), spans in health.report.duplicates.most_common():
        inner, outer = clean(dropped, ascii_only=True), clean(kept, ascii_only=True)
        told = (
            "spans of {} told again of calls that {} told of" if spans != 1 else "span of {} told again of a call that {} told of"
        )
        yield Finding("overlap", f"{spans:,} {told.format(inner, outer)}; counted once here", layer_off(dropped))


def layer_off(scope: str) -> str:
    """The line that switches off the emitter of this scope; empty when none is known."""
    line = next((line for start, line in _LAYER_OFF if scope.startswith(start)), "")
    return f"to have one layer only: {line}" if line else ""


def _limits(health: TraceHealth) -> Iterator[Finding]:
    for start, text in _LIMITS:
        calls = sum(count for scope, count in health.scopes.items() if scope.startswith(start))
        if calls:
            yield Finding("limit", f"{many(calls, 'call')} told by {start}: {text}")


def _owners(health: TraceHealth) -> Iterator[Finding]:
    if health.unattributed:
        billed = health.report.totals.calls
        yield Finding(
            "owner",
            f"{health.unattributed:,} of {many(billed, 'call')} belong to no agent",
            'name agents in code, for example create_agent(..., name="planner") or with costspan.agent("planner")',
        )
