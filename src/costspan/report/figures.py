"""Numbers as people read them. What is not known is `?`, never 0."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from costspan.records import MONEY

UNKNOWN: Final = "?"
_HUGE_TOKENS: Final = 10**11
_HUGE_DOLLARS: Final = 10**9
_CENT: Final = Decimal("0.01")
_TINY: Final = Decimal("0.000001")
_MILLION: Final = Decimal(1_000_000)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tokens(number: float | None, digits: int = 0) -> str:
    """`1,234`, or `4,575.33` with two digits; from a hundred billion on `1.23e+11`."""
    if number is None or not math.isfinite(number):
        return UNKNOWN
    return f"{number:.3g}" if abs(number) >= _HUGE_TOKENS else _shown(number, digits)


def dollars(amount: Decimal | None) -> str:
    """`$1,234.57`, `$0.0346`, `$0.000021`: as many digits as the amount needs, at least two that count."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "$0"
    if amount >= _HUGE_DOLLARS:
        return f"${amount:.3g}"
    if amount >= 1:
        return f"${amount:,.2f}"
    if amount >= _CENT:
        return f"${amount:.4f}"
    if amount < _TINY:
        return "<$0.000001"
    # Two digits that count: 0.00012, 0.0021.
    return f"${amount:.{1 - amount.adjusted()}f}"


def seconds(duration: float | None) -> str:
    """`12 ms`, `1.23 s`, `2 m 05 s`, `3 h 02 m`."""
    if duration is None or not math.isfinite(duration):
        return UNKNOWN
    if duration < 0.9995:
        return f"{_shown(duration * 1000, 0)} ms"
    if duration < 59.995:
        return f"{duration:.2f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} m"


def lasted(started_ns: int, ended_ns: int) -> str:
    """The same of what has a start and an end; without one of them it is not known."""
    return seconds(max(0, ended_ns - started_ns) / 1e9) if started_ns and ended_ns else UNKNOWN


def percent(part: float | None, digits: int = 2) -> str:
    """A percentage, 0..100, as `3.46 %`."""
    return UNKNOWN if part is None or not math.isfinite(part) else f"{_shown(part, digits)} %"


def share(part: float | None) -> str:
    """A share, 0..1, as `86 %`; only what is whole is `100 %`, and only what is nothing is `0 %`."""
    if part is None:
        return UNKNOWN
    if part >= 1:
        return "100 %"
    if part <= 0:
        return "0 %"
    whole = part * 100
    return f"{whole:.0f} %" if 1 <= whole <= 99 else f"{min(max(whole, 0.1), 99.9):.1f} %"


def ratio(value: float | None) -> str:
    """A quotient with three digits: `0.662`."""
    return UNKNOWN if value is None or not math.isfinite(value) else _shown(value, 3)


def _shown(number: float, digits: int) -> str:
    """With so many digits; what is more than nothing and would round to it is `<0.01`."""
    shown = f"{number:,.{digits}f}"
    return f"<{10.0**-digits:.{digits}f}" if number > 0 and not shown.strip("0.") else shown


def many(number: int, one: str, more: str | None = None) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def moment(at_ns: int) -> str:
    """`2026-11-21 12:00:01 UTC`; `?` for what is no time of the calendar."""
    if at_ns <= 0:
        return UNKNOWN
    try:
        return f"{_EPOCH + timedelta(microseconds=at_ns // 1000):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return UNKNOWN


def per_million(amount: Decimal | None, count: int | None) -> str:
    """The mean price of a million tokens of a sum."""
    return UNKNOWN if amount is None or not count else dollars(MONEY.divide(MONEY.multiply(amount, _MILLION), Decimal(count)))


def exact(value: Decimal, digits: int = 12) -> str:
    """All the decimals there are, up to `digits`, without an exponent."""
    shown = f"{round(value, digits) if abs(value) < 10**15 else value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
