"""Runs made by hand for tests of what shows them: exact sums over real `Call`s, without spans."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from costspan.account.efficiency import efficiency
from costspan.account.totals import total
from costspan.account.waste import waste
from costspan.records import (
    ESTIMATED,
    NO_USAGE,
    AgentTotals,
    Call,
    Cost,
    Duplicate,
    ModelTotals,
    Owner,
    Run,
    Step,
    ToolTotals,
    Totals,
    Unpriced,
    Usage,
)

SECOND = 10**9
NOON = 1_795_262_400 * SECOND  # 2026-11-21T12:00:00Z
TEN_AND_FIVE = Usage(10, 5)
PIPELINE = (("PM", 1234, 2456), ("Dev", 2345, 4567), ("QA", 1890, 1234))


def made_call(agent: str | None = "PM", usage: Usage = TEN_AND_FIVE, cost: str | None = "0.001", **more: object) -> Call:
    number = more.pop("number", 1)
    price = (
        None if cost is None else Cost(Decimal(cost), {"input_uncached": Decimal(cost)}, "table", "openai/gpt-5-mini@2026-01-01")
    )
    told = {
        "id": f"{number:016x}",
        "trace_id": "0" * 31 + "1",
        "provider": "openai",
        "model": "gpt-5-mini",
        "usage": usage,
        "owner": Owner("demo", agent, agent),
        "cost": price,
        "started_ns": NOON + number * SECOND,
        "ended_ns": NOON + (number + 1) * SECOND,
        "context_window_tokens": 200_000,
    }
    return Call(**{**told, **more})


def made_run(calls: tuple[Call, ...], **more: object) -> Run:
    names = dict.fromkeys(call.owner.agent for call in calls if call.owner.agent is not None)
    agents = []
    for name in names:
        own = total(call for call in calls if call.owner.agent == name)
        agents.append(AgentTotals(name, own, own, 1, ("gpt-5-mini",)))
    steps = tuple(
        Step(place, call.owner.agent, call.owner.step or "step", call.started_ns, call.ended_ns, total([call]), call.outcome)
        for place, call in enumerate(calls)
    )
    totals = total(calls)
    told = {
        "id": "run-1",
        "workflow": "demo",
        "started_ns": NOON,
        "ended_ns": NOON + 12 * SECOND + 345_000_000,
        "outcome": "ok",
        "trace_ids": ("0" * 31 + "1",),
        "totals": totals,
        "agents": tuple(agents),
        "steps": steps,
        "models": (ModelTotals("openai", "gpt-5-mini", totals, 200_000),),
        "calls": calls,
        "unattributed": total(call for call in calls if call.owner.agent is None),
        "waste": waste(calls),
        "efficiency": efficiency(totals, agents, calls, len(steps)),
    }
    return Run(**{**told, **more})


def pipeline() -> Run:
    """PM, Dev and QA, one call each, on a model with a window of 200,000 tokens."""
    return made_run(
        tuple(
            made_call(name, Usage(given, made), str(Decimal(given + made) / 10**6), number=number)
            for number, (name, given, made) in enumerate(PIPELINE)
        )
    )


def full_run() -> Run:
    """A run in which every list has an entry and every optional field a value, beside calls of which nothing is known."""
    cost = Cost(
        Decimal("0.0010"), {"input_uncached": Decimal("0.0004"), "fee": Decimal("0.0006")}, "override", "acme/m@2026-01-01"
    )
    told = replace(
        made_call("Dev", Usage(10, 5, 4, 3, 2, 1, 1, 1)),
        cost=cost,
        parent_id="0" * 16,
        request_model="a",
        response_model="b",
        response_id="c",
        time_to_first_token_seconds=0.5,
        finish_reason="stop",
        error_type="E",
        service_tier="flex",
        fees={"web_search": 2},
        conversation_id="t",
        estimator="toktok",
        problems=("zero_input",),
        duplicates=(Duplicate("1", "2", "scope", Usage(10, 5)),),
        waste="retry",
    )
    calls = (
        told,
        made_call(None, NO_USAGE, None, number=2, missing_reason="aborted", outcome="cancelled", provider=None, model=None),
        made_call("QA", Usage(1, 1, source=ESTIMATED), None, number=3, unpriced=Unpriced("unknown_model", "no price")),
        made_call("QA", number=4, started_ns=0, ended_ns=0),
    )
    tools = (
        ToolTotals("run_tests", 2, 1, 1.5, ("Dev",), total([told]), 5, Decimal("0.1"), 6, Decimal("0.2"), 7, Decimal("0.3")),
        ToolTotals("nothing"),
    )
    run = made_run(calls, tools=tools, notes=("a note",))
    return replace(run, models=(*run.models, ModelTotals(None, None, Totals())))
