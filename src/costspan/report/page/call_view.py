"""One call as plain data: the price row that was used and the arithmetic, its evidence, and the spans that told of it too."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.conventions import NOT_SENT, REPEATED
from costspan.normalise.partition import partition
from costspan.records import MONEY
from costspan.report.figures import exact, lasted, many, moment, percent, seconds, tokens
from costspan.report.marks import call_cost, call_tokens
from costspan.report.page.naming import DASH, maybe, model_name, plain, state
from costspan.report.page.shares import TYPE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from costspan.records import Call, Usage

_MILLION: Final = Decimal(1_000_000)
_PRICED_BY: Final = {
    "provider": "stated by the provider",
    "override": "from your price file (COSTSPAN_PRICES)",
    "table": "from the price table",
}
_MISSING: Final = {
    "stream_without_usage": "it was streamed without usage",
    "aborted": "it was aborted before the usage came",
    "error": "it failed, and the provider did not tell whether it was billed",
}
_CODE: Final = ("response id", "span")


class Product(NamedTuple):
    """One line of the arithmetic: tokens times the price of a million is the amount."""

    what: str
    tokens: str
    rate: str
    amount: str


class Fact(NamedTuple):
    """`code`: an id, shown in the machine's letters."""

    name: str
    value: str
    code: bool = False


class Told(NamedTuple):
    """A span that told of the same call."""

    scope: str
    span: str
    usage: str


class CallView(NamedTuple):
    """`ref` is the price row. `unpriced` says why there is no cost; then `products` is empty."""

    name: str
    number: int
    title: str
    outcome: str
    state: str
    cost: str
    given: str
    made: str
    priced_by: str
    ref: str
    products: Sequence[Product]
    total: str
    unpriced: str
    source: str
    evidence: Sequence[str]
    duplicates: Sequence[Told]
    folded: str
    facts: Sequence[Fact]


def call_view(call: Call, index: int, *, name: str = "") -> CallView:
    """The details of a call; `name` is the id of its panel where there are many on a page."""
    cost = call.cost
    return CallView(
        name,
        index + 1,
        model_name(call),
        plain(call.outcome),
        state(call.outcome),
        call_cost(call),
        call_tokens(call, call.usage.input_tokens),
        call_tokens(call, call.usage.output_tokens),
        "" if cost is None else plain(_PRICED_BY.get(cost.source, cost.source)),
        "" if cost is None else maybe(cost.ref),
        () if cost is None else _products(call),
        "" if cost is None else exact(cost.amount_usd),
        _why_unpriced(call) if cost is None else "",
        plain(call.usage.source),
        _evidence(call),
        [Told(plain(item.scope), plain(item.span_id), _both(item.usage)) for item in call.duplicates],
        f"{many(len(call.duplicates), 'more span')} told of this call, folded into it and not counted again",
        list(_facts(call)),
    )


def _products(call: Call) -> list[Product]:
    assert call.cost is not None
    try:
        counts = dict(partition(call.usage))
    except ValueError:
        counts = {}
    return [_product(name, amount, counts.get(name), call) for name, amount in call.cost.by_type.items()]


def _product(name: str, amount: Decimal, count: int | None, call: Call) -> Product:
    words, _ = TYPE_WORDS.get(name, (plain(name), ""))
    if name == "fee" and call.fees:
        words = f"{words} ({', '.join(f'{tokens(uses)} × {plain(what)}' for what, uses in call.fees.items())})"
    rate = ""
    if count:
        mixed = name == "input_cache_write" and 0 < (call.usage.cache_write_1h_tokens or 0) < count
        rate = f"{'mean ' if mixed else ''}{exact(MONEY.divide(MONEY.multiply(amount, _MILLION), Decimal(count)), 6)}"
    return Product(words, tokens(count) if count else DASH, rate or DASH, exact(amount))


def _why_unpriced(call: Call) -> str:
    if call.cache_hit:
        return "Answered from the framework's cache: nothing was billed."
    if call.missing_reason == NOT_SENT:
        return "It failed before it was sent: nothing was billed."
    if call.refused:
        return "The provider refused it: nothing was billed."
    if call.unpriced is None:
        return "The cost is not known, because the usage is not."
    detail = f": {plain(call.unpriced.detail)}" if call.unpriced.detail else ""
    return f"No price ({plain(call.unpriced.reason)}){detail}"


def _evidence(call: Call) -> list[str]:
    """Sentences: where the usage is from, who told it, and what is odd about it."""
    lines = [_usage(call)]
    if call.scope:
        lines.append(f"Read from {plain(call.scope)}.")
    if call.waste == REPEATED:
        lines.append("It asked again, word for word, what was answered before in this run (fine if you are sampling).")
    elif call.waste:
        lines.append(f"It bought nothing ({plain(call.waste)}).")
    if call.problems:
        lines.append(f"Odd: {', '.join(plain(problem) for problem in call.problems)}")
    return lines


def _usage(call: Call) -> str:
    if call.usage.source == "missing":
        if call.cache_hit or call.refused:
            return "Nothing was billed, so there is no usage."
        return f"Usage is missing: {_MISSING.get(call.missing_reason or '', 'nobody told it')}."
    if call.usage.source == "estimated":
        return f"Usage is estimated{f' by {plain(call.estimator)}' if call.estimator else ''}, not told by the provider."
    return "Usage was reported by the provider."


def _both(usage: Usage) -> str:
    given, made = usage.input_tokens, usage.output_tokens
    return "no tokens" if given is None and made is None else f"{tokens(given)} in, {tokens(made)} out"


def _facts(call: Call) -> Iterator[Fact]:
    owner = call.owner
    for name, value in (("agent", owner.agent), ("step", owner.step), ("inside tool", owner.tool), ("provider", call.provider)):
        if value:
            yield Fact(name, plain(value))
    if call.request_model and call.request_model != call.model:
        yield Fact("model asked for", plain(call.request_model))
    if call.response_model and call.response_model != call.model:
        yield Fact("model that answered", plain(call.response_model))
    yield Fact("started", moment(call.started_ns))
    yield Fact("duration", lasted(call.started_ns, call.ended_ns))
    if call.time_to_first_token_seconds is not None:
        yield Fact("first token after", seconds(call.time_to_first_token_seconds))
    if call.context_window_tokens and call.usage.total_tokens is not None:
        full = percent(100 * call.usage.total_tokens / call.context_window_tokens)
        yield Fact("context window", f"{full} of {tokens(call.context_window_tokens)}")
    yield from _more_facts(call)


def _more_facts(call: Call) -> Iterator[Fact]:
    for name, value in (
        ("finish reason", call.finish_reason),
        ("error", call.error_type),
        ("service tier", call.service_tier),
        ("conversation", call.conversation_id),
        ("response id", call.response_id),
        ("span", call.id),
    ):
        if value:
            yield Fact(name, plain(value), name in _CODE)
    if call.retry_count:
        yield Fact("retries", tokens(call.retry_count))
    if call.batch:
        yield Fact("batch", "yes")
