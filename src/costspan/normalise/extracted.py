"""What a provider's answer said about its usage, and the few careful reads that every provider file shares.

Nothing here trusts a payload: a count is a non-negative whole number or it is unknown and named in `problems`.
Content is never touched, only named fields are read, so an SDK object costs a few attribute reads and no copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from costspan.frozen import frozen
from costspan.records import COUNTS, MISSING, NO_USAGE, Usage

COUNT_MAX: Final = 10**12
"""More tokens than any call can have: a larger number is a mistake of the sender."""
WEB_SEARCH: Final = "web_search"
"""Key of `Extracted.fees`: searches that the provider ran and bills per piece."""

_NO_FIELDS: Final = (str, int, float, list, tuple, bytes)

# Words of `Extracted.problems`.
INCONSISTENT: Final = "inconsistent_usage"
"""A part is larger than its whole (cached > input, reasoning > output, 1-hour writes > writes)."""
ZERO_INPUT: Final = "zero_input"
"""Zero input tokens for an answered prompt: the sender did not know."""
NO_USAGE_FOUND: Final = "no_usage_found"
OTHER_ITERATIONS: Final = "other_iterations_billed"
"""Anthropic billed more passes (compaction, an advisor model) than the top-level counts cover: see `side_usages`."""


class SideUsage(NamedTuple):
    """A pass that the provider billed beside the counts of the answer itself."""

    kind: str
    model: str | None
    usage: Usage


@frozen
class Extracted:
    """What one payload tells. `provider` is an OTel GenAI name where known, `model` as the provider wrote it.

    `usage` is inclusive (see `records.Usage`); its source is `missing` when input or output is not known, and the
    counts that are known stay in it. `billed` are the counts that the bill is made of, where they are others (Cohere).
    `fees` counts things that are billed per piece. `stated_cost_usd` is what the provider itself says the call cost.
    `cache_hit` is an answer out of the framework's cache: nothing was billed.
    `problems` are short words, empty when all is well.
    """

    usage: Usage = NO_USAGE
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    stated_cost_usd: Decimal | None = None
    fees: Mapping[str, int] | None = None
    problems: tuple[str, ...] = ()
    side_usages: tuple[SideUsage, ...] = ()
    cache_hit: bool = False
    billed: Usage | None = None


def peek(source: object, name: str) -> object:
    """A key of a mapping or an attribute of an object; None when there is no such thing."""
    if type(source) is dict:
        return source.get(name)
    if source is None or isinstance(source, _NO_FIELDS):
        return None
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def first(source: object, *names: str) -> object:
    """The first of these fields that is there and not None."""
    for name in names:
        value = peek(source, name)
        if value is not None:
            return value
    return None


def text(value: object) -> str | None:
    """A non-empty string, or the value of a string enum; anything else is None."""
    if value is None or type(value) is str:
        return value or None
    if isinstance(value, str) and value:
        inner = getattr(value, "value", value)
        return inner if isinstance(inner, str) else str(value)
    inner = getattr(value, "value", None)
    return inner if isinstance(inner, str) and inner else None


def count(value: object, name: str, problems: list[str]) -> int | None:
    """A token count, or None; what is there and is no count is named in `problems` as `invalid_<name>`."""
    if type(value) is int and 0 <= value <= COUNT_MAX:
        return value
    if value is None:
        return None
    # Cohere's SDK types its counts as floats.
    if isinstance(value, float) and value.is_integer() and 0 <= value <= COUNT_MAX:
        return int(value)
    if not _is_unset(value):
        problems.append(f"invalid_{name}")
    return None


def _is_unset(value: object) -> bool:
    """The SDKs of Mistral and OpenRouter fill fields that were not sent with an object of their own."""
    return type(value).__name__ == "Unset"


def plus(*parts: int | None) -> int | None:
    """The sum of the known parts; None when none is known."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def money(value: object, problems: list[str]) -> Decimal | None:
    """An amount of dollars that a provider wrote as a number or string; None and a problem word when it is neither."""
    if value is None or _is_unset(value):
        return None
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal(-1)
        if amount.is_finite() and amount >= 0:
            return amount
    problems.append("invalid_cost")
    return None


def settle(usage: Usage, problems: list[str]) -> Usage:
    """The usage that may be counted: parts that do not fit their whole are dropped and named.

    Zero input means that nobody knew: every billed request had a prompt. The source is `missing` unless both
    directions are known.
    """
    given, made = usage.input_tokens, usage.output_tokens
    if (
        given
        and made is not None
        and (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0) <= given
        and (usage.input_audio_tokens or 0) <= given
        and (usage.reasoning_tokens or 0) + (usage.output_audio_tokens or 0) <= made
        and (usage.cache_write_1h_tokens or 0) <= (usage.cache_write_tokens or 0)
    ):
        return usage
    return _mended(usage, problems)


def _mended(usage: Usage, problems: list[str]) -> Usage:
    given, made = usage.input_tokens, usage.output_tokens
    if given == 0:
        given = None
        if made == 0:
            made = None
        problems.append(ZERO_INPUT)
    return _fitting(usage, given, made, problems)


def stated(usage: Usage, problems: list[str]) -> Usage:
    """A usage that the host's program made itself: as `settle`, but a zero is meant, and what is no count is left out."""
    counts: dict[str, Any] = {name: count(getattr(usage, name), name, problems) for name in COUNTS}
    given = replace(usage, **counts)
    return _fitting(given, given.input_tokens, given.output_tokens, problems)


def _fitting(usage: Usage, given: int | None, made: int | None, problems: list[str]) -> Usage:
    read, write, audio = _input_parts(usage, given, problems)
    hour = usage.cache_write_1h_tokens
    if hour and hour > (write or 0):
        hour = None
        if write is not None:
            problems.append(INCONSISTENT)
    reasoning, spoken = usage.reasoning_tokens, usage.output_audio_tokens
    if made is None:
        reasoning = spoken = None
    elif (reasoning or 0) + (spoken or 0) > made:
        reasoning = spoken = None
        problems.append(INCONSISTENT)
    source = usage.source if given is not None and made is not None else MISSING
    return Usage(given, made, read, write, hour, reasoning, audio, spoken, source)


def _input_parts(usage: Usage, given: int | None, problems: list[str]) -> tuple[int | None, int | None, int | None]:
    """Cache reads, cache writes and audio: those that fit. (Audio is told of the whole prompt, cached or not.)"""
    if given is None:
        return None, None, None  # parts of an unknown whole cannot be counted or priced
    read, write, audio = usage.cache_read_tokens, usage.cache_write_tokens, usage.input_audio_tokens
    if (read or 0) + (write or 0) > given:
        read = write = None
        problems.append(INCONSISTENT)
    if audio is not None and audio > given:
        audio = None
        problems.append(INCONSISTENT)
    return read, write, audio


def extracted(  # noqa: PLR0913 - an answer has this many parts, and all but the first two are optional
    usage: Usage,
    problems: list[str],
    *,
    provider: str | None = None,
    source: object = None,
    model: object = None,
    response_id: object = None,
    finish_reason: object = None,
    service_tier: object = None,
    stated_cost_usd: Decimal | None = None,
    fees: Mapping[str, int] | None = None,
    side_usages: tuple[SideUsage, ...] = (),
) -> Extracted:
    """Settle the usage and put an `Extracted` together; `model` and `id` are read from `source` unless given."""
    settled = settle(usage, problems)
    if not problems and settled.total_tokens is None:
        problems.append(NO_USAGE_FOUND)
    return Extracted(
        usage=settled,
        provider=provider,
        model=text(model) or text(peek(source, "model")),
        response_id=text(response_id) or text(peek(source, "id")),
        finish_reason=text(finish_reason),
        service_tier=text(service_tier),
        stated_cost_usd=stated_cost_usd,
        fees=fees or None,
        problems=tuple(dict.fromkeys(problems)),
        side_usages=side_usages,
    )
