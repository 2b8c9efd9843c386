"""Runs for tests of pages: one like the demo's, one with hostile names, one large."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from costspan.account.totals import total
from costspan.records import AgentTotals, Call, Cost, Duplicate, ModelTotals, Owner, Run, Step, ToolTotals, Unpriced, Usage
from made_runs import NOON, SECOND, made_call, made_run

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)></style>\u202e\x1b[31m&lt;"
_MODELS = (("openai", "gpt-5-mini", 400_000), ("anthropic", "claude-haiku-4-5", 200_000))


def team_run(calls: int = 14, *, dearer: str = "1", run_id: str = "team-1") -> Run:
    """PM, Dev and QA taking turns on two models, with tools, cache reads, a retry, a duplicate and an unknown model."""
    made = [_call(number, dearer) for number in range(calls)]
    run = made_run(tuple(made), id=run_id, workflow="release-notes", ended_ns=NOON + (calls + 1) * SECOND)
    models = tuple(
        ModelTotals(provider, model, total(call for call in made if call.model == model), window)
        for provider, model, window in _MODELS
    )
    nested = total(made[2:3])
    tools = (
        ToolTotals(
            "run_tests", 5, 1, 3.21, ("QA",), total([]), 210, Decimal("0.0004"), 4_120, Decimal("0.001"), 9_800, Decimal("0.0007")
        ),
        ToolTotals("search_code", 9, 0, 0.82, ("Dev",), total([]), 95, Decimal("0.0001"), 1_870, Decimal("0.0005"), 640, None),
        ToolTotals("ask_reviewer", 2, 0, 4.05, ("Dev",), nested, 60, Decimal("0.0001"), 330, Decimal("0.0001"), None, None),
    )
    agents = []
    for agent in run.agents:
        mine = [call for call in made if call.owner.agent == agent.name]
        own = agent.self_totals
        subtree = total(made) if agent.name == "PM" else own
        agents.append(AgentTotals(agent.name, own, subtree, len(mine), tuple(dict.fromkeys(str(call.model) for call in mine))))
    return replace(run, agents=tuple(agents), models=models, tools=tools)


def _call(number: int, dearer: str) -> Call:
    provider, model, window = _MODELS[number % 3 == 1]
    agent, step = (("PM", "plan"), ("Dev", "write"), ("QA", "check"))[number % 3]
    given, made, cached = 900 + 640 * number, 120 + 35 * (number % 5), (300 * number if number % 2 else 0)
    parts = {
        "input_uncached": Decimal(given - cached) * Decimal("0.00000025"),
        "output_visible": Decimal(made) * Decimal("0.000002"),
    }
    if cached:
        parts["input_cache_read"] = Decimal(cached) * Decimal("0.000000025")
    parts = {name: amount * Decimal(dearer) for name, amount in parts.items()}
    cost = Cost(sum(parts.values(), Decimal(0)), parts, "table", f"{provider}/{model}@2026-01-01")
    more: dict[str, object] = {}
    if number == 3:
        more["duplicates"] = (
            Duplicate("00000000000000aa", "0" * 31 + "1", "opentelemetry.instrumentation.openai", Usage(given, made)),
        )
    if number == 4:
        more.update(outcome="error", error_type="RateLimitError", refused=False, retry_count=1, waste="retry")
    call = made_call(
        agent,
        Usage(given, made, cached or None),
        number=number,
        provider=provider,
        model=model,
        owner=Owner("release-notes", agent, step, "ask_reviewer" if number == 2 else None),
        started_ns=NOON + number * SECOND,
        ended_ns=NOON + number * SECOND + (300 + 90 * (number % 7)) * 10**6,
        context_window_tokens=window,
        finish_reason="stop",
        scope="costspan",
        time_to_first_token_seconds=0.21,
        **more,
    )
    return replace(call, cost=cost)


def hostile_run(*, storable: bool = False) -> Run:
    """Every text that comes from outside tries to break out; `storable`: all but the ids of spans, which are hex in a store."""
    number = "00000000000000ff" if storable else HOSTILE
    bad = HOSTILE
    cost = Cost(Decimal("0.01"), {bad: Decimal("0.01")}, bad, bad)
    call = made_call(
        bad,
        id=number,
        trace_id=number * 2,
        provider=bad,
        model=bad,
        request_model=bad + "1",
        response_model=bad + "2",
        response_id=bad,
        owner=Owner(bad, bad, bad, bad),
        outcome=bad,
        error_type=bad,
        finish_reason=bad,
        service_tier=bad,
        conversation_id=bad,
        scope=bad,
        problems=(bad,),
        fees={bad: 1},
        waste=bad,
        duplicates=(Duplicate(number, number * 2, bad, Usage(1, 1)),),
    )
    call = replace(call, cost=cost)
    other = made_call(None, cost=None, number=2, model=bad, unpriced=Unpriced(bad, bad), estimator=bad, provider=bad)
    run = made_run((call, other), workflow=bad, id=bad, outcome=bad, notes=(bad,))
    steps = (Step(0, bad, bad, NOON, NOON + SECOND, total([call]), bad),)
    return replace(run, tools=(ToolTotals(bad, 1, agents=(bad,)),), steps=steps, models=(ModelTotals(bad, bad, total([call])),))
