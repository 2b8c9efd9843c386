"""AWS Bedrock: Converse (all models alike) and InvokeModel (each maker's own body).

Converse counts are exclusive of the cache, in camelCase, some of them under two names. InvokeModel answers with the
model maker's own shape; Titan and Llama are read here, Claude and the OpenAI-shaped ones where their makers are. Streams
end with `amazon-bedrock-invocationMetrics`, and every answer has the counts in its HTTP headers.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html.
"""

from __future__ import annotations

from typing import Final

from costspan.normalise.extracted import Extracted, count, extracted, first, peek, plus
from costspan.records import NO_USAGE, Usage

PROVIDER: Final = "aws.bedrock"
METRICS: Final = "amazon-bedrock-invocationMetrics"
_HEADERS: Final = {
    "inputTokenCount": "x-amzn-bedrock-input-token-count",
    "outputTokenCount": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokenCount": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokenCount": "x-amzn-bedrock-cache-write-input-token-count",
}


def is_usage(usage: object) -> bool:
    """Converse's `inputTokens` or the stream metrics' `inputTokenCount`."""
    return first(usage, "inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount") is not None


def is_body(body: object) -> bool:
    """An InvokeModel body of Titan or Llama, or the last event of a stream."""
    return first(body, METRICS, "inputTextTokenCount", "generation_token_count") is not None


def from_response(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """What `converse` returned, the `metadata` event of `converse_stream`, or what `invoke_model` returned unread."""
    metadata = peek(response, "metadata")
    holder = metadata if peek(metadata, "usage") is not None else response
    usage = peek(holder, "usage")
    if usage is None:
        usage = _from_headers(response)
    problems: list[str] = []
    return extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        source=None,
        response_id=peek(peek(response, "ResponseMetadata"), "RequestId"),
        finish_reason=peek(response, "stopReason"),
        service_tier=peek(peek(holder, "serviceTier"), "type"),
    )


def from_usage(usage: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A bare `usage` of Converse or the metrics of a stream."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider)


def from_body(body: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A parsed InvokeModel body that only Bedrock writes (see `is_body`)."""
    metrics = peek(body, METRICS)
    if metrics is not None:
        return from_usage(metrics, provider=provider)
    problems: list[str] = []
    if peek(body, "inputTextTokenCount") is None:
        given, made, reason = peek(body, "prompt_token_count"), peek(body, "generation_token_count"), peek(body, "stop_reason")
    else:
        given = peek(body, "inputTextTokenCount")
        made, reason = _titan(body, problems)
    usage = Usage(count(given, "input_tokens", problems), count(made, "output_tokens", problems))
    return extracted(usage, problems, provider=provider, finish_reason=reason)


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Inclusive counts, not yet settled; `NO_USAGE` when there are none."""
    fresh = count(first(usage, "inputTokens", "inputTokenCount"), "input_tokens", problems)
    made = count(first(usage, "outputTokens", "outputTokenCount"), "output_tokens", problems)
    if fresh is None and made is None:
        return NO_USAGE
    read = count(first(usage, "cacheReadInputTokens", "cacheReadInputTokenCount"), "cache_read_tokens", problems)
    write = count(first(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount"), "cache_write_tokens", problems)
    broken = fresh is None or "invalid_cache_read_tokens" in problems or "invalid_cache_write_tokens" in problems
    return Usage(
        input_tokens=None if broken else plus(fresh, read, write),
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=_hour(peek(usage, "cacheDetails"), problems),
    )


def _hour(details: object, problems: list[str]) -> int | None:
    if not isinstance(details, list | tuple):
        return None
    return plus(
        *(count(peek(part, "inputTokens"), "cache_write_1h_tokens", problems) for part in details if peek(part, "ttl") == "1h")
    )


def _titan(body: object, problems: list[str]) -> tuple[int | None, object]:
    results = peek(body, "results")
    if isinstance(results, list | tuple):
        made = plus(*(count(peek(item, "tokenCount"), "output_tokens", problems) for item in results))
        return made, peek(results[0], "completionReason") if results else None
    if peek(body, "outputText") is None:
        return 0, None  # Titan's embeddings have an input count and nothing else
    # A chunk of a stream, of which only the last one tells the output.
    return count(peek(body, "totalOutputTextTokenCount"), "output_tokens", problems), peek(body, "completionReason")


def _from_headers(response: object) -> dict[str, object] | None:
    headers = peek(peek(response, "ResponseMetadata"), "HTTPHeaders")
    found: dict[str, object] = {}
    for name, header in _HEADERS.items():
        value = peek(headers, header)
        if isinstance(value, str) and value.isdecimal():
            found[name] = int(value)
    return found or None
