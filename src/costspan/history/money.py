"""Dollars as whole nano-dollars (1e-9 USD): what the history keeps.

Rounding rule: the cost of each call is rounded once, half to even, to a whole nano-dollar; every sum in the history is
a sum of these. So sums of the history agree with one another to the last digit, and differ from the exact sum by at
most half a nano-dollar a call (half a cent in ten million calls). The run record beside them keeps the exact decimals.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

NANO: Final = Decimal(10) ** 9
_CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_MAX: Final = 10**15
"""A call of more than a million dollars is a mistake of whoever told it, and sums must stay within 64 bits."""


def to_nano(amount: Decimal | None) -> int | None:
    """Whole nano-dollars of an amount in dollars; None stays None, and so becomes an absurd one."""
    if amount is None or not amount.is_finite() or abs(amount) > _MAX:
        return None
    nano = int(_CONTEXT.multiply(amount, NANO).to_integral_value(ROUND_HALF_EVEN))
    return nano if -_MAX <= nano <= _MAX else None


def from_nano(nano: int | None) -> Decimal | None:
    """Dollars of an amount in nano-dollars, without trailing zeros behind the point beyond what is needed."""
    return None if nano is None else _CONTEXT.scaleb(Decimal(nano), -9)
