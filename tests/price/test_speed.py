"""A warm price is cheap enough for the end of every span. The bounds leave room for a slow, shared machine."""

from __future__ import annotations

import time

import pytest

from costspan.price.book import PriceBook
from costspan.records import Cost, Unpriced, Usage

AT = 1_795_000_000_000_000_000


@pytest.mark.parametrize(
    ("what", "model", "usage", "microseconds"),
    [
        ("flat", "gpt-4o", Usage(1000, 100), 2),
        ("flat, cache and reasoning", "gpt-5", Usage(10_000, 2000, 9000, reasoning_tokens=1500), 3),
        ("above a threshold", "gpt-6.1-sol", Usage(300_000, 1000, 290_000), 5),
        ("every kind of token", "gpt-6.1-sol", Usage(300_000, 1000, 200_000, 50_000, 20_000, 500), 5),
        ("unknown model", "gpt-77", Usage(1000, 100), 2),
    ],
)
def test_a_warm_price_takes_microseconds(what, model, usage, microseconds):
    book = PriceBook()
    best = min(_seconds(book, model, usage) for _ in range(15)) * 1e6
    print(f"{what}: {best:.2f} us")
    assert best < 4 * microseconds


def _seconds(book: PriceBook, model: str, usage: Usage, rounds: int = 2000) -> float:
    price = book.price
    answer = price(usage, provider="openai", model=model, at_ns=AT)
    assert isinstance(answer, Cost | Unpriced)
    started = time.perf_counter()
    for _ in range(rounds):
        price(usage, provider="openai", model=model, at_ns=AT)
    return (time.perf_counter() - started) / rounds
