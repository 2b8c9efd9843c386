"""One call on the page: the price row that was used and the arithmetic, its evidence, and the spans that told of it too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from costspan.conventions import NOT_SENT
from costspan.normalise.partition import partition
from costspan.records import MONEY
from costspan.report.charts import TYPE_WORDS
from costspan.report.figures import UNKNOWN, dollars, many, percent, seconds, tokens
from costspan.report.marks import call_cost, call_tokens
from costspan.report.markup import Cell, Column, Html, badge, maybe, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Call, Usage

_MILLION: Final = Decimal(1_000_000)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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


def clock(at_ns: int) -> Html:
    """A moment as `2026-11-21 12:00:01 UTC`, with the machine's spelling of it."""
    shown = moment(at_ns)
    return Html(f'<time datetime="{shown[:10]}T{shown[11:19]}Z">{shown}</time>' if shown != UNKNOWN else shown)


def moment(at_ns: int) -> str:
    """The same without markup; `?` for what is no time of the calendar."""
    if at_ns <= 0:
        return UNKNOWN
    try:
        return f"{_EPOCH + timedelta(microseconds=at_ns // 1000):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return UNKNOWN


def model_name(call: Call) -> Html:
    """The model that people know the call by."""
    name = call.model or call.response_model or call.request_model
    return text(name) if name else Html("unnamed model")


def drawer(call: Call, place: int, *, name: str, back: str) -> Html:
    """The details of a call, for a panel that `back` closes."""
    return Html(
        f'<aside class="drawer" id="{name}"><a class="close" href="{back}" aria-label="Close">×</a>{details(call, place)}</aside>'
    )


def details(call: Call, place: int) -> Html:
    """What the panel says."""
    facts = "".join(f"<dt>{what}</dt><dd>{value}</dd>" for what, value in _facts(call))
    return Html(
        f"<h3>Call {place + 1}: {model_name(call)}</h3><p>{badge(call.outcome)} <b>{call_cost(call)}</b>, "
        f"{call_tokens(call, call.usage.input_tokens)} tokens in, {call_tokens(call, call.usage.output_tokens)} out</p>"
        f"{_arithmetic(call)}<h4>Evidence</h4>{_evidence(call)}{_duplicates(call)}<dl>{facts}</dl>"
    )


def _arithmetic(call: Call) -> str:
    """Tokens times price, a line for each type, down to the amount."""
    cost = call.cost
    if cost is None:
        return f'<p class="warn">{_why_unpriced(call)}</p>'
    if not cost.by_type:
        return ""
    try:
        counts = dict(partition(call.usage))
    except ValueError:
        counts = {}
    rows = [_product(name, amount, counts.get(name), call) for name, amount in cost.by_type.items()]
    blank = Cell("", number=True)
    rows.append((Cell("<b>total</b>"), blank, blank, Cell(f"<b>{_exact(cost.amount_usd)}</b>", number=True)))
    heads = (Column("what"), Column("tokens", number=True), Column("$ per million", number=True), Column("$", number=True))
    priced = _PRICED_BY.get(cost.source, cost.source)
    return f"<h4>Price</h4><p>{text(priced)}: <code>{maybe(cost.ref)}</code></p>" + table(
        "How the cost was reckoned", heads, rows, sortable=False
    )


def _product(name: str, amount: Decimal, count: int | None, call: Call) -> tuple[Cell, ...]:
    words, _ = TYPE_WORDS.get(name, (name, ""))
    label = text(words)
    if name == "fee" and call.fees:
        label = Html(f"{label} ({', '.join(f'{tokens(uses)} × {text(what)}' for what, uses in call.fees.items())})")
    rate = ""
    if count:
        per_million = MONEY.divide(MONEY.multiply(amount, _MILLION), Decimal(count))
        mixed = name == "input_cache_write" and 0 < (call.usage.cache_write_1h_tokens or 0) < count
        rate = f"{'mean ' if mixed else ''}{_plain(per_million)}"
    figures = (tokens(count) if count else "", rate, _exact(amount))
    return Cell(label), *(Cell(figure, number=True) for figure in figures)


def _exact(amount: Decimal) -> str:
    """All the decimals there are."""
    return _plain(amount, 12)


def _plain(value: Decimal, digits: int = 6) -> str:
    shown = f"{round(value, digits) if abs(value) < 10**15 else value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _why_unpriced(call: Call) -> Html:
    if call.cache_hit:
        return Html("Answered from the framework's cache: nothing was billed.")
    if call.missing_reason == NOT_SENT:
        return Html("It failed before it was sent: nothing was billed.")
    if call.refused:
        return Html("The provider refused it: nothing was billed.")
    if call.unpriced is None:
        return Html("The cost is not known, because the usage is not.")
    detail = f": {text(call.unpriced.detail)}" if call.unpriced.detail else ""
    return Html(f"No price ({text(call.unpriced.reason)}){detail}")


def _evidence(call: Call) -> str:
    source = call.usage.source
    if source == "missing":
        usage = f"Usage is <b>missing</b>: {_MISSING.get(call.missing_reason or '', 'nobody told it')}."
        if call.cache_hit or call.refused:
            usage = "Nothing was billed, so there is no usage."
    elif source == "estimated":
        usage = f"Usage is <b>estimated</b>{f' by {text(call.estimator)}' if call.estimator else ''}, not told by the provider."
    else:
        usage = "Usage was <b>reported</b> by the provider."
    told = f" Read from {text(call.scope)}" if call.scope else ""
    odd = f"<br>Odd: {', '.join(text(problem) for problem in call.problems)}" if call.problems else ""
    wasted = f"<br>It bought nothing ({text(call.waste)})." if call.waste else ""
    return f"<p>{usage}{told}{'.' if told else ''}{wasted}{odd}</p>"


def _duplicates(call: Call) -> str:
    if not call.duplicates:
        return ""
    items = "".join(
        f"<li>{text(item.scope)} <code>{text(item.span_id)}</code>: {_both(item.usage)}</li>" for item in call.duplicates
    )
    folded = f"{many(len(call.duplicates), 'more span')} told of this call, folded into it and not counted again:"
    return f"<p>{folded}</p><ul>{items}</ul>"


def _both(usage: Usage) -> str:
    given, made = usage.input_tokens, usage.output_tokens
    return "no tokens" if given is None and made is None else f"{tokens(given)} in, {tokens(made)} out"


def _facts(call: Call) -> Iterator[tuple[str, str]]:
    """(name, markup) of what is known."""
    owner = call.owner
    for name, value in (("agent", owner.agent), ("step", owner.step), ("inside tool", owner.tool), ("provider", call.provider)):
        if value:
            yield name, text(value)
    if call.request_model and call.request_model != call.model:
        yield "model asked for", text(call.request_model)
    if call.response_model and call.response_model != call.model:
        yield "model that answered", text(call.response_model)
    yield "started", moment(call.started_ns)
    yield "duration", seconds(call.duration_seconds)
    if call.time_to_first_token_seconds is not None:
        yield "first token after", seconds(call.time_to_first_token_seconds)
    if call.context_window_tokens and call.usage.total_tokens is not None:
        full = percent(100 * call.usage.total_tokens / call.context_window_tokens)
        yield "context window", f"{full} of {tokens(call.context_window_tokens)}"
    yield from _more_facts(call)


def _more_facts(call: Call) -> Iterator[tuple[str, str]]:
    for name, value in (
        ("finish reason", call.finish_reason),
        ("error", call.error_type),
        ("service tier", call.service_tier),
        ("conversation", call.conversation_id),
        ("response id", call.response_id),
        ("span", call.id),
    ):
        if value:
            yield name, f"<code>{text(value)}</code>" if name in ("response id", "span") else text(value)
    if call.retry_count:
        yield "retries", tokens(call.retry_count)
    if call.batch:
        yield "batch", "yes"


def call_rows(calls: list[tuple[int, Call]]) -> list[tuple[int, Call]]:
    """Calls in order of time."""
    return sorted(calls, key=lambda item: (item[1].started_ns, item[0]))


def per_million(amount: Decimal | None, count: int | None) -> str:
    """The mean price of a sum."""
    return UNKNOWN if amount is None or not count else dollars(MONEY.divide(MONEY.multiply(amount, _MILLION), Decimal(count)))
