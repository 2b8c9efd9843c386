"""`read`: what one span means, whoever wrote it.

The emitter is known by its instrumentation scope; for scopes that nobody knows, by an attribute that only one dialect
writes. What a scope leads to is looked up once and remembered, so a span that has nothing to do with models costs one
dictionary look-up for a known scope and a few for an unknown one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise import (
    span_claude_code,
    span_costspan,
    span_genai,
    span_google_adk,
    span_langfuse,
    span_langsmith,
    span_mlflow,
    span_openinference,
    span_openlit,
    span_openllmetry,
    span_pydantic_ai,
    span_strands,
    span_vercel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from costspan.readings import Reading, SpanRecord

    Reader = Callable[[SpanRecord], Reading | None]

_SCOPES: Final[dict[str, Reader]] = {
    c.SCOPE: span_costspan.read,
    "langfuse-sdk": span_langfuse.read,
    "pydantic-ai": span_pydantic_ai.read_pydantic_ai,
    "logfire.openai": span_pydantic_ai.read_logfire,
    "logfire.anthropic": span_pydantic_ai.read_logfire,
    span_strands.SCOPE: span_strands.read,
    span_google_adk.SCOPE: span_google_adk.read,
    span_claude_code.SCOPE: span_claude_code.read,
    "ai": span_vercel.read,
    "gen_ai": span_vercel.read_v7,
    "opentelemetry.instrumentation.openai_v2": span_genai.read_official,
}
_STARTS: Final[tuple[tuple[str, Reader], ...]] = (
    ("openinference.", span_openinference.read),
    (span_openlit.PREFIX, span_openlit.read),
    ("opentelemetry.instrumentation.genai.", span_genai.read_official),
    ("com.anthropic.sdk", span_genai.read_anthropic_sdk),
    ("com.anthropic.claude_code", span_claude_code.read),
    ("@arizeai/openinference-", span_openinference.read),
    ("@traceloop/instrumentation-", span_openllmetry.read),
)
"""Scopes of a family; the first match counts."""
_OPENLLMETRY: Final = frozenset(
    {
        "traceloop.tracer",
        "traceloop.sdk",
        "opentelemetry.instrumentation.agno",
        "opentelemetry.instrumentation.alephalpha",
        "opentelemetry.instrumentation.anthropic",
        "opentelemetry.instrumentation.bedrock",
        "opentelemetry.instrumentation.cohere",
        "opentelemetry.instrumentation.crewai",
        "opentelemetry.instrumentation.crewai.instrumentation",
        "opentelemetry.instrumentation.google_generativeai",
        "opentelemetry.instrumentation.groq",
        "opentelemetry.instrumentation.haystack",
        "opentelemetry.instrumentation.langchain",
        "opentelemetry.instrumentation.llamaindex",
        "opentelemetry.instrumentation.mcp",
        "opentelemetry.instrumentation.mistralai",
        "opentelemetry.instrumentation.ollama",
        "opentelemetry.instrumentation.openai",
        "opentelemetry.instrumentation.openai.v0",
        "opentelemetry.instrumentation.openai.v1",
        "opentelemetry.instrumentation.openai_agents",
        "opentelemetry.instrumentation.replicate",
        "opentelemetry.instrumentation.sagemaker",
        "opentelemetry.instrumentation.together",
        "opentelemetry.instrumentation.transformers",
        "opentelemetry.instrumentation.vertexai",
        "opentelemetry.instrumentation.voyageai",
        "opentelemetry.instrumentation.watsonx",
        "opentelemetry.instrumentation.writer",
    }
)
"""OpenLLMetry's packages share their prefix with OpenTelemetry's own, which instrument databases and web frameworks."""
_MARKS: Final[tuple[tuple[str, Reader], ...]] = (
    (span_openinference.KIND, span_openinference.read),
    (span_langfuse.KIND, span_langfuse.read),
    (span_langsmith.KIND, span_langsmith.read),
    (span_mlflow.KIND, span_mlflow.read),
    (span_vercel.KIND, span_vercel.read),
    (span_openllmetry.KIND, span_openllmetry.read),
    (c.OPERATION_NAME, span_genai.read),
    (c.PROVIDER_NAME, span_genai.read),
    ("gen_ai.system", span_genai.read),
    (c.REQUEST_MODEL, span_genai.read),
    (c.TOOL_NAME, span_genai.read),
    ("llm.request.type", span_openllmetry.read),
)
"""Attributes by which a span of an unknown scope is known; the first match counts."""
_MARK_NAMES: Final = frozenset(name for name, _ in _MARKS)
_KNOWN_MAX: Final = 2000
_known: dict[str, Reader] = {}


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a span, or None when it tells of no model call, agent, tool, step or run.

    Pure, never raises for what a span carries: attributes of the wrong type count as absent.
    """
    reader = _known.get(record.scope)
    if reader is None:
        reader = _remember(record.scope)
    return reader(record)


def _remember(scope: str) -> Reader:
    reader = _reader_of(scope)
    if len(_known) < _KNOWN_MAX:
        _known[scope] = reader
    return reader


def _reader_of(scope: str) -> Reader:
    exact = _SCOPES.get(scope)
    if exact is not None:
        return exact
    if scope in _OPENLLMETRY:
        return span_openllmetry.read
    for start, reader in _STARTS:
        if scope.startswith(start):
            return reader
    return _by_marks


def _by_marks(record: SpanRecord) -> Reading | None:
    attributes = record.attributes
    if not attributes or _MARK_NAMES.isdisjoint(attributes):
        return None
    for name, reader in _MARKS:
        if name in attributes:
            return reader(record)
    return None


def is_genai_scope(scope: str) -> bool:
    """True for an instrumentation scope that is known to write GenAI spans, some of which start without attributes."""
    reader = _known.get(scope)
    if reader is None:
        reader = _remember(scope)
    return reader is not _by_marks


def is_marked(attributes: Mapping[str, object] | None) -> bool:
    """True for attributes that tell of a model call, agent or tool, whoever wrote them."""
    return bool(attributes) and not _MARK_NAMES.isdisjoint(attributes)  # type: ignore[arg-type]
