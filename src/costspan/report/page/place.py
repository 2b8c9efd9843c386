"""Where a run stands on a page, and which part of its long lists is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
ROWS: Final = 500
"""Lines of one list on one page: what a browser lays out without delay."""
LISTS: Final = ("lines", "steps", "calls")
"""The lists of a run that may be long: the timeline, the step log, the calls."""


class Place(NamedTuple):
    """`prefix` stands before every id. `link` leads to a call's details, by its index ("" where they
    are not shown). `turn` makes the address of another
    page of a list (its name, its first line), None where there is only this document. `starts`: the first line of each list."""

    prefix: str
    link: Callable[[int], str]
    turn: Callable[[str, int], str] | None = None
    starts: Mapping[str, int] = {}


class Pager(NamedTuple):
    """`1–500 of 5,000`, and the addresses of the neighbours ("" without)."""

    name: str
    first: int
    last: int
    total: int
    before: str
    after: str


def window(items: Sequence[T], name: str, place: Place, *, rows: int = ROWS) -> tuple[Sequence[T], Pager | None]:
    """The lines of a list that are shown, and how to reach the rest; no pager where all of them are."""
    if len(items) <= rows:
        return items, None
    start = min(place.starts.get(name, 0), len(items) - 1) if place.turn else 0
    end = min(len(items), start + rows)
    turn = place.turn or (lambda *_: "")
    before = turn(name, max(0, start - rows)) if start else ""
    return items[start:end], Pager(name, start + 1, end, len(items), before, turn(name, end) if end < len(items) else "")
