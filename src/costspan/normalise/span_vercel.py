"""Vercel AI SDK (scope `ai`): `ai.*` attributes, since version 6 with `gen_ai.*` beside them -> Reading.

A call is a `….doGenerate`, `….doStream` or `….doEmbed` span; the operation above it (`ai.generateText`) repeats the sum
of its steps. Version 7 moved this into `@ai-sdk/otel` (scope `gen_ai`), which keeps to the convention; there an embedding
and the operation above it are told by two spans of one kind, of which only the inner one may count.

Inclusive or not: with `ai.usage.inputTokenDetails.*` (version 6) the counts are inclusive. Before, they were the
provider's: exclusive of the cache for Anthropic and Bedrock, exclusive of reasoning for Google. The cached part is missing
on whole answers of version 5 and on objects of version 6, but Anthropic's own usage stands in
`ai.response.providerMetadata`, and so does what OpenRouter says the call cost.
Source: ai-sdk.dev/docs/ai-sdk-core/telemetry; the code of ai 4.3, 5.0, 6.0, @ai-sdk/otel 1.0, /anthropic 2.0, /google 2.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise import usage_anthropic
from costspan.normalise.extracted import money, peek, plus
from costspan.normalise.genai_names import INPUT, OUTPUT
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.span_attributes import count, first_count, first_text, outcome, parsed_object, seconds, settled, text
from costspan.normalise.span_genai import read_as
from costspan.readings import Reading
from costspan.records import AGENT, CALL, MISSING, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "vercel_ai"
KIND: Final = "ai.operationId"
_CALL_ENDS: Final = (".doGenerate", ".doStream", ".doEmbed", ".doRerank")
_TOOL: Final = "ai.toolCall"
_USAGE: Final = "ai.usage."
_IN_DETAILS: Final = "ai.usage.inputTokenDetails."
_OUT_DETAILS: Final = "ai.usage.outputTokenDetails."
_INPUT: Final = ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens", *INPUT)
_OUTPUT: Final = ("ai.usage.outputTokens", "ai.usage.completionTokens", *OUTPUT)
_READ: Final = (_IN_DETAILS + "cacheReadTokens", "ai.usage.cachedInputTokens")
_WRITE: Final = (_IN_DETAILS + "cacheWriteTokens", "ai.usage.cacheCreationInputTokens")
_REASONING: Final = (_OUT_DETAILS + "reasoningTokens", "ai.usage.reasoningTokens")
_CONVERSATION: Final = ("ai.telemetry.metadata.sessionId", "ai.telemetry.metadata.threadId", "session.id")
_FIRST_CHUNK: Final = ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")
_FUNCTION: Final = "ai.telemetry.functionId"
_CACHE_BESIDE: Final = ("anthropic", "aws.bedrock")
"""Providers whose input, as they state it, leaves the cache out."""
_PROVIDERS: Final = {
    "google.generative-ai": "gcp.gemini",
    "google.vertex": "gcp.vertex_ai",
    "vertex.anthropic": "anthropic",
    "anthropic": "anthropic",
}
_GOOGLE: Final = "gcp."
_TOLD_TWICE: Final = ("embeddings", "rerank")


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a span of the AI SDK."""
    get = record.attributes.get
    operation = text(get(KIND))
    if operation is None:
        return read_as(record, DIALECT)
    if operation == _TOOL:
        return _tool(record, get)
    if operation.endswith(_CALL_ENDS):
        return _call(record, get, operation)
    return _operation(record, get, operation) if operation.startswith("ai.") else None


def read_v7(record: SpanRecord) -> Reading | None:
    """The meaning of a span of `@ai-sdk/otel`."""
    reading = read_as(record, DIALECT)
    if reading is not None and reading.operation in _TOLD_TWICE:
        reading.repeats_children = True
    return reading


def _call(record: SpanRecord, get: Get, operation: str) -> Reading:
    problems: list[str] = []
    provider = _provider(get)
    metadata = parsed_object(get("ai.response.providerMetadata"))
    ended, error_type = outcome(record)
    first = next((found for key in _FIRST_CHUNK if (found := seconds(get(key), 1e-3)) is not None), None)
    return Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=text(get(_FUNCTION)),
        conversation_id=first_text(get, _CONVERSATION),
        operation="embeddings" if operation.endswith(".doEmbed") else "chat",
        provider=provider,
        request_model=text(get("ai.model.id")) or text(get("gen_ai.request.model")),
        response_model=text(get("ai.response.model")) or text(get("gen_ai.response.model")),
        response_id=text(get("ai.response.id")) or text(get("gen_ai.response.id")),
        usage=settled(_usage(get, provider, metadata, operation), problems),
        stated_cost_usd=_stated_cost(metadata, problems),
        outcome=ended,
        error_type=error_type,
        finish_reason=text(get("ai.response.finishReason")),
        stream=operation.endswith(".doStream"),
        time_to_first_token_seconds=first,
        service_tier=text(peek(metadata.get("openai"), "serviceTier")),
        problems=tuple(problems),
    )


def _provider(get: Get) -> str | None:
    """`openai.responses`, `anthropic.messages`, `google.generative-ai`: the provider and one of its APIs."""
    named = text(get("ai.model.provider")) or text(get("gen_ai.system"))
    if named is None:
        return None
    for start, provider in _PROVIDERS.items():
        if named.startswith(start):
            return provider
    return canonical_provider(named.partition(".")[0]) or canonical_provider(named)


def _usage(get: Get, provider: str | None, metadata: dict[str, object], operation: str) -> Usage:
    given, made = first_count(get, _INPUT), first_count(get, _OUTPUT)
    if given is None and made is None:
        return Usage(source=MISSING)
    if made is None and operation.endswith(".doEmbed"):
        made = 0
    stated = _stated_usage(given, made, metadata)
    if stated is not None:
        return stated
    read_tokens, reasoning = first_count(get, _READ), first_count(get, _REASONING)
    written = first_count(get, _WRITE)
    if written is None:
        written = _written(metadata)
    inclusive = get(_IN_DETAILS + "noCacheTokens") is not None or get(_IN_DETAILS + "cacheReadTokens") is not None
    if provider in _CACHE_BESIDE and not inclusive and given is not None:
        given = plus(given, read_tokens, written)
    if provider is not None and provider.startswith(_GOOGLE) and get(_OUT_DETAILS + "textTokens") is None:
        made = _with_thoughts(made, reasoning, given, count(get(_USAGE + "totalTokens")))
    return Usage(given, made, read_tokens, written, None, reasoning)


def _stated_usage(given: int | None, made: int | None, metadata: dict[str, object]) -> Usage | None:
    """Anthropic's own usage, where the counts of the span are those that it makes, with the cache or without."""
    raw = peek(metadata.get("anthropic"), "usage")
    if not isinstance(raw, dict):
        return None
    usage = usage_anthropic.from_usage(raw).usage
    same = given in (usage.input_tokens, raw.get("input_tokens")) and made == usage.output_tokens
    return usage if same and usage.source != MISSING else None


def _written(metadata: dict[str, object]) -> int | None:
    found = peek(metadata.get("anthropic"), "cacheCreationInputTokens")
    if found is None:
        found = peek(peek(metadata.get("bedrock"), "usage"), "cacheWriteInputTokens")
    return count(found)


def _with_thoughts(made: int | None, reasoning: int | None, given: int | None, total: int | None) -> int | None:
    """Google's output without its thoughts, when the total stated beside it says so."""
    if made is None or not reasoning or given is None or total is None:
        return made
    return made + reasoning if given + made + reasoning == total else made


def _stated_cost(metadata: dict[str, object], problems: list[str]) -> Decimal | None:
    return money(peek(peek(metadata.get("openrouter"), "usage"), "cost"), problems)


def _operation(record: SpanRecord, get: Get, operation: str) -> Reading:
    """The function that the application called: an agent when it was given a `functionId`, else a step."""
    name = text(get(_FUNCTION))
    ended, error_type = outcome(record)
    reading = Reading(
        kind=STEP if name is None else AGENT,
        dialect=DIALECT,
        name=name or operation,
        conversation_id=first_text(get, _CONVERSATION),
        outcome=ended,
        error_type=error_type,
    )
    problems: list[str] = []
    reading.provider = _provider(get)
    usage = settled(_usage(get, reading.provider, parsed_object(get("ai.response.providerMetadata")), operation), problems)
    if usage.source != MISSING:
        reading.usage = usage
        reading.repeats_children = True
        reading.request_model = text(get("ai.model.id"))
        reading.problems = tuple(problems)
    return reading


def _tool(record: SpanRecord, get: Get) -> Reading:
    ended, error_type = outcome(record)
    return Reading(
        kind=TOOL,
        dialect=DIALECT,
        name=text(get("ai.toolCall.name")) or record.name,
        agent=text(get(_FUNCTION)),
        outcome=ended,
        error_type=error_type,
        tool_call_id=text(get("ai.toolCall.id")),
    )
