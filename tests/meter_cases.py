"""Calls and runs with round figures for the tests of meters and of what renders them."""

from __future__ import annotations

from decimal import Decimal

from costspan import records

T0 = 1_800_000_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def cost(by_type=None, source="table"):
    parts = {name: Decimal(amount) for name, amount in (by_type or {"input_uncached": "0.5", "output_visible": "0.25"}).items()}
    total = Decimal(0)
    for amount in parts.values():
        total += amount
    return records.Cost(total, parts, source, "openai/gpt@2026-01-01")


def call(**changes):
    """100 in (20 of them cached) and 30 out (10 reasoning) in 2 seconds on a window of 1,000, for 0.75 dollars."""
    given = {
        "id": SPAN,
        "trace_id": TRACE,
        "provider": "openai",
        "model": "gpt",
        "usage": records.Usage(input_tokens=100, output_tokens=30, cache_read_tokens=20, reasoning_tokens=10),
        "owner": records.Owner(workflow="flow", agent="planner", step="plan"),
        "cost": cost(),
        "started_ns": T0,
        "ended_ns": T0 + 2_000_000_000,
        "context_window_tokens": 1000,
    }
    given.update(changes)
    return records.Call(**given)


def run(**changes):
    given = {
        "id": "run-1",
        "workflow": "flow",
        "started_ns": T0,
        "ended_ns": T0 + 90_000_000_000,
        "outcome": "ok",
        "trace_ids": (TRACE,),
        "totals": records.Totals(calls=3, usage=records.Usage(input_tokens=1000, output_tokens=200), cost_usd=Decimal("2.5")),
    }
    given.update(changes)
    return records.Run(**given)


def active(workflow, *, calls=1, tokens=10, usd="0.1", started_ns=T0, run_id="r"):
    return records.ActiveRun(run_id, workflow, TRACE, started_ns, calls, tokens, Decimal(usd))


def values(meters, metric):
    """Label tuple -> value of a counter or gauge, or (count, sum) of a histogram."""
    for found in meters.collect():
        if found.spec.name == metric:
            return {
                one.labels: (sum(one.counts), one.total) if found.spec.kind == "histogram" else one.value for one in found.series
            }
    return {}
