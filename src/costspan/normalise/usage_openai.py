"""OpenAI: chat completions, responses, legacy completions, embeddings, transcriptions, realtime.

Counts are inclusive: `prompt_tokens` holds cached and audio tokens, `completion_tokens` holds reasoning.
Source: https://platform.openai.com/docs/api-reference/chat/object and /responses/object (`usage`).
Most other providers and gateways speak this shape with spellings of their own; those are listed beside the field.
"""

from __future__ import annotations

from dataclasses import replace
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
from costspan.normalise.usage_anthropic import fees as searches_used
from costspan.normalise.usage_stated import stated_cost
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
# Inside the details: OpenAI, LangChain, Perplexity.
_CACHE_READ: Final = ("cached_tokens", "cache_read", "cache_read_input_tokens")
# Beside the details: DeepSeek, Mistral, Moonshot, xAI's SDK, and LiteLLM's Anthropic names (inclusive there).
_CACHE_READ_BESIDE: Final = (
    "prompt_cache_hit_tokens",
    "num_cached_tokens",
    "cached_tokens",
    "cached_prompt_text_tokens",
    "cache_read_input_tokens",
)
# Inside the details: OpenAI, LiteLLM, then Perplexity and Alibaba; beside them: gateways, LangChain's Bedrock.
_CACHE_WRITE: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_CACHE_WRITE_BESIDE: Final = ("cache_creation_input_tokens", "cache_write_input_tokens")
# Writes by lifetime: LiteLLM, Alibaba.
_LIFETIMES: Final = ("cache_creation_token_details", "cache_creation")


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
    counts = read_usage(usage, problems)
    if counts is NO_USAGE and peek(response, "object") == "list":  # Voyage's embeddings and rankings tell the total alone
        given = count(peek(usage, "total_tokens"), "input_tokens", problems)
        counts = counts if given is None else Usage(given, 0)
    return extracted(
        with_thoughts(counts, peek(usage, "total_tokens"), peek(response, "model")),
        problems,
        provider=provider,
        source=response,
        finish_reason=_finish_reason(response),
        service_tier=peek(response, "service_tier"),
        stated_cost_usd=stated_cost(usage, problems),
        fees=searches(peek(response, "output")) or searches_used(usage, problems),
    )


def from_usage(usage: object, *, provider: str | None = None) -> Extracted:
    """A bare usage object of any of these endpoints."""
    problems: list[str] = []
    return extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        stated_cost_usd=stated_cost(usage, problems),
        fees=searches_used(usage, problems),
    )


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
        with_thoughts(read_usage(holder, problems), peek(holder, "total_tokens"), model),
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
    read = _cache_read(usage, into, problems)
    write = count(first(into, *_CACHE_WRITE) or first(usage, *_CACHE_WRITE_BESIDE), "cache_write_tokens", problems)
    thought = first(out, "reasoning_tokens", "reasoning")
    reasoning = count(peek(usage, "reasoning_tokens") if thought is None else thought, "reasoning_tokens", problems)
    if total is not None and given is not None and made is not None and total > given + made:
        given, made = _inclusive(given, made, total, plus(read, write), reasoning, peek(usage, "connector_tokens"))
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=count(
            peek(first(into, *_LIFETIMES), "ephemeral_1h_input_tokens"), "cache_write_1h_tokens", problems
        ),
        reasoning_tokens=reasoning,
        input_audio_tokens=count(peek(into, "audio_tokens"), "input_audio_tokens", problems),
        output_audio_tokens=count(peek(out, "audio_tokens"), "output_audio_tokens", problems),
    )


def _cache_read(usage: object, details: object, problems: list[str]) -> int | None:
    read = count(first(details, *_CACHE_READ), "cache_read_tokens", problems)
    if read:
        return read
    beside = count(first(usage, *_CACHE_READ_BESIDE), "cache_read_tokens", problems)
    return read if beside is None else beside


def _inclusive(
    given: int, made: int, total: int, cached: int | None, reasoning: int | None, connectors: object
) -> tuple[int, int]:
    """Input and output with what a sender leaves out of both, where its own total says so: given + made < total.

    xAI counts reasoning beside the completion, some gateways and LangChain's Bedrock count the cache beside the prompt,
    Mistral's conversations what its connectors read.
    """
    missing = total - given - made
    if reasoning == missing:
        return given, made + reasoning
    if missing in (cached, connectors):
        return given + missing, made
    if cached and reasoning and cached + reasoning == missing:
        return given + cached, made + reasoning
    return given, made


def with_thoughts(usage: Usage, total: object, model: object) -> Usage:
    """Gemini behind OpenAI's shape: thoughts are in the total and nowhere else, so what is missing there is output."""
    given, made = usage.input_tokens, usage.output_tokens
    if type(total) is not int or given is None or made is None or total <= given + made or usage.reasoning_tokens:
        return usage
    return replace(usage, output_tokens=total - given) if "gemini" in (text(model) or "").lower() else usage


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
