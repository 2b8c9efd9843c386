"""OpenAI: chat completions, responses, legacy completions, embeddings, transcriptions, realtime.

Counts are inclusive: `prompt_tokens` holds cached and audio tokens, `completion_tokens` holds reasoning.
Source: https://platform.openai.com/docs/api-reference/chat/object and /responses/object (`usage`).
Most other providers and gateways speak this shape with spellings of their own; those are listed beside the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.extracted import (
    WEB_SEARCH,
    Extracted,
    count,
    extracted,
    first,
    peek,
    plus,
    text,
)
from costspan.normalise.usage_openrouter import stated_cost
from costspan.records import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

# Writer writes `prompt_token_details`; transcriptions and realtime write `input_token_details`.
_INPUT_DETAILS: Final = ("prompt_tokens_details", "prompt_token_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details",
    "completion_token_details",
    "output_tokens_details",
    "output_token_details",
)
# Beside the details: DeepSeek, Mistral, Moonshot, and LiteLLM's Anthropic names (inclusive there).
_CACHE_READ: Final = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens")
# Inside the details: OpenAI, then LiteLLM.
_CACHE_WRITE: Final = ("cache_write_tokens", "cache_creation_tokens")


def is_chat(usage: object) -> bool:
    """Chat, legacy completions and embeddings name their counts `prompt_tokens`, `completion_tokens`."""
    return first(usage, "prompt_tokens", "completion_tokens") is not None


def from_response(response: object, *, provider: str | None = None) -> Extracted:
    """A chat completion, response, legacy completion or embedding: a mapping or the SDK's object."""
    usage = first(response, "usage", "token_usage")
    if usage is None:
        # Groq's last stream chunk carries its usage here.
        usage = peek(peek(response, "x_groq"), "usage")
    problems: list[str] = []
    return extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        source=response,
        finish_reason=_finish_reason(response),
        service_tier=peek(response, "service_tier"),
        stated_cost_usd=stated_cost(usage, problems),
        fees=searches(peek(response, "output")),
    )


def from_usage(usage: object, *, provider: str | None = None) -> Extracted:
    """A bare usage object of any of these endpoints."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider, stated_cost_usd=stated_cost(usage, problems))


def from_stream(chunks: Iterable[object], *, provider: str | None = None) -> Extracted:
    """The chunks of one chat stream: the last usage counts, the first id and model, whatever else came last."""
    ident = model = finish = tier = None
    holder: object = None
    for chunk in chunks:
        ident = ident or text(peek(chunk, "id"))
        model = model or text(peek(chunk, "model"))
        finish = text(_finish_reason(chunk)) or finish
        tier = text(peek(chunk, "service_tier")) or tier
        usage = first(chunk, "usage") or peek(peek(chunk, "x_groq"), "usage")
        holder = usage if usage is not None else holder
    problems: list[str] = []
    return extracted(
        read_usage(holder, problems),
        problems,
        provider=provider,
        model=model,
        response_id=ident,
        finish_reason=finish,
        service_tier=tier,
        stated_cost_usd=stated_cost(holder, problems),
    )


def read_usage(usage: object, problems: list[str]) -> Usage:
    """The counts of an OpenAI-shaped usage object, not yet settled; `NO_USAGE` when there are none."""
    given = count(first(usage, "prompt_tokens", "input_tokens"), "input_tokens", problems)
    made = count(first(usage, "completion_tokens", "output_tokens"), "output_tokens", problems)
    total = count(peek(usage, "total_tokens"), "total_tokens", problems)
    if given is None and made is None:
        return NO_USAGE
    if made is None and total == given and "invalid_output_tokens" not in problems:
        made = 0  # embeddings have no output and no field for it
    into, out = first(usage, *_INPUT_DETAILS), first(usage, *_OUTPUT_DETAILS)
    read = count(first(into, "cached_tokens", "cache_read"), "cache_read_tokens", problems)
    if not read:
        beside = count(first(usage, *_CACHE_READ), "cache_read_tokens", problems)
        read = beside if beside is not None else read
    reasoning = count(first(out, "reasoning_tokens", "reasoning"), "reasoning_tokens", problems)
    if reasoning and total is not None and total == plus(given, made, reasoning):
        made = plus(made, reasoning)  # xAI leaves reasoning out of completion_tokens; its own total says so
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=count(
            first(into, *_CACHE_WRITE) or peek(usage, "cache_creation_input_tokens"), "cache_write_tokens", problems
        ),
        reasoning_tokens=reasoning,
        input_audio_tokens=count(peek(into, "audio_tokens"), "input_audio_tokens", problems),
        output_audio_tokens=count(peek(out, "audio_tokens"), "output_audio_tokens", problems),
    )


def _finish_reason(response: object) -> object:
    choices = peek(response, "choices")
    if isinstance(choices, list | tuple) and choices:
        return peek(choices[0], "finish_reason")
    incomplete = peek(peek(response, "incomplete_details"), "reason")
    return incomplete or peek(response, "status")


def searches(items: object) -> dict[str, int] | None:
    """Searches of the responses API: one `web_search_call` item for each (a page opened or scanned is not billed)."""
    if not isinstance(items, list | tuple):
        return None
    found = 0
    for item in items:
        if peek(item, "type") == "web_search_call":
            found += peek(peek(item, "action"), "type") in (None, "search")
    return {WEB_SEARCH: found} if found else None
