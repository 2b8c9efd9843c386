"""Calls of a trace that belong to no run, in the shape of a run, so that they can be listed and looked at like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.account.totals import total
from costspan.records import AgentTotals, Call, ModelTotals, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PREFIX: Final = "lone-"
_NOTE: Final = "these calls belong to no run: no agent, workflow or `costspan.run()` encloses them"


def lone_runs(calls: Iterable[Call]) -> list[Run]:
    """One for each trace, in order of time. Its id is `lone-` and the trace id."""
    by_trace: dict[str, list[Call]] = {}
    for call in calls:
        by_trace.setdefault(call.trace_id, []).append(call)
    return [_lone(trace_id, found) for trace_id, found in by_trace.items()]


def _lone(trace_id: str, calls: Sequence[Call]) -> Run:
    agents: dict[str | None, list[Call]] = {}
    models: dict[tuple[str | None, str | None], list[Call]] = {}
    for call in calls:
        agents.setdefault(call.owner.agent, []).append(call)
        if not call.cache_hit:
            models.setdefault((call.provider, call.model), []).append(call)
    nobodys = agents.pop(None, [])
    outcomes = {call.outcome for call in calls}
    return Run(
        id=f"{PREFIX}{trace_id}",
        workflow=next((call.owner.workflow for call in calls if call.owner.workflow), None),
        started_ns=min(call.started_ns for call in calls),
        ended_ns=max(max(call.ended_ns, call.started_ns) for call in calls),
        outcome=outcomes.pop() if len(outcomes) == 1 else "ok",
        trace_ids=tuple(dict.fromkeys([trace_id, *(other.trace_id for call in calls for other in call.duplicates)])),
        totals=total(calls),
        agents=tuple(_agent(name, found) for name, found in agents.items() if name is not None),
        models=tuple(
            ModelTotals(provider, model, total(found), found[0].context_window_tokens)
            for (provider, model), found in models.items()
        ),
        calls=tuple(calls),
        unattributed=total(nobodys),
        notes=(_NOTE,),
    )


def _agent(name: str, calls: Sequence[Call]) -> AgentTotals:
    totals = total(calls)
    return AgentTotals(name, totals, totals, models=tuple(sorted({call.model for call in calls if call.model})))
