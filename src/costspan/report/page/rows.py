"""The lines of a run's tables, every figure as it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costspan.conventions import NOT_SENT
from costspan.records import MONEY, ZERO
from costspan.report.figures import UNKNOWN, dollars, lasted, many, per_million, percent, seconds, tokens
from costspan.report.marks import (
    call_cost,
    call_tokens,
    is_partly_priced,
    known_cost,
    known_tokens,
    marked_tokens,
    of_tool,
    rate,
    rough,
    tilde,
)
from costspan.report.page.naming import maybe, model_name, plain, state
from costspan.report.page.shares import NOBODYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from costspan.records import Call, ModelTotals, Step, ToolTotals, Totals
    from costspan.report.page.place import Place


class StepRow(NamedTuple):
    """One execution. `seconds` is what durations are sorted by."""

    number: int
    agent: str
    colour: str
    name: str
    calls: str
    given: str
    made: str
    tokens: str
    cost: str
    duration: str
    seconds: float
    rate: str
    outcome: str
    state: str


class CallRow(NamedTuple):
    """One call. `evidence` is empty for a reported and priced one, else the word to show; `kind` its class of colour."""

    number: int
    link: str
    model: str
    agent: str
    colour: str
    given: str
    made: str
    fill: str
    cost: str
    duration: str
    seconds: float
    evidence: str
    kind: str
    duplicates: str
    outcome: str
    state: str


class ToolRow(NamedTuple):
    """One tool and its bill."""

    name: str
    calls: str
    errors: str
    duration: str
    seconds: float
    nested: str
    call: str
    result: str
    carried: str
    per_call: str
    cost: str


class ModelRow(NamedTuple):
    """One model of a run."""

    model: str
    provider: str
    calls: str
    given: str
    made: str
    cost: str
    per_million: str
    window: str
    refs: tuple[str, ...]


def step_row(step: Step, colour: Mapping[str | None, str]) -> StepRow:
    """One line of the step log."""
    totals = step.totals
    return StepRow(
        step.index,
        maybe(step.agent),
        colour.get(step.agent, NOBODYS),
        plain(step.name),
        tokens(totals.calls),
        marked_tokens(totals.usage.input_tokens, totals),
        marked_tokens(totals.usage.output_tokens, totals),
        known_tokens(totals),
        known_cost(totals),
        lasted(step.started_ns, step.ended_ns),
        round(step.duration_seconds, 6),
        rate(step),
        plain(step.outcome),
        state(step.outcome),
    )


def call_row(index: int, call: Call, place: Place, colour: Mapping[str | None, str]) -> CallRow:
    """One line of the list of calls."""
    usage, duration = call.usage, call.duration_seconds
    words, kind = _evidence(call)
    return CallRow(
        index + 1,
        place.link(index),
        model_name(call),
        maybe(call.owner.agent),
        colour.get(call.owner.agent, NOBODYS),
        call_tokens(call, usage.input_tokens),
        call_tokens(call, usage.output_tokens),
        _fill(call),
        call_cost(call),
        lasted(call.started_ns, call.ended_ns),
        round(duration, 6),
        words,
        kind,
        many(len(call.duplicates), "duplicate") if call.duplicates else "",
        plain(call.outcome),
        state(call.outcome),
    )


def tool_row(tool: ToolTotals, run: Totals) -> ToolRow:
    """One line of the tool bill of a run."""
    guess, nested = of_tool(tool, run), tool.nested.coverage
    return ToolRow(
        plain(tool.name),
        tokens(tool.calls),
        tokens(tool.errors),
        seconds(tool.duration_seconds),
        round(tool.duration_seconds, 6),
        known_tokens(tool.nested),
        rough(tokens(tool.call_tokens), guess),
        rough(tokens(tool.result_tokens), guess),
        rough(tokens(tool.carried_tokens), guess),
        rough(tokens(tool.tokens_per_call, 1), guess, partly=nested.missing_calls > 0),
        rough(
            sum_known(tool.nested.cost_usd, tool.call_cost_usd, tool.result_cost_usd, tool.carried_cost_usd),
            guess,
            partly=is_partly_priced(tool.nested),
        ),
    )


def model_row(model: ModelTotals) -> ModelRow:
    """One line of a run's models."""
    totals = model.totals
    return ModelRow(
        maybe(model.model),
        maybe(model.provider),
        tokens(totals.calls),
        marked_tokens(totals.usage.input_tokens, totals),
        marked_tokens(totals.usage.output_tokens, totals),
        known_cost(totals),
        rough(per_million(totals.cost_usd, totals.usage.total_tokens), tilde(totals.coverage), partly=is_partly_priced(totals)),
        tokens(model.context_window_tokens),
        tuple(plain(ref) for ref in totals.price_refs),
    )


def sum_known(*parts: Decimal | None) -> str:
    """Dollars of the parts that are known; `?` when none is."""
    known = [part for part in parts if part is not None]
    amount = ZERO
    for part in known:
        amount = MONEY.add(amount, part)
    return dollars(amount) if known else UNKNOWN


def _fill(call: Call) -> str:
    total = call.usage.total_tokens
    return percent(100 * total / call.context_window_tokens, 1) if call.context_window_tokens and total is not None else UNKNOWN


def _evidence(call: Call) -> tuple[str, str]:
    if call.cache_hit:
        return "from cache", "good"
    if call.refused:
        return "not sent" if call.missing_reason == NOT_SENT else "refused", "quiet"
    if call.usage.source != "reported":
        return plain(call.usage.source), "warn"
    return ("reported", "quiet") if call.cost is not None else ("unpriced", "warn")
