"""Figures with the marks of their evidence: `~` holds estimates, `+?` is only partly known, `?` is not known at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from costspan.account.totals import money_plus, plus
from costspan.records import Coverage, Totals, Usage
from costspan.report.figures import UNKNOWN, dollars, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from costspan.records import AgentTotals, Call, Step, ToolTotals


class Evidence(Protocol):
    """How the calls of a sum are known: `records.Coverage`, and the history's sums."""

    @property
    def calls(self) -> int: ...
    @property
    def estimated_calls(self) -> int: ...
    @property
    def missing_calls(self) -> int: ...
    @property
    def refused_calls(self) -> int: ...
    @property
    def priced_calls(self) -> int: ...


def tilde(known: Evidence) -> str:
    """What stands before a number that holds an estimate."""
    return "~" if known.estimated_calls else ""


def of_tool(tool: ToolTotals, run: Totals) -> str:
    """The same for the tokens of a tool: its nested calls', and what is allocated of the run's."""
    return tilde(tool.nested.coverage) or (tilde(run.coverage) if tool.result_tokens is not None else "")


def rough(figure: str, guess: str, *, partly: bool = False) -> str:
    """A figure with that mark, and with `+?` where it is only `partly` known; what is not known needs none."""
    return figure if figure == UNKNOWN else f"{guess}{figure}{'+?' if partly else ''}"


def of_agents(figure: str, agents: Iterable[AgentTotals], run: Totals) -> str:
    """A figure over the agents' own tokens: partly known where one agent's are."""
    return rough(figure, tilde(run.coverage), partly=any(agent.self_totals.coverage.missing_calls for agent in agents))


def counted(count: int | None, known: Evidence) -> str:
    """One of a sum's counts of tokens."""
    if not known.calls:
        return "0"
    if count is None:
        # What was refused is known to have used nothing, as it is known to cost nothing.
        return "0" if known.refused_calls == known.calls else UNKNOWN
    return f"{tilde(known)}{tokens(count)}{'+?' if known.missing_calls else ''}"


def priced(amount: Decimal | None, known: Evidence) -> str:
    """Dollars of a sum; `unknown` when no call has a price. No calls have cost nothing, as they have used no tokens."""
    if amount is None:
        return "unknown" if known.calls > known.refused_calls else "$0"
    return f"{tilde(known)}{dollars(amount)}{'+?' if _leaves_out(known) else ''}"


def side(count: int | None, totals: Totals) -> str:
    """Input or output tokens of a sum, where what is missing is told beside them: as `counted`, without `+?`."""
    return marked_tokens(count, totals).removesuffix("+?")


def together(parts: Iterable[Totals]) -> Totals:
    """The calls, tokens, dollars and coverage of sums that have no call in common."""
    counts = [0] * 5
    given = made = amount = None
    for part in parts:
        known, usage = part.coverage, part.usage
        more = (part.calls, known.estimated_calls, known.missing_calls, known.refused_calls, known.priced_calls)
        counts = [have + count for have, count in zip(counts, more, strict=True)]
        given, made = plus(given, usage.input_tokens), plus(made, usage.output_tokens)
        amount = money_plus(amount, part.cost_usd)
    calls, estimated, missing, refused, priced_calls = counts
    coverage = Coverage(calls, 0, estimated, missing, refused, priced_calls)
    return Totals(calls, Usage(given, made), amount, coverage=coverage)


def known_tokens(totals: Totals) -> str:
    """Input plus output tokens of a sum."""
    return marked_tokens(totals.usage.total_tokens, totals)


def marked_tokens(count: int | None, totals: Totals) -> str:
    """One of a sum's counts, with the marks of that sum."""
    return counted(count, totals.coverage) if totals.calls else "0"


def known_cost(totals: Totals) -> str:
    """The same of a whole sum; a record that somebody else wrote may have calls and no word of how they are known."""
    known = totals.coverage
    return "unknown" if totals.cost_usd is None and totals.calls > known.calls else priced(totals.cost_usd, known)


def stated_cost(totals: Totals) -> str:
    """The same inside a sentence: `cost unknown` where no call has a price."""
    cost = known_cost(totals)
    return "cost unknown" if cost == "unknown" else cost


def is_partly_priced(totals: Totals) -> bool:
    """Whether the dollars of a sum leave out calls that were billed."""
    return _leaves_out(totals.coverage)


def _leaves_out(known: Evidence) -> bool:
    return known.priced_calls < known.calls - known.refused_calls


def rate(step: Step) -> str:
    """Tokens per second of a step."""
    known = step.totals.coverage
    return rough(tokens(step.tokens_per_second, 1), tilde(known), partly=known.missing_calls > 0)


def call_cost(call: Call) -> str:
    """Dollars of one call."""
    if call.cost is None:
        return "$0" if call.cache_hit or call.refused else "unknown"
    return f"{'~' if call.usage.source == 'estimated' else ''}{dollars(call.cost.amount_usd)}"


def call_tokens(call: Call, count: int | None) -> str:
    """One of a call's counts."""
    if count is None and call.refused:
        return "0"
    return UNKNOWN if count is None else f"{'~' if call.usage.source == 'estimated' else ''}{tokens(count)}"
