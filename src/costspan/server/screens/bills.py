"""Tools, and models with their prices, over many runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.history import queries
from costspan.records import Usage
from costspan.report.figures import UNKNOWN, per_million, seconds, tokens
from costspan.report.page.naming import maybe, plain
from costspan.report.page.rows import sum_known
from costspan.server.asking import Period, context_of, period
from costspan.server.rendering import Screen, show
from costspan.server.screens.sums import cost_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from costspan.history.rows import ModelRow, ToolRow
    from costspan.price.book import PriceBook


_SAMPLE: Final = 1_000
"""Tokens that a list price is taken from: few, for many tokens in one call may cost more each."""
_INPUT: Final = Usage(_SAMPLE, 0)
_OUTPUT: Final = Usage(0, _SAMPLE)


class ToolLine(NamedTuple):
    """One tool's bill. `seconds` is what its mean time is sorted by."""

    tool: str
    workflow: str
    calls: str
    errors: str
    mean: str
    seconds: float
    nested: str
    call: str
    result: str
    carried: str
    cost: str


class ModelLine(NamedTuple):
    """One model and the price rows it was billed by."""

    model: str
    provider: str
    calls: str
    tokens: str
    cost: str
    per_million: str
    list_in: str
    list_out: str
    unpriced: str
    refs: Sequence[str]
    sources: str
    last: str


class Tools(NamedTuple):
    period: Period
    rows: Sequence[ToolLine]


class Models(NamedTuple):
    period: Period
    rows: Sequence[ModelLine]


def tools(request: Request) -> Response:
    """The tool bill."""
    asked = period(request)
    with context_of(request).database.reading() as db:
        found = queries.tools(db, since_ns=asked.since_ns)
    return show("tools.html", Screen("Tools", "/tools"), Tools(asked, [tool_line(row) for row in found]))


def models(request: Request) -> Response:
    """Every model that was called, unpriced ones first."""
    asked = period(request)
    context = context_of(request)
    with context.database.reading() as db:
        found = queries.models(db, since_ns=asked.since_ns)
    lines = [model_line(row, context.book) for row in found]
    return show("models.html", Screen("Models and prices", "/models"), Models(asked, lines))


def tool_line(row: ToolRow) -> ToolLine:
    """One line of the tool bill."""
    mean = row.duration_ns / row.calls / 1e9 if row.calls else None
    return ToolLine(
        plain(row.tool),
        maybe(row.workflow),
        tokens(row.calls),
        tokens(row.errors),
        seconds(mean),
        round(mean or 0.0, 6),
        tokens(row.nested_tokens),
        tokens(row.call_tokens),
        tokens(row.result_tokens),
        tokens(row.carried_tokens),
        sum_known(row.nested_usd, row.call_usd, row.result_usd, row.carried_usd),
    )


def model_line(row: ModelRow, book: PriceBook | None) -> ModelLine:
    """One line of the models, with what the book asks today."""
    sums = row.sums
    return ModelLine(
        maybe(row.model),
        maybe(row.provider),
        tokens(sums.calls),
        tokens_of(sums),
        cost_of(sums),
        per_million(sums.cost_usd, sums.total_tokens),
        _list_price(book, row, _INPUT),
        _list_price(book, row, _OUTPUT),
        tokens(sums.unpriced_calls),
        [plain(ref) for ref in row.price_refs],
        ", ".join(plain(source) for source in row.price_sources) or "unknown",
        plain(row.last_day),
    )


def _list_price(book: PriceBook | None, row: ModelRow, usage: Usage) -> str:
    price = None if book is None else book.price(usage, provider=row.provider, model=row.model, at_ns=time.time_ns())
    return per_million(price.amount_usd, _SAMPLE) if price is not None else UNKNOWN
