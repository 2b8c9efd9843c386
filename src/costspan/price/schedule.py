"""Prices that depend on the hour: daily windows in UTC, on working days only where the provider says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Final

from costspan.price.rates import FOREVER_NS, NEVER_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Daily windows in UTC, `start` inclusive and `end` exclusive; a window may run past midnight.

    With `weekdays_only` a window counts on Monday to Friday, and never on `holidays`, both by the date that it is at the
    window's start `utc_offset_hours` east of Greenwich.
    """

    windows: tuple[tuple[time, time], ...]
    weekdays_only: bool = False
    holidays: frozenset[date] = frozenset()
    utc_offset_hours: int = 0

    def active(self, at_ns: int) -> bool:
        """Whether a moment (nanoseconds since the epoch) lies in one of the windows."""
        return any(start <= at_ns < end for start, end in self._around(at_ns))

    def edges(self, at_ns: int) -> Iterator[int]:
        """The moments near `at_ns` at which the answer of `active` may change, in nanoseconds since the epoch."""
        day = moment(at_ns).replace(hour=0, minute=0, second=0, microsecond=0)
        yield to_ns(day)
        yield to_ns(day + _DAY)
        for window in self._around(at_ns):
            yield from window

    def _around(self, at_ns: int) -> Iterator[tuple[int, int]]:
        today = moment(at_ns).date()
        for day in (today - _DAY, today, today + _DAY):
            for opens, closes in self.windows:
                start = datetime.combine(day, opens, UTC)
                if self._counts(start):
                    end = datetime.combine(day, closes, UTC)
                    yield to_ns(start), to_ns(end if closes > opens else end + _DAY)

    def _counts(self, start: datetime) -> bool:
        there = start.astimezone(timezone(timedelta(hours=self.utc_offset_hours))).date()
        return not (self.weekdays_only and (there.weekday() > 4 or there in self.holidays))


def moment(at_ns: int) -> datetime:
    """Nanoseconds since the epoch as a UTC datetime; moments outside of the calendar become its first or last year."""
    seconds = max(-62_000_000_000, min(at_ns // 1_000_000_000, 253_000_000_000))
    return _EPOCH + timedelta(seconds=seconds)


def to_ns(at: datetime) -> int:
    """A datetime (naive means UTC) in nanoseconds since the epoch."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def period(edges: Iterable[int], at_ns: int) -> tuple[int, int]:
    """The last edge up to `at_ns` and the first after it."""
    since, until = NEVER_NS, FOREVER_NS
    for edge in edges:
        if since < edge <= at_ns:
            since = edge
        elif at_ns < edge < until:
            until = edge
    return since, until
