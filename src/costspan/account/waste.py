"""What bought nothing, or may have been asked twice: tokens and dollars by reason and agent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.account.totals import money_plus, plus
from costspan.conventions import REPEATED
from costspan.records import Waste

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from costspan.records import Call

ASKED_MAX: Final = 10_000
"""Different requests of one run that are remembered."""
_TRUNCATED: Final = frozenset({"length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "incomplete"})


def waste_reason(call: Call) -> str | None:
    """Why a call bought nothing: what its emitter said, else what its end shows; one of `conventions.WASTE_REASONS`.

    A call that nobody billed, or whose usage is unknown, wastes nothing that can be shown.
    """
    if call.cache_hit or call.refused or (call.usage.total_tokens is None and call.cost is None):
        return None
    if call.waste is not None:
        return call.waste
    if call.outcome == "error":
        return "error"
    if call.outcome == "cancelled":
        return "aborted"
    return "truncated" if call.finish_reason in _TRUNCATED else None


class Asked:
    """The requests of a run that were answered, so that one that is sent again word for word is known. Bounded.

    Only a request that begins after the same one was answered repeats it: several at once are a choice of the program's
    (best of n). After a failure the same request is a retry, and the failure is what is wasted.
    """

    __slots__ = ("_answered",)

    def __init__(self) -> None:
        self._answered: dict[tuple[str | None, str], tuple[str, int]] = {}

    def reason(self, call: Call) -> str | None:
        """Why a call bought nothing, with `repeated_call` where nothing else is wrong. Asking twice gives the same answer."""
        reason = waste_reason(call)
        if reason is not None or call.request_hash is None or call.cache_hit or call.refused:
            return reason
        request = (call.owner.agent, call.request_hash)
        ident, ended_ns = self._answered.get(request, (call.id, 0))
        if ident != call.id and ended_ns <= call.started_ns:
            return REPEATED
        if ident == call.id and len(self._answered) < ASKED_MAX:
            self._answered[request] = (call.id, call.ended_ns)
        return None

    def settled(self, call: Call) -> Call:
        """The call with its reason, as it is booked."""
        reason = self.reason(call)
        return call if reason is None or reason == call.waste else replace(call, waste=reason)


def waste(calls: Iterable[Call]) -> tuple[Waste, ...]:
    """The waste of a run, dearest first. `calls` are in the order in which they began."""
    found: dict[tuple[str, str | None], tuple[int, int | None, Decimal | None]] = {}
    asked = Asked()
    for call in calls:
        if call.outcome == "ok" and call.waste is None and call.request_hash is None and call.finish_reason not in _TRUNCATED:
            continue  # nearly all of other people's spans
        reason = asked.reason(call)
        if reason is not None:
            key = (reason, call.owner.agent)
            count, tokens, cost = found.get(key, (0, None, None))
            amount = None if call.cost is None else call.cost.amount_usd
            found[key] = (count + 1, plus(tokens, call.usage.total_tokens), money_plus(cost, amount))
    rows = [Waste(reason, agent, *sums) for (reason, agent), sums in found.items()]
    return tuple(sorted(rows, key=lambda row: (-(row.cost_usd or 0), -(row.tokens or 0), row.reason, row.agent or "")))
