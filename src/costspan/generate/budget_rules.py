"""Recording rules of the user's budgets: each limit as a series, and what was spent of it.

A budget matched by workflow, job or environment adds up what the ledger already keeps, with its history. One matched by
agent, model or provider keeps a ledger of its own over the dollars of calls, and starts to count when its rules are loaded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from costspan import conventions as names
from costspan.budgets.limits import CALL_KEYS
from costspan.generate.ledger import Account, Record, agents, book, windows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from costspan.budgets.limits import Limit
    from costspan.generate.thresholds import Thresholds

_SUMS = (
    "cost_usd:delta",
    "cost_usd:last1h",
    "cost_usd_per_hour:avg5m",
    "cost_usd_per_hour:avg30m",
    "cost_usd_per_hour:avg6h",
    "cost_usd_per_hour:avg1d",
    "cost_usd:today",
    "cost_usd:month_to_date",
    "cost_usd:month_forecast",
)


def matchers(limit: Limit, *, but: Sequence[str] = ()) -> str:
    """The PromQL matchers of a budget, braces included; empty when it matches everything."""
    parts = []
    for key, values in limit.match.items():
        if key in but:
            continue
        if len(values) == 1:
            parts.append(f"{key}={json.dumps(values[0], ensure_ascii=False)}")
        else:
            either = "|".join(_literal(value) for value in values)
            parts.append(f"{key}=~{json.dumps(either, ensure_ascii=False)}")
    return "{" + ", ".join(parts) + "}" if parts else ""


def labels(limit: Limit) -> dict[str, str]:
    """What every series and alert of a budget carries: its name and the owner's own labels."""
    return {"budget": limit.name, **(limit.labels or {})}


def budget(limit: Limit, knobs: Thresholds) -> list[Record]:
    """All recording rules of one budget. Without a day or month limit there is nothing to record."""
    if limit.day_usd is None and limit.month_usd is None:
        return []
    put = labels(limit)
    records = [Record(name, f"vector({amount})", put) for name, amount in _limits(limit)]
    own_ledger = bool(CALL_KEYS & limit.match.keys())
    spent = _own_ledger(limit, knobs) if own_ledger else _sums(limit)
    records += [Record(record.name, record.expr, put) for record in spent]
    records.append(_agents(limit, knobs, own_ledger=own_ledger))
    return records


def _limits(limit: Limit) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if limit.day_usd is not None:
        found.append((names.BUDGET_DAY_LIMIT, _plain(limit.day_usd)))
    if limit.month_usd is not None:
        found.append((names.BUDGET_MONTH_LIMIT, _plain(limit.month_usd)))
        found.append((names.BUDGET_HOURLY_LIMIT, f"{_plain(limit.month_usd)} / 720"))
    elif limit.day_usd is not None:
        found.append((names.BUDGET_HOURLY_LIMIT, f"{_plain(limit.day_usd)} / 24"))
    return found


def _sums(limit: Limit) -> list[Record]:
    which = matchers(limit)
    return [
        Record(f"budget:costspan_{part}", f"sum(workflow:costspan_{part}{which}) or vector(0)")
        for part in _SUMS
    ]  # fmt: skip


def _own_ledger(limit: Limit, knobs: Thresholds) -> list[Record]:
    own = f'{{budget="{limit.name}"}}'
    account = Account(
        names.COST_USD,
        matchers(limit),
        names.INSTANCE_BUDGET_SEEN,
        names.INSTANCE_BUDGET_BORN,
        names.INSTANCE_BUDGET_BEFORE,
        names.BUDGET_COST_DELTA,
        by=(),
        labels={"budget": limit.name},
    )
    records = book(account, knobs) + windows("budget", names.BUDGET_COST_DELTA, ("budget",), knobs, own=own)
    always = (names.BUDGET_COST_TODAY, names.BUDGET_COST_MONTH)
    return [Record(r.name, f"sum({r.expr}) or vector(0)" if r.name in always else r.expr) for r in records]


def _agents(limit: Limit, knobs: Thresholds, *, own_ledger: bool) -> Record:
    """Who spends of this budget right now; from the calls themselves where the agents' hour does not know model or provider."""
    if own_ledger:
        expr = agents(knobs, matchers=matchers(limit), by_labels=("agent",)).expr
    else:
        expr = f"sum by (agent) ({names.AGENT_COST_LAST_HOUR}{matchers(limit)})"
    return Record(names.BUDGET_AGENT_COST_LAST_HOUR, expr, labels(limit))


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _literal(value: str) -> str:
    """A value as an RE2 pattern that matches it and nothing else."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)
