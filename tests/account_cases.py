"""Spans, readings and calls for the tests of `account`, built by hand and at random."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

from costspan.readings import Reading, SpanRecord
from costspan.records import AGENT, CALL, NO_USAGE, RUN, STEP, TOOL, Call, Cost, Owner, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.account.dedupe import Folded

Span = tuple[SpanRecord, Reading | None]
MS = 1_000_000
PRICE = Decimal("0.0000013")


class Trace:
    """Makes spans with fresh ids; times are in milliseconds."""

    ids = count(1)

    def __init__(self, trace_id: int = 1) -> None:
        self.trace_id = trace_id
        self.spans: list[Span] = []

    def span(
        self, reading: Reading | None, start: float, end: float, *, parent: Span | None = None, scope: str = "app", **more: object
    ) -> Span:
        record = SpanRecord(
            trace_id=int(more.pop("trace", self.trace_id)),
            span_id=next(self.ids),
            parent_id=parent[0].span_id if parent else 0,
            name=str(more.pop("name", "span")),
            scope=scope,
            scope_version="",
            start_ns=int(start * MS),
            end_ns=int(end * MS),
            attributes=more.pop("attributes", {}),
            error=bool(more.pop("error", False)),
        )
        assert not more
        self.spans.append((record, reading))
        return self.spans[-1]

    def call(self, start: float, end: float, tokens: tuple[int, int] | Usage | None = None, **more: object) -> Span:
        told = {key: more.pop(key) for key in list(more) if key in Reading.__dataclass_fields__}
        usage = NO_USAGE if tokens is None else tokens if isinstance(tokens, Usage) else Usage(*tokens)
        return self.span(Reading(CALL, "test", usage=usage, **told), start, end, **more)

    def unit(self, kind: str, name: str, start: float, end: float, **more: object) -> Span:
        told = {key: more.pop(key) for key in list(more) if key in Reading.__dataclass_fields__}
        return self.span(Reading(kind, "test", name=name, **told), start, end, name=name, **more)

    def agent(self, name: str, start: float, end: float, **more: object) -> Span:
        return self.unit(AGENT, name, start, end, **more)

    def tool(self, name: str, start: float, end: float, **more: object) -> Span:
        return self.unit(TOOL, name, start, end, **more)

    def step(self, name: str, start: float, end: float, **more: object) -> Span:
        return self.unit(STEP, name, start, end, **more)

    def run(self, name: str, start: float, end: float, **more: object) -> Span:
        return self.unit(RUN, name, start, end, **more)


def make(record: SpanRecord, reading: Reading, owner: Owner) -> Call:
    """A call priced at a flat rate per token; without usage it has no price."""
    tokens = reading.usage.total_tokens
    cost = None
    if tokens is not None and not reading.cache_hit:
        cost = Cost(PRICE * tokens, {"unsplit": PRICE * tokens}, "table", "test/model@-")
    return Call(
        id=f"{record.span_id:016x}",
        trace_id=f"{record.trace_id:032x}",
        provider=reading.provider,
        model=reading.response_model or reading.request_model,
        usage=reading.usage,
        owner=owner,
        cost=cost,
        started_ns=record.start_ns,
        ended_ns=record.end_ns,
        outcome=reading.outcome,
        finish_reason=reading.finish_reason,
        cache_hit=reading.cache_hit,
        conversation_id=reading.conversation_id,
        request_lengths=reading.request_lengths,
        request_hash=reading.request_hash,
        waste=reading.waste,
        context_window_tokens=1000,
        scope=record.scope,
    )


def play(folder: object, spans: Iterable[Span]) -> list[Folded]:
    """Let the spans happen in order of time, as a process would see them, and answer with what was settled."""
    events = []
    for order, (record, reading) in enumerate(spans):
        events.append((record.start_ns, 0, order, record, reading))
        events.append((record.end_ns, 1, -order, record, reading))
    found = []
    for _, ends, _, record, reading in sorted(events, key=lambda event: event[:3]):
        if ends:
            found += folder.ended(record, reading)
        else:
            folder.started(record, reading)
    return found + folder.flush()
