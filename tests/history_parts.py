"""Runs for tests of the history: assembled from made spans, so that every part of a run is there."""

from __future__ import annotations

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.history.books import Entry
from costspan.intake.otlp import decode_protobuf
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook
from otlp_build import START, agent, chat, request, to_protobuf, tool, workflow

BOOK = PriceBook()
HOUR = 3_600


def spans(trace=1, at=0.0, calls=2, **options):
    """A workflow of one agent with a tool and so many calls; `at` seconds after a fixed moment."""
    return (
        workflow(1, options.pop("name", "pipeline"), trace=trace, at=at, seconds=90),
        agent(2, "planner", trace=trace, parent=1, at=at + 1, seconds=80),
        tool(3, "search", trace=trace, parent=2, at=at + 2, seconds=1),
        *(chat(10 + n, trace=trace, parent=2, at=at + 5 + n, seconds=0.5, **options) for n in range(calls)),
    )


def make_run(trace=1, at=0.0, calls=2, **options):
    """One `records.Run`."""
    pairs = [(record, read(record)) for record in decode_protobuf(to_protobuf(request(*spans(trace, at, calls, **options))))]
    return assemble(pairs, make=lambda record, reading, owner: make_call(record, reading, owner, BOOK)).runs[0]


def entry(trace=1, at=0.0, calls=2, service="tests", **options):
    return Entry(make_run(trace, at, calls, **options), service, "test")


def body(trace=1, at=0.0, calls=2, **options):
    """One OTLP request in protobuf."""
    return to_protobuf(request(*spans(trace, at, calls, **options)))


__all__ = ["BOOK", "HOUR", "START", "body", "entry", "make_run", "spans"]
