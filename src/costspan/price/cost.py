"""Usage times rates: the arithmetic of one call's price, exact to the last decimal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from costspan.normalise.partition import partition
from costspan.records import MONEY, ZERO, Cost

if TYPE_CHECKING:
    from decimal import Decimal

    from costspan.price.rates import Rates, Vector
    from costspan.records import Usage

_multiply = MONEY.multiply
_add = MONEY.add


def cost_of(rates: Rates, usage: Usage, fees: Mapping[str, int] | None = None) -> Cost:
    """What `usage` costs at `rates`: parts by cost type that add up to the amount exactly.

    Thresholds look at this one call's whole input, cached or not. Raises ValueError with a short reason when
    the usage contradicts itself, or lacks a count that the rates need.
    """
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    hour, reasoning = usage.cache_write_1h_tokens or 0, usage.reasoning_tokens or 0
    if (
        rates.plain
        and not fees
        and type(tokens_in) is type(tokens_out) is type(read) is type(write) is type(hour) is type(reasoning) is int
        and 0 <= reasoning <= tokens_out
        and read >= 0 <= hour <= write <= tokens_in - read
        and not (usage.input_audio_tokens or usage.output_audio_tokens)
    ):
        at = _vector(rates, tokens_in) if rates.cliffs else rates.base
        amount, parts = _input(at, tokens_in - read - write, read, write, hour)
        if visible := tokens_out - reasoning:
            parts["output_visible"] = part = _multiply(at.output, visible)
            amount = _add(amount, part)
        if reasoning:
            parts["output_reasoning"] = part = _multiply(at.reasoning, reasoning)
            amount = _add(amount, part)
        return Cost(amount, parts, rates.source, rates.ref)
    return _full(rates, usage, fees)


def _input(at: Vector, fresh: int, read: int, write: int, hour: int) -> tuple[Decimal, dict[str, Decimal]]:
    """The input of the short way, for what nearly every call is: text, perhaps cached."""
    amount = ZERO
    parts: dict[str, Decimal] = {}
    if fresh:
        parts["input_uncached"] = amount = _multiply(at.input, fresh)
    if read:
        parts["input_cache_read"] = part = _multiply(at.cache_read, read)
        amount = _add(amount, part)
    if write:
        part = _multiply(at.cache_write, write - hour)
        if hour:
            part = _add(part, _multiply(at.cache_write_1h, hour))
        parts["input_cache_write"] = part
        amount = _add(amount, part)
    return amount, parts


def _full(rates: Rates, usage: Usage, fees: Mapping[str, int] | None) -> Cost:
    tokens = partition(usage)
    chosen = rates.thinking if rates.thinking is not None and usage.reasoning_tokens else rates
    at = _vector(chosen, usage.input_tokens or 0)
    _complete(usage, at)
    parts: dict[str, Decimal] = {}
    amount = ZERO
    for token_type, n in tokens:
        parts[token_type] = part = _part(token_type, n, usage.cache_write_1h_tokens or 0, at)
        amount = _add(amount, part)
    fee = _fee(rates, fees)
    if fee:
        parts["fee"] = fee
        amount = _add(amount, fee)
    return Cost(amount, parts, rates.source, rates.ref)


def _vector(rates: Rates, input_tokens: int) -> Vector:
    for threshold, vector in rates.cliffs:
        if input_tokens > threshold:
            return vector
    return rates.base


def _complete(usage: Usage, at: Vector) -> None:
    """A direction nobody counted has no price, unless it costs nothing (the output of an embedding)."""
    if usage.input_tokens is None and at.input:
        raise ValueError("input tokens are not known")
    if usage.output_tokens is None and at.output:
        raise ValueError("output tokens are not known")


def _part(token_type: str, n: int, hour: int, at: Vector) -> Decimal:
    if token_type == "input_cache_write" and hour:
        return _add(_multiply(at.cache_write, n - hour), _multiply(at.cache_write_1h, hour))
    return _multiply(_RATE[token_type](at), n)


_RATE = {
    "input_uncached": lambda at: at.input,
    "input_cache_read": lambda at: at.cache_read,
    "input_cache_write": lambda at: at.cache_write,
    "input_audio": lambda at: at.input_audio,
    "output_visible": lambda at: at.output,
    "output_reasoning": lambda at: at.reasoning,
    "output_audio": lambda at: at.output_audio,
}


def _fee(rates: Rates, fees: Mapping[str, int] | None) -> Decimal:
    """The price of the call as such and of its paid extras; an extra that the table has no price for adds nothing."""
    total = rates.request_usd
    named = fees or {}
    if not isinstance(named, Mapping):
        message = f"fees are {fees!r:.40}, not uses by name"
        raise ValueError(message)  # noqa: TRY004 - whatever is wrong with a call is told in one way
    for name, uses in named.items():
        price = rates.fees.get(name)
        if price is None:
            continue
        if type(uses) is not int or uses < 0:
            message = f"{name} was used {uses!r:.40} times"
            raise ValueError(message)
        total = _add(total, _multiply(price, uses))
    return total
