"""How far a run's numbers can be trusted, in plain lines: what is missing, why, and the line of code that mends it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from costspan.conventions import REPEATED, SCOPE
from costspan.records import ESTIMATED, MISSING, MONEY
from costspan.report.figures import dollars, many, share, tokens
from costspan.report.marks import known_tokens, stated_cost, tilde
from costspan.report.names import clean, fit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.records import Call, Run, Totals, Waste

_STREAM: Final = "stream_without_usage"
_ABORTED: Final = "aborted"
_FAILED: Final = "error"
_UNSAID: Final = "unknown"
_ODD: Final = "invalid_"
_WHY: Final = {
    _STREAM: "streamed without usage",
    _ABORTED: "aborted before the usage came, and billed by the provider all the same",
    _FAILED: "failed and may have been billed; the provider did not tell how much",
    _UNSAID: "answered without usage",
    _ODD: "answered with counts that cannot be",
}
MEND: Final = "; mend: "
"""Between what is wrong and what mends it."""
ASK_STREAM_USAGE: Final = "COSTSPAN_ASK_STREAM_USAGE=on, or costspan.enable(ask_stream_usage=True)"
"""Mends the streams of every client that costspan has hooked itself."""
_MEND_LANGCHAIN: Final = "ChatOpenAI(..., stream_usage=True)"
_MEND_OPENAI: Final = 'create(..., stream_options={"include_usage": True})'
_MEND_STREAM: Final = 'ChatOpenAI(..., stream_usage=True), or stream_options={"include_usage": True} with the bare OpenAI client'
_PRICE: Final = "add a price and set COSTSPAN_PRICES to its file"
_NAME: Final = "give the model its name: ChatOpenAI(model=...), record_call(model=...)"
_WASTE_WORDS: Final = {
    "failed_parse": ("failed parse", "failed parses"),
    "error": ("error", "errors"),
    "retry": ("retry", "retries"),
    "truncated": ("truncated answer", "truncated answers"),
    REPEATED: ("repeated call", "repeated calls"),
    "aborted": ("aborted call", "aborted calls"),
}
_NAMES_MAX: Final = 3
NAME_COLUMNS: Final = 100
"""Columns of a name inside a sentence."""
NAME_A_RUN: Final = 'put them inside `with costspan.run("name"):` and each run has a summary and a record of its own'


def headline(run: Run) -> str:
    """`$0.0346, 100 % reported and priced`; a cost that is partly known is `$0.0346+?`, an unknown one `cost unknown`."""
    totals, coverage = run.totals, run.totals.coverage
    billed = coverage.calls - coverage.refused_calls
    if totals.calls == 0 or (billed == 0 and totals.cost_usd is None):
        return "no billed model calls"
    line = f"{stated_cost(totals)}, {share(coverage.share)} reported and priced"
    if coverage.share is not None and 0 < coverage.share < 1:
        line += f" ({round(coverage.share * billed):,} of {many(billed, 'call')})"
    return line


def outside(totals: Totals) -> str:
    """`calls outside of any run: 3 calls, 1 error`."""
    facts = [many(totals.calls, "call")]
    if totals.errors:
        facts.append(many(totals.errors, "error"))
    if totals.cache_hits:
        facts.append(many(totals.cache_hits, "cached answer"))
    return f"calls outside of any run: {', '.join(facts)}"


def gaps(run: Run, *, ascii_only: bool = True) -> tuple[str, ...]:
    """One line for each reason why a number is not fully known; empty when all is known."""
    if not run.calls:
        return _counted_gaps(run)
    lines = [
        *_missing(run.calls, ascii_only=ascii_only),
        *_estimated(run.calls, ascii_only=ascii_only),
        *_unpriced(run.calls, ascii_only=ascii_only),
    ]
    return tuple(lines)


def waste(run: Run, *, ascii_only: bool = True) -> tuple[str, ...]:
    """`$0.0021 bought nothing: 1 failed parse, 2 retries`, and apart from it what was asked again; empty without waste.

    A program that samples asks the same again and uses every answer, so that is told without a judgement.
    """
    again = [item for item in run.waste if item.reason == REPEATED]
    rest = [item for item in run.waste if item.reason != REPEATED]
    lines = []
    if rest:
        lines.append(_wasted(run, rest, "bought nothing", ascii_only=ascii_only))
    if again:
        told = _wasted(run, again, "for asking again what was answered", ascii_only=ascii_only)
        lines.append(f"{told} (fine if you are sampling)")
    return tuple(lines)


def _wasted(run: Run, items: Iterable[Waste], verdict: str, *, ascii_only: bool) -> str:
    calls: Counter[str] = Counter()
    amount = None
    spent = 0
    whole = True
    for item in items:
        calls[item.reason] += item.calls
        spent += item.tokens or 0
        if item.cost_usd is None:
            whole = False
        else:
            amount = item.cost_usd if amount is None else MONEY.add(amount, item.cost_usd)
    if amount is None:
        head = f"{tokens(spent)} tokens of unknown cost" if spent else "An unknown amount"
    else:
        head = dollars(amount) if whole else f"{dollars(amount)} and more"
    if amount is not None or spent:
        head = f"{tilde(run.totals.coverage)}{head}"
    parts = [
        many(number, *_WASTE_WORDS.get(reason) or [clean(reason, ascii_only=ascii_only)] * 2) for reason, number in calls.items()
    ]
    return f"{head} {verdict}: {', '.join(parts)}"


def unattributed(run: Run) -> str | None:
    """What the calls of nobody cost, and how to name their owner; None when every call has one."""
    totals = run.unattributed
    if not totals.calls:
        return None
    spent = f"{known_tokens(totals)} tokens, {stated_cost(totals)}"
    return f'unattributed: {many(totals.calls, "call")} of no agent, {spent}{MEND}with costspan.agent("name"):'


def _missing(calls: Iterable[Call], *, ascii_only: bool) -> list[str]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        if call.usage.source == MISSING and not call.cache_hit and not call.refused:
            reason = call.missing_reason or _UNSAID
            odd = reason == _UNSAID and any(problem.startswith(_ODD) for problem in call.problems)
            groups.setdefault(_ODD if odd else reason, []).append(call)
    return [
        _line(
            len(found),
            _WHY.get(reason) or clean(reason, ascii_only=ascii_only),
            found,
            _mend(reason, found),
            ascii_only=ascii_only,
        )
        for reason, found in groups.items()
    ]


def _mend(reason: str, calls: list[Call]) -> str | None:
    if reason != _STREAM:
        return None
    if all(call.scope == SCOPE for call in calls):
        return ASK_STREAM_USAGE
    by_langchain = ["langchain" in f"{call.dialect} {call.scope}".lower() for call in calls]
    if all(by_langchain):
        return _MEND_LANGCHAIN
    by_openai = ["openai" in f"{call.dialect} {call.scope}".lower() for call in calls]
    return _MEND_OPENAI if all(by_openai) and not any(by_langchain) else _MEND_STREAM


def _estimated(calls: Iterable[Call], *, ascii_only: bool) -> list[str]:
    found = [call for call in calls if call.usage.source == ESTIMATED and not call.cache_hit]
    if not found:
        return []
    by = sorted({call.estimator for call in found if call.estimator})
    why = "estimated" + (f" by {', '.join(clean(name, ascii_only=ascii_only) for name in by)}" if by else "")
    return [_line(len(found), why, found, None, ascii_only=ascii_only)]


def _unpriced(calls: Iterable[Call], *, ascii_only: bool) -> list[str]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        if call.unpriced is not None and call.cost is None and not call.cache_hit:
            groups.setdefault(call.unpriced.reason, []).append(call)
    lines = []
    for reason, found in groups.items():
        if reason == "invalid_usage":
            detail = next((call.unpriced.detail for call in found if call.unpriced and call.unpriced.detail), None)
            why = f"not priced: {detail}" if detail else "not priced: the usage contradicts itself"
            lines.append(_line(len(found), clean(why, ascii_only=ascii_only), found, None, ascii_only=ascii_only))
            continue
        nameless = [call for call in found if call.model is None]
        named = [call for call in found if call.model is not None]
        for some, mend in ((named, _PRICE), (nameless, _NAME)):
            if some:
                lines.append(_line(len(some), "without a known price", some, mend, ascii_only=ascii_only))
    return lines


def _line(number: int, why: str, calls: list[Call], mend: str | None, *, ascii_only: bool) -> str:
    """`1 call streamed without usage (gpt-5-mini in QA): mend …`."""
    where: dict[str, None] = {}
    for call in calls:
        model = call.model or call.response_model or call.request_model
        name = "unnamed model" if model is None else fit(clean(model, ascii_only=ascii_only), NAME_COLUMNS)
        agent = f" in {fit(clean(call.owner.agent, ascii_only=ascii_only), NAME_COLUMNS)}" if call.owner.agent else ""
        where[name + agent] = None
    places = list(where)
    more = f" and {len(places) - _NAMES_MAX} more" if len(places) > _NAMES_MAX else ""
    line = f"{many(number, 'call')} {why} ({', '.join(places[:_NAMES_MAX])}{more})"
    return f"{line}{MEND}{mend}" if mend else line


def _counted_gaps(run: Run) -> tuple[str, ...]:
    """The same from the counts alone, for a sum whose calls were not kept."""
    coverage = run.totals.coverage
    billed = coverage.calls - coverage.refused_calls
    unpriced = billed - coverage.missing_calls - coverage.priced_calls
    lines = []
    if coverage.missing_calls:
        lines.append(f"{many(coverage.missing_calls, 'call')} without usage")
    if coverage.estimated_calls:
        lines.append(f"{many(coverage.estimated_calls, 'call')} estimated")
    if unpriced > 0:
        lines.append(f"{many(unpriced, 'call')} without a known price{MEND}{_PRICE}")
    return tuple(lines)
