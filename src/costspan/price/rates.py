"""Prices of one model in one period, compiled to plain numbers per token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.records import MONEY, ZERO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

KINDS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output",
    "reasoning",
    "output_audio",
)
"""Names under which a price list states prices in USD per million tokens, here and in override files."""

_STANDS_IN: Final = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "reasoning": "output",
    "output_audio": "output",
}
"""Where a list has no price of its own, the tokens are billed as what they are a part of."""

PER_MILLION: Final = -6
FOREVER_NS: Final = 1 << 63
NEVER_NS: Final = -(1 << 63)


class Vector(NamedTuple):
    """USD per token by kind."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    input_audio: Decimal
    output: Decimal
    reasoning: Decimal
    output_audio: Decimal


@dataclass(slots=True)
class Rates:
    """What a call costs during one period.

    `base` applies to calls whose whole input is at most the lowest threshold; `cliffs` are (threshold, vector), highest
    first: a call with more input tokens than the threshold pays that vector for every token, output included.
    `thinking` replaces the whole when the call reasoned (Qwen's two price lists). `request_usd` is due once a call,
    `fees` per use of a paid extra (`web_search`). Valid while `since_ns <= time < until_ns`.
    """

    base: Vector
    cliffs: tuple[tuple[int, Vector], ...] = ()
    thinking: Rates | None = None
    request_usd: Decimal = ZERO
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    source: str = "table"
    ref: str = ""
    since_ns: int = NEVER_NS
    until_ns: int = FOREVER_NS
    plain: bool = field(init=False)
    """No second list for thinking and no per-request price: the short way through `cost.py` will do."""

    def __post_init__(self) -> None:
        self.plain = self.thinking is None and not self.request_usd


def stated(prices: Vector) -> dict[str, Decimal]:
    """USD per token by kind, without the kinds that are billed as what they are a part of."""
    told = prices._asdict()
    return {kind: price for kind, price in told.items() if kind not in _STANDS_IN or price != told[_STANDS_IN[kind]]}


def vector(prices: Mapping[str, Decimal], factor: Decimal | None = None) -> Vector:
    """Per-token rates from USD per million tokens by kind; `factor` multiplies them all (a tier's discount)."""
    known = {kind: prices[kind] for kind in KINDS if kind in prices}
    for kind in KINDS:
        if kind not in known:
            known[kind] = known[_STANDS_IN[kind]] if kind in _STANDS_IN else ZERO
    scaled = {kind: MONEY.scaleb(price, PER_MILLION) for kind, price in known.items()}
    if factor is not None:
        scaled = {kind: MONEY.multiply(price, factor) for kind, price in scaled.items()}
    return Vector(**scaled)


def cliffs(
    prices: Mapping[str, Decimal], above: Mapping[int, Mapping[str, Decimal]], factor: Decimal | None = None
) -> tuple[tuple[int, Vector], ...]:
    """Vectors above each threshold, highest first; a kind that a threshold does not name keeps the price below it."""
    found: list[tuple[int, Vector]] = []
    current = dict(prices)
    for threshold in sorted(above):
        current.update(above[threshold])
        found.append((threshold, vector(current, factor)))
    return tuple(reversed(found))
