"""What bought nothing: tokens and dollars by reason and agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.account.totals import money_plus, plus
from costspan.records import MISSING, Waste

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from costspan.records import Call

_TRUNCATED: Final = frozenset({"length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "incomplete"})


def waste_reason(call: Call) -> str | None:
    """Why a call bought nothing: what its emitter said, else what its end shows; one of `conventions.WASTE_REASONS`.

    A call that nobody billed, or whose usage is unknown, wastes nothing that can be shown.
    """
    if call.cache_hit or call.refused or (call.usage.source == MISSING and call.cost is None):
        return None
    if call.waste is not None:
        return call.waste
    if call.outcome == "error":
        return "error"
    if call.outcome == "cancelled":
        return "aborted"
    return "truncated" if call.finish_reason in _TRUNCATED else None


def waste(calls: Iterable[Call]) -> tuple[Waste, ...]:
    """The waste of a run, dearest first. A request that one agent sends a second time, word for word, is `repeated_call`."""
    found: dict[tuple[str, str | None], tuple[int, int | None, Decimal | None]] = {}
    asked: set[tuple[str | None, str]] = set()
    for call in calls:
        reason = waste_reason(call)
        if call.request_hash is not None and not call.cache_hit:
            request = (call.owner.agent, call.request_hash)
            # After a failure the same request is a retry, and the failure is what is wasted.
            if reason is None and request in asked:
                reason = "repeated_call"
            if reason is None:
                asked.add(request)
        if reason is not None:
            key = (reason, call.owner.agent)
            count, tokens, cost = found.get(key, (0, None, None))
            amount = None if call.cost is None else call.cost.amount_usd
            found[key] = (count + 1, plus(tokens, call.usage.total_tokens), money_plus(cost, amount))
    rows = [Waste(reason, agent, *sums) for (reason, agent), sums in found.items()]
    return tuple(sorted(rows, key=lambda row: (-(row.cost_usd or 0), -(row.tokens or 0), row.reason, row.agent or "")))
