"""A `Run` as compact JSON and back, without loss: each record as a list of its fields in a fixed order, the empty tail cut.

A tenth of the run record's size and time. The order below is the format: new fields go to the end of a list, and what an
older file lacks takes the field's default. Money is a decimal string, exact.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from costspan.errors import HistoryError
from costspan.history.packing import pack, unpack
from costspan.records import (
    COUNTS,
    NO_USAGE,
    AgentTotals,
    Call,
    Cost,
    Coverage,
    Duplicate,
    Efficiency,
    ModelTotals,
    Owner,
    Run,
    Step,
    ToolTotals,
    Totals,
    Unpriced,
    Usage,
    Waste,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT: Final = 1
Json = Any

_USAGE: Final = (*COUNTS, "source")
_COVERAGE: Final = (
    "calls", "reported_calls", "estimated_calls", "missing_calls", "refused_calls", "priced_calls", "share",
)  # fmt: skip
_TOTALS: Final = ("calls", "errors", "cache_hits", "duration_seconds", "price_refs")
_CALL: Final = (
    "id", "trace_id", "provider", "model", "parent_id", "operation", "request_model", "response_model", "response_id",
    "started_ns", "ended_ns", "time_to_first_token_seconds", "finish_reason", "outcome", "error_type", "stream",
    "service_tier", "batch", "fees", "missing_reason", "refused", "cache_hit", "retry_count", "waste", "metered",
    "context_window_tokens", "conversation_id", "request_lengths", "request_hash", "scope", "dialect", "estimator", "problems",
)  # fmt: skip
_TOOL: Final = (
    "name", "calls", "errors", "duration_seconds", "agents", "call_tokens", "result_tokens", "carried_tokens",
)  # fmt: skip
_TOOL_MONEY: Final = ("call_cost_usd", "result_cost_usd", "carried_cost_usd")
_STEP: Final = ("index", "agent", "name", "started_ns", "ended_ns", "outcome")
_WASTE: Final = ("reason", "agent", "calls", "tokens")
_EFFICIENCY: Final = (
    "average_tokens_per_agent", "max_agent_tokens", "max_agent", "input_output_ratio", "cache_hit_ratio",
    "output_tokens_per_second", "context_window_peak_percent",
)  # fmt: skip
_RUN: Final = ("id", "workflow", "started_ns", "ended_ns", "outcome", "trace_ids", "notes")

_usage_of, _coverage_of, _totals_of, _call_of = (attrgetter(*names) for names in (_USAGE, _COVERAGE, _TOTALS, _CALL))
_tool_of, _step_of, _waste_of, _efficiency_of, _run_of = (
    attrgetter(*names) for names in (_TOOL, _STEP, _WASTE, _EFFICIENCY, _RUN)
)


def encode(run: Run) -> bytes:
    """The run, packed."""
    return pack(
        [
            FORMAT,
            _run_of(run),
            _totals(run.totals),
            [[agent.name, _totals(agent.self_totals), _same(agent), agent.steps, agent.models] for agent in run.agents],
            [[_tool_of(tool), _totals(tool.nested), [_text(getattr(tool, name)) for name in _TOOL_MONEY]] for tool in run.tools],
            [[_step_of(step), _totals(step.totals)] for step in run.steps],
            [[model.provider, model.model, _totals(model.totals), model.context_window_tokens] for model in run.models],
            [_call(call) for call in run.calls],
            _totals(run.unattributed),
            [[_waste_of(waste), _text(waste.cost_usd)] for waste in run.waste],
            [_efficiency_of(run.efficiency), _text(run.efficiency.cost_per_step_usd)],
        ]
    )


def decode(body: bytes) -> Run:
    """The run again, equal to what was encoded. Raises HistoryError for damage and for a format that is not known."""
    data = unpack(body)
    if not isinstance(data, list) or not data or data[0] != FORMAT:
        message = "a run in the history is in a format that this costspan does not know: update costspan"
        raise HistoryError(message)
    try:
        return _run(data)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, InvalidOperation) as error:
        message = f"a run in the history is damaged ({error})"
        raise HistoryError(message) from error


# --- to JSON -----------------------------------------------------------------------------------------------
def _same(agent: AgentTotals) -> Json:
    """Most agents invoke nobody, and their subtree is what they did themselves: 0 then."""
    return 0 if agent.subtree == agent.self_totals else _totals(agent.subtree)


def _totals(totals: Totals) -> Json:
    if not totals.calls and not totals.cache_hits:
        return 0
    return [
        _totals_of(totals),
        _usage(totals.usage),
        _text(totals.cost_usd),
        _texts(totals.cost_by_type),
        _texts(totals.cost_by_source),
        _coverage_of(totals.coverage),
    ]


def _usage(usage: Usage) -> Json:
    return 0 if usage is NO_USAGE else _usage_of(usage)


def _call(call: Call) -> Json:
    cost, unpriced = call.cost, call.unpriced
    return [
        _call_of(call),
        _usage(call.usage),
        tuple(call.owner),  # a named tuple is not JSON to everybody
        None if cost is None else [_text(cost.amount_usd), _texts(cost.by_type), cost.source, cost.ref],
        None if unpriced is None else [unpriced.reason, unpriced.detail],
        [[other.span_id, other.trace_id, other.scope, _usage(other.usage)] for other in call.duplicates],
    ]


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


# --- and back ----------------------------------------------------------------------------------------------
def _run(data: Sequence[Json]) -> Run:
    _, head, totals, agents, tools, steps, models, calls, nobodys, waste, efficiency = data[:11]
    return Run(
        **_named(_RUN, head, ("trace_ids", "notes")),
        totals=_to_totals(totals),
        agents=tuple(_to_agent(agent) for agent in agents),
        tools=tuple(_to_tool(tool) for tool in tools),
        steps=tuple(Step(**_named(_STEP, step), totals=_to_totals(sums)) for step, sums in steps),
        models=tuple(ModelTotals(provider, model, _to_totals(sums), window) for provider, model, sums, window in models),
        calls=tuple(_to_call(call) for call in calls),
        unattributed=_to_totals(nobodys),
        waste=tuple(Waste(**_named(_WASTE, one), cost_usd=_money(cost)) for one, cost in waste),
        efficiency=Efficiency(**_named(_EFFICIENCY, efficiency[0]), cost_per_step_usd=_money(efficiency[1])),
    )


def _named(names: Sequence[str], values: Sequence[Json], lists: Sequence[str] = ()) -> dict[str, Any]:
    found = dict(zip(names, values, strict=False))
    for name in lists:
        found[name] = tuple(found.get(name) or ())
    return found


def _to_agent(agent: Json) -> AgentTotals:
    name, own, subtree, steps, models = agent
    self_totals = _to_totals(own)
    return AgentTotals(name, self_totals, self_totals if subtree == 0 else _to_totals(subtree), steps, tuple(models))


def _to_tool(tool: Json) -> ToolTotals:
    head, nested, money = tool
    costs = _named(_TOOL_MONEY, [_money(value) for value in money])
    return ToolTotals(**_named(_TOOL, head, ("agents",)), nested=_to_totals(nested), **costs)


def _to_totals(data: Json) -> Totals:
    if data == 0:
        return Totals()
    head, usage, cost, by_type, by_source, coverage = data
    return Totals(
        **_named(_TOTALS, head, ("price_refs",)),
        usage=_to_usage(usage),
        cost_usd=_money(cost),
        cost_by_type=_moneys(by_type),
        cost_by_source=_moneys(by_source),
        coverage=Coverage(*coverage),
    )


def _to_usage(data: Json) -> Usage:
    return NO_USAGE if data == 0 else Usage(*data)


def _to_call(data: Json) -> Call:
    head, usage, owner, cost, unpriced, duplicates = data
    return Call(
        **_named(_CALL, head, ("problems",)),
        usage=_to_usage(usage),
        owner=Owner(*owner),
        cost=None if cost is None else Cost(Decimal(cost[0]), _moneys(cost[1]), cost[2], cost[3]),
        unpriced=None if unpriced is None else Unpriced(*unpriced),
        duplicates=tuple(Duplicate(one, trace, scope, _to_usage(told)) for one, trace, scope, told in duplicates),
    )


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _moneys(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}
