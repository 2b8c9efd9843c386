"""CrewAI: `UsageMetrics`, and the mappings its providers hand to it.

Inclusive, and a running sum: one object counts for every agent that shares the LLM, so a single call is the difference
of two of them. A request with no tokens is CrewAI's way of saying that it found no usage.
Source: crewai/types/usage_metrics.py (1.15).
"""

from __future__ import annotations

from typing import Final

from costspan.normalise.extracted import Extracted, count, extracted, first, peek
from costspan.records import NO_USAGE, Usage

_OURS: Final = ("successful_requests", "cached_prompt_tokens", "cache_creation_tokens")


def is_usage(usage: object) -> bool:
    """What only CrewAI's counts have."""
    return first(usage, *_OURS) is not None


def from_usage(usage: object, *, provider: str | None = None) -> Extracted:
    """A `UsageMetrics`, or a mapping with its fields."""
    problems: list[str] = []
    return extracted(read_usage(usage, problems), problems, provider=provider)


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Counts, not yet settled; `NO_USAGE` for a request with no tokens at all."""
    given = count(first(usage, "prompt_tokens", "input_tokens", "prompt_token_count"), "input_tokens", problems)
    made = count(first(usage, "completion_tokens", "output_tokens", "candidates_token_count"), "output_tokens", problems)
    if not given and not made:
        return NO_USAGE
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=count(peek(usage, "cached_prompt_tokens"), "cache_read_tokens", problems),
        cache_write_tokens=count(peek(usage, "cache_creation_tokens"), "cache_write_tokens", problems),
        reasoning_tokens=count(peek(usage, "reasoning_tokens"), "reasoning_tokens", problems),
    )
