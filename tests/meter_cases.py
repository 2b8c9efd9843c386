"""Calls and runs with round figures for the tests of meters and of what renders them."""

from __future__ import annotations

from decimal import Decimal

from costspan import conventions as names
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


def everything(meters):
    """20 agents, 5 models and 8 tools, each with each, in every outcome, token type, source and reason there is."""
    every_type = dict.fromkeys(names.COST_TYPES, "0.01")
    usage = {
        "input_tokens": 100, "output_tokens": 100, "cache_read_tokens": 10, "cache_write_tokens": 10,
        "reasoning_tokens": 10, "input_audio_tokens": 10, "output_audio_tokens": 10,
    }  # fmt: skip
    for source in ("reported", "estimated"):
        for price in ("table", "override", "provider"):
            for outcome in names.OUTCOMES:
                for agent in range(20):
                    for model in range(5):
                        owner = records.Owner("flow", f"agent {agent}")
                        given = call(
                            model=f"model {model}", owner=owner, outcome=outcome, stream=True, waste="retry",
                            time_to_first_token_seconds=1.0, cost=cost(every_type, price),
                            usage=records.Usage(**usage, source=source),
                        )  # fmt: skip
                        meters.call(given)
    for model in range(5):
        for reason in names.UNPRICED_REASONS:
            meters.call(call(model=f"model {model}", cost=None, unpriced=records.Unpriced(reason)))
        for reason in names.UNREPORTED_REASONS:
            meters.call(call(model=f"model {model}", cost=None, usage=records.NO_USAGE, missing_reason=reason))
    for tool in range(8):
        for agent in range(20):
            for outcome in names.OUTCOMES:
                meters.tool(f"tool {tool}", f"agent {agent}", outcome=outcome, duration_seconds=1)
        for part in names.TOOL_PARTS:
            meters.tool_tokens(f"tool {tool}", part, 1, Decimal(1))
    for agent in range(20):
        for reason in names.WASTE_REASONS:
            meters.call(call(owner=records.Owner("flow", f"agent {agent}"), waste=reason))
    for outcome in names.OUTCOMES:
        meters.run(run(outcome=outcome))
