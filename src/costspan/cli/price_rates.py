"""`costspan price MODEL` without counts: what a model costs per million tokens, and where that comes from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from costspan.cli.plain import plain
from costspan.price.rates import stated
from costspan.records import MONEY, Unpriced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.price.book import PriceBook
    from costspan.price.rates import Rates, Vector


def print_rates(book: PriceBook, named: tuple[str | None, str | None], found: Rates | Unpriced, *, as_json: bool) -> int:
    """Print them for people or as JSON; the exit code, 3 where there is no price."""
    provider, model = book.canonical(*named)
    window = book.context_window(*named)
    told = {"provider": provider, "model": model, "context_window_tokens": window}
    if isinstance(found, Unpriced):
        if as_json:
            print(json.dumps({**told, "usd_per_million_tokens": None, "reason": found.reason, "detail": found.detail}))
        else:
            print(f"no price: {found.detail or found.reason}", file=sys.stderr)
        return 3
    if as_json:
        print(json.dumps({**told, "price_source": found.source, "price_ref": found.ref, **_record(found)}))
        return 0
    print(f"{provider}/{model}  USD per million tokens  ({found.source}: {found.ref})")
    for label, value in (*_lines(found), ("context window", "unknown" if window is None else f"{window:,} tokens")):
        print(f"  {label:<18} {value}")
    return 0


def _record(rates: Rates) -> dict[str, object]:
    return {
        "usd_per_million_tokens": _prices(rates.base),
        "above": [{"input_tokens": threshold, **_prices(prices)} for threshold, prices in reversed(rates.cliffs)],
        "thinking": None if rates.thinking is None else _prices(rates.thinking.base),
        "request_usd": plain(rates.request_usd),
        "fees_usd": {name: plain(fee) for name, fee in rates.fees.items()},
    }


def _lines(rates: Rates) -> Iterator[tuple[str, str]]:
    yield from _priced(rates.base, "")
    for threshold, prices in reversed(rates.cliffs):
        yield from _priced(prices, f"  (all tokens of a call with more than {threshold:,} input tokens)")
    if rates.thinking is not None:
        yield from _priced(rates.thinking.base, "  (calls that reason)")
    if rates.request_usd:
        yield "each call", f"${plain(rates.request_usd)}"
    for name, fee in rates.fees.items():
        yield f"each {name}", f"${plain(fee)}"


def _priced(prices: Vector, when: str) -> Iterator[tuple[str, str]]:
    return ((kind, f"${price}{when}") for kind, price in _prices(prices).items())


def _prices(prices: Vector) -> dict[str, str]:
    """USD per million by kind; a kind that is billed as what it is a part of is left out."""
    return {kind: plain(MONEY.scaleb(price, 6)) for kind, price in stated(prices).items()}
