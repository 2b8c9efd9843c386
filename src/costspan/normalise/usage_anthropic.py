"""Anthropic Messages: exclusive counts, cache writes by lifetime, passes beside the answer, paid searches.

`input_tokens` leaves cached tokens out, so the inclusive input is input + cache reads + cache writes. The top-level
counts are those of the answer; other `iterations` (compaction, an advisor model, what a model wrote before it refused and
another took over) are billed beside them and are returned as `side_usages`.
Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/prompt-caching, anthropic 2.14 (`BetaUsage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.extracted import (
    OTHER_ITERATIONS,
    WEB_SEARCH,
    Extracted,
    SideUsage,
    count,
    extracted,
    first,
    peek,
    plus,
    settle,
    text,
)
from costspan.records import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "speed",
    "iterations",
)
_OF_THE_OUTPUT: Final = ("output_tokens", "output_tokens_details")


def is_usage(usage: object) -> bool:
    """True for what only Anthropic's usage has. (Plain input and output counts mean the same to everybody.)"""
    names = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use", "iterations")
    return first(usage, *names) is not None


def from_response(response: object, *, provider: str | None = "anthropic") -> Extracted:
    """A message: a mapping or the SDK's object."""
    return from_usage(peek(response, "usage"), response=response, provider=provider)


def from_usage(usage: object, *, response: object = None, provider: str | None = "anthropic") -> Extracted:
    """A bare usage object; `response` is the message around it, where there is one."""
    problems: list[str] = []
    counts = read_usage(usage, problems)
    sides = side_usages(usage, problems)
    return extracted(
        counts,
        problems,
        provider=provider,
        source=response,
        model=serving_model(usage),
        finish_reason=peek(response, "stop_reason"),
        service_tier=tier(usage),
        fees=fees(usage, problems),
        side_usages=sides,
    )


def from_stream(events: Iterable[object], *, provider: str | None = "anthropic") -> Extracted:
    """The events of one stream (only `message_start` and `message_delta` matter; others may be left out)."""
    message: object = None
    finish: object = None
    usages: list[object] = []
    for event in events:
        kind = peek(event, "type")
        if kind == "message_start":
            message = peek(event, "message")
            usages.append(peek(message, "usage"))
        elif kind == "message_delta":
            finish = peek(peek(event, "delta"), "stop_reason") or finish
            usages.append(peek(event, "usage"))
    merged = merge(*usages)
    problems: list[str] = []
    sides = side_usages(merged, problems)
    return extracted(
        read_usage(merged, problems),
        problems,
        provider=provider,
        source=message,
        model=serving_model(merged),
        finish_reason=finish,
        service_tier=tier(merged),
        fees=fees(merged, problems),
        side_usages=sides,
    )


def merge(start: object = None, *deltas: object) -> Mapping[str, object]:
    """One usage mapping out of `message_start.message.usage` and the usages of the `message_delta`s, in order.

    Deltas are cumulative and may repeat the input, so a later value replaces an earlier one, nothing is added; the zeros
    of proxies that do not know the input replace nothing. The output of `message_start` is a placeholder: without a delta
    (an aborted stream) the output stays unknown.
    """
    merged: dict[str, object] = {}
    for name in _COUNTS:
        if name not in _OF_THE_OUTPUT:
            value = peek(start, name)
            if value is not None:
                merged[name] = value
    for delta in deltas:
        for name in _COUNTS:
            value = peek(delta, name)
            if value is not None and not (value == 0 and merged.get(name)):
                merged[name] = value
    return merged


def read_usage(usage: object, problems: list[str]) -> Usage:
    """Inclusive counts, not yet settled; `NO_USAGE` when there are none."""
    fresh = count(peek(usage, "input_tokens"), "input_tokens", problems)
    made = count(peek(usage, "output_tokens"), "output_tokens", problems)
    if fresh is None and made is None:
        return NO_USAGE
    read = count(peek(usage, "cache_read_input_tokens"), "cache_read_tokens", problems)
    whole = count(peek(usage, "cache_creation_input_tokens"), "cache_write_tokens", problems)
    lifetimes = peek(usage, "cache_creation")
    minutes = count(peek(lifetimes, "ephemeral_5m_input_tokens"), "cache_write_tokens", problems)
    hour = count(peek(lifetimes, "ephemeral_1h_input_tokens"), "cache_write_1h_tokens", problems)
    split = plus(minutes, hour)
    write = whole if split is None else max(split, whole or 0)
    broken = fresh is None or "invalid_cache_read_tokens" in problems or "invalid_cache_write_tokens" in problems
    return Usage(
        input_tokens=None if broken else plus(fresh, read, write),
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=hour,
        reasoning_tokens=count(peek(peek(usage, "output_tokens_details"), "thinking_tokens"), "reasoning_tokens", problems),
    )


def tier(usage: object) -> str | None:
    """What the call's price depends on: `fast` for the fast mode, which usage tells as its `speed`, else the service tier."""
    return "fast" if peek(usage, "speed") == "fast" else text(peek(usage, "service_tier"))


def fees(usage: object, problems: list[str]) -> dict[str, int] | None:
    """Web searches, 10 dollars a thousand whatever the model. (Fetches are free; code runs bill by container hours.)"""
    searches = count(peek(peek(usage, "server_tool_use"), "web_search_requests"), WEB_SEARCH, problems)
    return {WEB_SEARCH: searches} if searches else None


def side_usages(usage: object, problems: list[str]) -> tuple[SideUsage, ...]:
    """Passes that the top-level counts leave out: compaction, an advisor, and what a model wrote before it was replaced."""
    iterations = peek(usage, "iterations")
    if not isinstance(iterations, list | tuple):
        return ()
    serving = serving_model(usage)
    sides = tuple(
        SideUsage(text(peek(item, "type")) or "", text(peek(item, "model")), settle(read_usage(item, problems), problems))
        for item in iterations
        if _is_beside(item, serving)
    )
    if sides:
        problems.append(OTHER_ITERATIONS)
    return sides


def serving_model(usage: object) -> str | None:
    """The model that took over after another one's refusal; a stream still bears the name of that other one."""
    iterations = peek(usage, "iterations")
    passes = iterations if isinstance(iterations, list | tuple) else ()
    return next((text(peek(item, "model")) for item in passes if peek(item, "type") == "fallback_message"), None)


def _is_beside(iteration: object, serving: str | None) -> bool:
    """`serving` is the model that took over after a refusal: the top-level counts are those of its passes alone.

    What the refusing model had written until then is billed at its own price; a refusal before the first word is not.
    """
    kind = peek(iteration, "type")
    if kind == "message":
        model = text(peek(iteration, "model"))
        return serving is not None and model not in (None, serving) and bool(peek(iteration, "output_tokens"))
    return kind != "fallback_message"
