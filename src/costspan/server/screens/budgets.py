"""Budgets with what is left of them: limits of the budget file against the sums of the history. Days and months are of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.budgets import limits
from costspan.errors import SettingsError
from costspan.history import queries
from costspan.history.queries import add
from costspan.report.figures import dollars, share
from costspan.report.page.naming import plain
from costspan.report.page.shares import Bar, bar
from costspan.server.screens.sums import cost_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from costspan.budgets.limits import Limit
    from costspan.history.rows import Group, Sums

_KEYS: Final = {"workflow": "workflow", "agent": "agent", "model": "model", "provider": "provider", "job": "service",
                "environment": "environment"}  # fmt: skip
"""What a budget is matched by, and the name of the history for it."""
_NEAR: Final = Decimal("0.8")


class Budget(NamedTuple):
    """One limit of one budget. `state` is ok, near or over; `forecast` what the period will have cost at this rate."""

    name: str
    scope: str
    period: str
    limit: str
    spent: str
    left: str
    used: str
    forecast: str
    state: str
    bar: Bar | None


class Budgets(NamedTuple):
    """`trouble` is why the file cannot be read."""

    rows: Sequence[Budget]
    trouble: str = ""


def budgets(db: sqlite3.Connection, path: Path | None, now: datetime | None = None) -> Budgets | None:
    """None where no budget file is set."""
    if path is None:
        return None
    try:
        found = limits.read(path)
    except SettingsError as error:
        return Budgets((), plain(str(error)))
    now = now or datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    next_month = (month + timedelta(days=32)).replace(day=1)
    rows = []
    for limit in found:
        for words, amount, start, end in (
            ("today", limit.day_usd, day, day + timedelta(days=1)),
            ("this month", limit.month_usd, month, next_month),
        ):
            if amount is not None:
                gone = Decimal((now - start).total_seconds()) / Decimal((end - start).total_seconds())
                rows.append(budget(limit, words, amount, _spent(db, limit, start), gone))
    return Budgets(rows)


def budget(limit: Limit, period: str, amount: Decimal, spent: Sums, gone: Decimal) -> Budget:
    """`gone`: the part of the period that has passed, 0..1."""
    known = spent.cost_usd or Decimal(0)
    used, left = known / amount, amount - known
    forecast = known / gone if gone > Decimal("0.02") else None
    state = "over" if used >= 1 else "near" if used >= _NEAR or (forecast is not None and forecast > amount) else "ok"
    scope = ", ".join(f"{key} {' or '.join(plain(value) for value in values)}" for key, values in limit.match.items())
    return Budget(
        plain(limit.name),
        scope or "everything",
        period,
        dollars(amount),
        cost_of(spent) if spent.calls else "$0",
        dollars(left) if left >= 0 else f"{dollars(-left)} over",
        share(float(used)) if used < 1 else f"{used * 100:.0f} %",
        "" if forecast is None else dollars(forecast),
        state,
        bar(0, min(1.0, float(used)), {"ok": "good", "near": "near", "over": "over"}[state]) if used else None,
    )


def _spent(db: sqlite3.Connection, limit: Limit, since: datetime) -> Sums:
    names = tuple(_KEYS[key] for key in limit.match)
    groups = queries.by(db, names, since_ns=int(since.timestamp()) * 10**9)
    return add(group.sums for group in groups if _covers(limit, group))


def _covers(limit: Limit, group: Group) -> bool:
    return all(value in wanted for value, wanted in zip(group.key, limit.match.values(), strict=True))
