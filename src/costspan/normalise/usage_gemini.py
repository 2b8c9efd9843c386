"""Google Gemini (AI Studio and Vertex): thoughts and tool prompts are counted beside the prompt and the answer.

Inclusive input = `promptTokenCount` (cached content is in it) + `toolUsePromptTokenCount`; inclusive output =
`candidatesTokenCount` + `thoughtsTokenCount`. The REST API writes camelCase and leaves zeros out, the SDK writes
snake_case. Source: https://ai.google.dev/api/generate-content#UsageMetadata.
"""

from __future__ import annotations

from typing import Final

from costspan.normalise.extracted import WEB_SEARCH, Extracted, count, extracted, first, peek, plus, text
from costspan.records import NO_USAGE, Usage

PROVIDER: Final = "gcp.gemini"
_TRAFFIC: Final = {"ON_DEMAND": "standard", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def is_usage(usage: object) -> bool:
    """`promptTokenCount` and its kin, in either spelling."""
    return first(usage, "promptTokenCount", "prompt_token_count", "candidatesTokenCount", "candidates_token_count") is not None


def from_response(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A generated content, an embedding, or one chunk of a stream (whose counts are cumulative: the last one counts)."""
    usage = first(response, "usageMetadata", "usage_metadata")
    problems: list[str] = []
    candidates = peek(response, "candidates")
    found = candidates[0] if isinstance(candidates, list | tuple) and candidates else None
    return extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        model=first(response, "modelVersion", "model_version", "model"),
        response_id=first(response, "responseId", "response_id"),
        finish_reason=first(found, "finishReason", "finish_reason"),
        service_tier=_tier(usage),
        fees=_fees(found),
    )


def from_usage(usage: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A bare `usageMetadata`."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider, service_tier=_tier(usage))


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Inclusive counts, not yet settled; `NO_USAGE` when there are none."""
    prompt = count(first(usage, "promptTokenCount", "prompt_token_count"), "input_tokens", problems)
    answer = count(first(usage, "candidatesTokenCount", "candidates_token_count"), "output_tokens", problems)
    thoughts = count(first(usage, "thoughtsTokenCount", "thoughts_token_count"), "reasoning_tokens", problems)
    if prompt is None and answer is None:
        return NO_USAGE
    for_tools = count(first(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count"), "input_tokens", problems)
    made = plus(answer, thoughts)
    if made is None and "invalid_output_tokens" not in problems:
        made = 0  # the API leaves zeros out: a blocked answer, an embedding
    if "invalid_output_tokens" in problems or "invalid_reasoning_tokens" in problems:
        made = None
    return Usage(
        input_tokens=plus(prompt, for_tools) if prompt is not None else None,
        output_tokens=made,
        cache_read_tokens=count(
            first(usage, "cachedContentTokenCount", "cached_content_token_count"), "cache_read_tokens", problems
        ),
        reasoning_tokens=thoughts,
        input_audio_tokens=_audio(first(usage, "promptTokensDetails", "prompt_tokens_details"), "input", problems),
        output_audio_tokens=_audio(first(usage, "candidatesTokensDetails", "candidates_tokens_details"), "output", problems),
    )


def _audio(details: object, direction: str, problems: list[str]) -> int | None:
    if not isinstance(details, list | tuple):
        return None
    for part in details:
        if text(peek(part, "modality")) == "AUDIO":
            return count(first(part, "tokenCount", "token_count"), f"{direction}_audio_tokens", problems)
    return None


def _tier(usage: object) -> str | None:
    """AI Studio's `serviceTier`, or the tier in Vertex's `trafficType`."""
    traffic = text(first(usage, "trafficType", "traffic_type"))
    return text(first(usage, "serviceTier", "service_tier")) or _TRAFFIC.get(traffic or "", traffic)


def _fees(candidate: object) -> dict[str, int] | None:
    """Searches that the answer was grounded on."""
    return searches(first(candidate, "groundingMetadata", "grounding_metadata"))


def searches(grounding: object) -> dict[str, int] | None:
    """Queries that a `groundingMetadata` lists, as a fee."""
    queries = first(grounding, "webSearchQueries", "web_search_queries")
    return {WEB_SEARCH: len(queries)} if isinstance(queries, list | tuple) and queries else None
