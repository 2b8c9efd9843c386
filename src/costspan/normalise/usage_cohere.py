"""Cohere: `tokens` is what went through the model, `billed_units` what of it is billed, `cached_tokens` beside both.

The usage counts `tokens`, as every other provider's does; a price is made of `billed_units`.
Source: https://docs.cohere.com/reference/chat (`usage`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from costspan.normalise.extracted import Extracted, count, extracted, first, peek
from costspan.records import NO_USAGE, Usage

PROVIDER: Final = "cohere"


def is_usage(usage: object) -> bool:
    """The two groups of counts that only Cohere has."""
    return peek(usage, "billed_units") is not None or peek(peek(usage, "tokens"), "input_tokens") is not None


def from_response(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A chat (v2 `usage`, v1 `meta`), embedding, or the `delta` of a stream's `message-end`."""
    usage = first(response, "usage", "meta")
    if usage is None:
        response = peek(response, "delta")
        usage = peek(response, "usage")
    problems: list[str] = []
    found = extracted(
        read_usage(usage, problems),
        problems,
        provider=provider,
        source=response,
        response_id=first(response, "id", "response_id", "generation_id"),
        finish_reason=peek(response, "finish_reason"),
    )
    return replace(found, billed=_billed(usage))


def from_usage(usage: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A bare `usage` or `meta`."""
    problems: list[str] = []
    return replace(extracted(read_usage(usage, problems), problems, provider=provider), billed=_billed(usage))


def _billed(usage: object) -> Usage | None:
    """The tokens that are billed, fewer than went through the model (Cohere's own prompt is free); None when not told."""
    units = peek(usage, "billed_units")
    given, made = count(peek(units, "input_tokens"), "billed", []), count(peek(units, "output_tokens"), "billed", [])
    return Usage(given, made) if given and made is not None and peek(usage, "tokens") is not None else None


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Counts, not yet settled; those of `billed_units` only where `tokens` is missing (embeddings)."""
    counts = first(usage, "tokens", "billed_units")
    given = count(peek(counts, "input_tokens"), "input_tokens", problems)
    made = count(peek(counts, "output_tokens"), "output_tokens", problems)
    if given is None and made is None:
        return NO_USAGE
    if made is None and "invalid_output_tokens" not in problems:
        made = 0
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=count(peek(usage, "cached_tokens"), "cache_read_tokens", problems),
    )
