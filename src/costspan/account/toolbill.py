"""What a tool really costs: `nested`, the calls made inside it (exact), and `result`, the input its answers added.

`result` is measured as the growth of the input since the previous call of the same conversation, less the previous answer
that was sent along, and shared by length over the messages that are new. It is an allocation of tokens that the
calling agent has already been billed for, so it is never added to an agent's totals. Two calls belong to one conversation
when the earlier one's list of messages is a prefix of the later one's; where the list was rewritten or the input shrank, the
call's whole input is split by lengths instead. Calls without `request_lengths` tell nothing: `None`, not 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from costspan.account.totals import money_plus, plus
from costspan.normalise.request_lengths import MessageLength, decode
from costspan.records import MONEY, ZERO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from costspan.records import Call, Cost, Usage

    Messages = tuple[MessageLength, ...]

_OPEN_CONVERSATIONS: Final = 16
"""Conversations of one agent that are compared with its next call."""
_INPUT_TAIL: Final = ("input_uncached", "input_cache_write", "input_cache_read")
"""How a prompt is billed from its end: what is new comes last, cache reads cover its beginning."""
_ANSWERS: Final = frozenset({"ai", "assistant", "AIMessageChunk"})


class Bill:
    """Result tokens and dollars of one tool."""

    __slots__ = ("cost_usd", "tokens")

    def __init__(self) -> None:
        self.tokens: int | None = None
        self.cost_usd: Decimal | None = None

    def add(self, tokens: int, cost_usd: Decimal | None) -> None:
        self.tokens = plus(self.tokens, tokens)
        self.cost_usd = money_plus(self.cost_usd, cost_usd)


def results(calls: Iterable[Call], tools: Mapping[str, str]) -> dict[str, Bill]:
    """The result part of the bill per tool name, for one run's calls in order of time; `tools` maps tool call ids to names.

    A tool whose answers nobody's list of messages shows is not in the result.
    """
    bills: dict[str, Bill] = {}
    unseen = dict(tools)
    conversations: dict[tuple[str | None, str | None], list[tuple[Messages, Call]]] = {}
    for call in calls:
        messages = decode(call.request_lengths)
        if messages is None or call.usage.input_tokens is None or call.cache_hit:
            continue
        known = conversations.setdefault((call.owner.agent, call.conversation_id), [])
        before = _previous(messages, known)
        for name, tokens in _shares(call, messages, before, unseen):
            bills.setdefault(name, Bill()).add(tokens, tail_cost(tokens, call.usage, call.cost))
        if before is not None:
            known.remove(before)
        for message in messages:
            # What comes again later, or in another agent's conversation, is carried: a result is paid for once.
            unseen.pop(message.tool_call_id, None)
        known.append((messages, call))
        del known[:-_OPEN_CONVERSATIONS]
    return bills


def _previous(messages: Messages, known: list[tuple[Messages, Call]]) -> tuple[Messages, Call] | None:
    """The latest call whose messages begin this one's; the longest of them."""
    best = None
    for entry in reversed(known):
        length = len(entry[0])
        if length < len(messages) and messages[:length] == entry[0] and (best is None or length > len(best[0])):
            best = entry
    return best


def _shares(
    call: Call, messages: Messages, before: tuple[Messages, Call] | None, tools: Mapping[str, str]
) -> list[tuple[str, int]]:
    """(tool name, tokens) that new tool messages added to this call's input."""
    total = call.usage.input_tokens or 0
    if before is None:
        # The first call of a conversation, or a list that was rewritten: nothing to compare with.
        return _split(total, messages, [at for at in messages if at.tool_call_id in tools], tools)
    earlier, previous = before
    new = messages[len(earlier) :]
    answered = [at for at in new if at.tool_call_id in tools]
    if not answered:
        return []
    growth = total - (previous.usage.input_tokens or 0) - _resent(previous.usage, new)
    if growth < 0:
        return _split(total, messages, answered, tools)
    return _split(growth, [at for at in new if at.type not in _ANSWERS], answered, tools)


def _resent(usage: Usage, new: Sequence[MessageLength]) -> int:
    """Tokens of the previous answer that came back as input: all but its reasoning, which providers drop."""
    if usage.output_tokens is None or not any(at.type in _ANSWERS for at in new):
        return 0
    return max(0, usage.output_tokens - (usage.reasoning_tokens or 0))


def _split(
    tokens: int, among: Sequence[MessageLength], answered: Sequence[MessageLength], tools: Mapping[str, str]
) -> list[tuple[str, int]]:
    """Share tokens by length over `among`: what falls to the answered tool calls, in whole tokens, never more than there are."""
    length = sum(at.length for at in among)
    if not length:
        return [(tools[at.tool_call_id], tokens // len(among)) for at in answered] if among else []
    shares = []
    reached = given = 0
    for at in answered:
        reached += at.length
        upto = tokens * reached // length
        shares.append((tools[at.tool_call_id], upto - given))
        given = upto
    return shares


def tail_cost(tokens: int, usage: Usage, cost: Cost | None) -> Decimal | None:
    """Dollars that the last `tokens` of a call's input were billed at; None when the price of its parts is not known."""
    if cost is None or usage.input_tokens is None:
        return None
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    plain = usage.input_tokens - read - written - (usage.input_audio_tokens or 0)
    left, amount = tokens, ZERO
    for kind, count in zip(_INPUT_TAIL, (plain, written, read), strict=True):
        part = min(left, max(0, count))
        if part:
            if kind not in cost.by_type:
                return None
            share = MONEY.divide(MONEY.multiply(cost.by_type[kind], Decimal(part)), Decimal(count))
            amount = MONEY.add(amount, share)
            left -= part
    return MONEY.quantize(amount, Decimal("1e-15")).normalize(MONEY)
