"""Who has how much of a sum: bars and their colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import dollars, share
from costspan.report.marks import rough
from costspan.report.page.naming import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

COLOURS: Final = 8
NOBODYS: Final = "kx"
"""The colour of what has no owner, and of what is too small for one of its own."""
WIDE: Final = 1000
"""Units across a bar."""
TYPE_WORDS: Final = {
    "input_uncached": ("input, not cached", "k0"),
    "input_cache_read": ("input, read from cache", "k6"),
    "input_cache_write": ("input, written to cache", "k4"),
    "input_audio": ("input, audio", "k7"),
    "output_visible": ("output, visible", "k2"),
    "output_reasoning": ("output, reasoning", "k3"),
    "output_audio": ("output, audio", "k5"),
    "fee": ("fees", "k1"),
    "unsplit": ("stated without parts", NOBODYS),
}
"""Cost and token types in words, with the colour that each keeps everywhere."""


class Part(NamedTuple):
    """One of a sum: `amount` None is not known. `guess` is the mark of one that holds an estimate; `partly`: it leaves out
    calls of unknown cost."""

    name: str
    amount: Decimal | None
    colour: str = "k0"
    link: str = ""
    guess: str = ""
    partly: bool = False


class Bar(NamedTuple):
    """A bar of `width` units from `x`, both of `WIDE`."""

    x: int
    width: int
    colour: str


class Line(NamedTuple):
    """One line of a breakdown, ready to be laid out. `bar` None: nothing to draw."""

    name: str
    link: str
    cost: str
    share: str
    colour: str
    bar: Bar | None


class Breakdown(NamedTuple):
    """A titled list of lines, and the same as one stacked bar."""

    title: str
    lines: Sequence[Line]
    stack: Sequence[Bar]
    more: int = 0


def colours(names: Iterable[str | None]) -> dict[str | None, str]:
    """A colour for each name, in the order of their first appearance; nobody is grey."""
    found: dict[str | None, str] = {None: NOBODYS}
    for name in names:
        if name not in found:
            found[name] = f"k{(len(found) - 1) % COLOURS}"
    return found


def bar(start: float, length: float, colour: str) -> Bar:
    """A bar from `start` over `length`, both shares of the width (0..1), always wide enough to be seen."""
    x = round(max(0.0, min(1.0, start)) * WIDE)
    width = max(4, min(WIDE - x, round(length * WIDE)))
    return Bar(min(x, WIDE - width), width, colour)


def part_of(amount: Decimal | None, whole: Decimal | None) -> float | None:
    """The share of a sum, 0..1."""
    return float(amount / whole) if whole and amount is not None else None


def breakdown(title: str, parts: Iterable[Part], *, most: int = 40) -> Breakdown:
    """The parts of a sum of dollars, the greatest first, those of unknown cost last."""
    every = sorted(parts, key=lambda part: (part.amount is None, -(part.amount or 0)))
    whole = sum((part.amount for part in every if part.amount is not None), start=0 * (every[0].amount or 0) if every else 0)
    lines, stack, at = [], [], 0.0
    for part in every:
        of = float(part.amount / whole) if part.amount is not None and whole else None
        cost = "unknown" if part.amount is None else rough(dollars(part.amount), part.guess, partly=part.partly)
        drawn = bar(0, of, part.colour) if of else None
        lines.append(
            Line(part.name, part.link, cost, "no price" if part.amount is None else share(of or 0.0), part.colour, drawn)
        )
        if of:
            stack.append(Bar(round(at * WIDE), max(2, round(of * WIDE)), part.colour))
            at += of
    return Breakdown(title, lines[:most], stack, max(0, len(lines) - most))


def by_type(amounts: Mapping[str, Decimal], guess: str = "", *, partly: bool = False) -> Breakdown:
    """What kind of tokens the money went into."""
    words = {name: TYPE_WORDS.get(name, (plain(name), NOBODYS)) for name in amounts}
    parts = [Part(words[name][0], amount, words[name][1], guess=guess, partly=partly) for name, amount in amounts.items()]
    return breakdown("By type of token", parts)
