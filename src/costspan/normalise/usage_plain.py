"""Counts that are already inclusive: costspan's own records, Pydantic AI's, and mappings written by hand.

Names are those of `records.Usage`, with or without `_tokens`: `input_tokens`, `output_tokens`, `cache_read`, `reasoning` …
"""

from __future__ import annotations

from typing import Final

from costspan.normalise.extracted import Extracted, count, extracted, first, peek, text
from costspan.records import NO_USAGE, Usage

_PARTS: Final = {
    "cache_read_tokens": ("cache_read_tokens", "cache_read"),
    "cache_write_tokens": ("cache_write_tokens", "cache_write"),
    "cache_write_1h_tokens": ("cache_write_1h_tokens", "cache_write_1h"),
    "reasoning_tokens": ("reasoning_tokens", "reasoning"),
    "input_audio_tokens": ("input_audio_tokens", "input_audio"),
    "output_audio_tokens": ("output_audio_tokens", "output_audio"),
}
_PART_NAMES: Final = tuple(name for names in _PARTS.values() for name in names)


def is_usage(usage: object) -> bool:
    """True for a mapping or object with a part under a name of ours."""
    return first(usage, *_PART_NAMES) is not None


def from_usage(usage: object, *, provider: str | None = None) -> Extracted:
    """A bare usage of inclusive counts."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider)


def from_response(response: object, *, provider: str | None = None) -> Extracted:
    """Something with such a usage, and perhaps a model, provider and service tier, around it."""
    problems: list[str] = []
    return extracted(
        read_usage(peek(response, "usage"), problems),
        problems,
        provider=provider or text(peek(response, "provider")),
        source=response,
        service_tier=peek(response, "service_tier"),
    )


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Counts, not yet settled; `NO_USAGE` when there are none."""
    given = count(first(usage, "input_tokens", "input"), "input_tokens", problems)
    made = count(first(usage, "output_tokens", "output"), "output_tokens", problems)
    if given is None and made is None:
        return NO_USAGE
    found = [count(first(usage, *names), part, problems) for part, names in _PARTS.items()]
    read, write, hour, reasoning, heard, spoken = found
    return Usage(given, made, read, write, hour, reasoning, heard, spoken)
