"""Google Gemini (AI Studio and Vertex): thoughts and tool prompts are counted beside the prompt and the answer.

Inclusive input = `promptTokenCount` (cached content is in it) + `toolUsePromptTokenCount`; inclusive output =
`candidatesTokenCount` + `thoughtsTokenCount`. The REST API writes camelCase and leaves zeros out, the SDK writes
snake_case. The Live API says `responseTokenCount` for the answer, the Interactions API has names of its own for the same
counts. Source: https://ai.google.dev/api/generate-content#UsageMetadata, google-genai 3.6 (`types.py`, `interactions`).
"""

from __future__ import annotations

import re
from typing import Final

from costspan.normalise.extracted import WEB_SEARCH, Extracted, count, extracted, first, peek, plus, text
from costspan.records import NO_USAGE, Usage

PROVIDER: Final = "gcp.gemini"
_BY_ANSWER: Final = re.compile(r"gemini-[12][.-]")
_TRAFFIC: Final = {"ON_DEMAND": "standard", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}

_PROMPT: Final = ("promptTokenCount", "prompt_token_count", "total_input_tokens")
_ANSWER: Final = (
    "candidatesTokenCount",
    "candidates_token_count",
    "responseTokenCount",
    "response_token_count",
    "total_output_tokens",
)
_THOUGHTS: Final = ("thoughtsTokenCount", "thoughts_token_count", "total_thought_tokens")
_FOR_TOOLS: Final = ("toolUsePromptTokenCount", "tool_use_prompt_token_count", "total_tool_use_tokens")
_CACHED: Final = ("cachedContentTokenCount", "cached_content_token_count", "total_cached_tokens")
_TOTAL: Final = ("totalTokenCount", "total_token_count", "total_tokens")
_PROMPT_PARTS: Final = ("promptTokensDetails", "prompt_tokens_details", "input_tokens_by_modality")
_TOOL_PARTS: Final = ("toolUsePromptTokensDetails", "tool_use_prompt_tokens_details", "tool_use_tokens_by_modality")
_ANSWER_PARTS: Final = (
    "candidatesTokensDetails",
    "candidates_tokens_details",
    "responseTokensDetails",
    "response_tokens_details",
    "output_tokens_by_modality",
)
_INTERACTION: Final = ("total_thought_tokens", "total_tool_use_tokens", "total_cached_tokens", "input_tokens_by_modality")


def is_usage(usage: object) -> bool:
    """`promptTokenCount` and its kin, in either spelling, or an interaction's."""
    return first(usage, *_PROMPT[:2], *_ANSWER[:4]) is not None or is_interaction(usage)


def is_interaction(usage: object) -> bool:
    """What the Interactions API alone has (others too say `total_input_tokens`)."""
    return first(usage, *_INTERACTION) is not None


def is_embedding(response: object) -> bool:
    """Embeddings of Vertex AI, which count each text beside its vector."""
    return _embedded(response) is not None


def _embedded(response: object) -> object:
    """The `statistics` of the first embedding, if it has them."""
    found = peek(response, "embeddings")
    return peek(found[0], "statistics") if isinstance(found, list | tuple) and found else None


def from_embedding(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """The texts of one request together."""
    problems: list[str] = []
    found = peek(response, "embeddings")
    counts = [
        count(first(peek(one, "statistics"), "tokenCount", "token_count"), "input_tokens", problems)
        for one in (found if isinstance(found, list | tuple) else ())
    ]
    return extracted(Usage(None if None in counts else plus(*counts), 0), problems, provider=provider)


def from_response(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A generated content, an interaction, an embedding, or one chunk of a stream (cumulative: the last one counts)."""
    usage = first(response, "usageMetadata", "usage_metadata", "usage")
    problems: list[str] = []
    candidates = peek(response, "candidates")
    found = candidates[0] if isinstance(candidates, list | tuple) and candidates else None
    model = text(first(response, "modelVersion", "model_version", "model"))
    return extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        model=model,
        response_id=first(response, "responseId", "response_id", "id"),
        finish_reason=first(found, "finishReason", "finish_reason"),
        service_tier=_tier(usage),
        fees=searches(first(found, "groundingMetadata", "grounding_metadata"), model)
        or _searches_counted(peek(usage, "grounding_tool_count"), model),
    )


def from_usage(usage: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A bare `usageMetadata`."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider, service_tier=_tier(usage))


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Inclusive counts, not yet settled; `NO_USAGE` when there are none."""
    prompt = count(first(usage, *_PROMPT), "input_tokens", problems)
    answer = count(first(usage, *_ANSWER), "output_tokens", problems)
    thoughts = count(first(usage, *_THOUGHTS), "reasoning_tokens", problems)
    if prompt is None and answer is None:
        return NO_USAGE
    given = None if prompt is None else plus(prompt, count(first(usage, *_FOR_TOOLS), "input_tokens", problems))
    made = plus(answer, thoughts)
    if made is None and first(usage, *_TOTAL) in (None, given):
        made = 0  # the API leaves zeros out: a blocked answer, an embedding
    if "invalid_output_tokens" in problems or "invalid_reasoning_tokens" in problems:
        made = None
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=count(first(usage, *_CACHED), "cache_read_tokens", problems),
        reasoning_tokens=thoughts,
        input_audio_tokens=plus(
            _audio(first(usage, *_PROMPT_PARTS), "input", problems), _audio(first(usage, *_TOOL_PARTS), "input", problems)
        ),
        output_audio_tokens=_audio(first(usage, *_ANSWER_PARTS), "output", problems),
    )


def _audio(details: object, direction: str, problems: list[str]) -> int | None:
    if not isinstance(details, list | tuple):
        return None
    for part in details:
        if (text(peek(part, "modality")) or "").upper() == "AUDIO":
            return count(first(part, "tokenCount", "token_count", "tokens"), f"{direction}_audio_tokens", problems)
    return None


def _tier(usage: object) -> str | None:
    """AI Studio's `serviceTier`, or the tier in Vertex's `trafficType`."""
    traffic = text(first(usage, "trafficType", "traffic_type"))
    return text(first(usage, "serviceTier", "service_tier")) or _TRAFFIC.get(traffic or "", traffic)


def _searches_counted(tools: object, model: str | None) -> dict[str, int] | None:
    """Those that an interaction counts itself."""
    for tool in tools if isinstance(tools, list | tuple) else ():
        if text(peek(tool, "type")) == "google_search":
            return _fee(count(peek(tool, "count"), WEB_SEARCH, []), model)
    return None


def searches(grounding: object, model: str | None) -> dict[str, int] | None:
    """Searches that an answer was grounded on (its `groundingMetadata`), as a fee."""
    queries = first(grounding, "webSearchQueries", "web_search_queries")
    return _fee(len(queries), model) if isinstance(queries, list | tuple) else None


def _fee(queries: int | None, model: str | None) -> dict[str, int] | None:
    """Gemini 3 is billed by the query, the models before it by the answer, however many queries that took.

    Source: https://ai.google.dev/gemini-api/docs/pricing ("grounded prompts" up to 2.5, "search queries" since).
    """
    if not queries:
        return None
    return {WEB_SEARCH: 1 if _BY_ANSWER.search(model or "") else queries}
