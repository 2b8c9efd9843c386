from __future__ import annotations

import json

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.intake.otlp import decode_json
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook
from costspan.server.going import with_stand_ins
from page_server import each_span, only, recorded

BOOK = PriceBook()


def pairs_of(count: int | None):
    spans = recorded("official-langchain__pipeline_openai")
    first = sorted(each_span(spans), key=lambda span: int(span["endTimeUnixNano"]))[:count]
    body = json.dumps(only(spans, {span["spanId"] for span in first})).encode()
    return [(record, read(record)) for record in decode_json(body)]


def runs_of(pairs):
    return assemble(pairs, make=lambda record, reading, owner: make_call(record, reading, owner, BOOK)).runs


def test_what_has_come_of_a_trace_is_one_run_though_its_root_is_missing():
    pairs = pairs_of(6)
    (run,) = runs_of(with_stand_ins(pairs))
    assert run.totals.calls == 3
    assert "PM" in [agent.name for agent in run.agents]


def test_a_trace_whose_root_has_come_is_left_as_it_is():
    pairs = pairs_of(None)
    assert with_stand_ins(pairs) is pairs


def test_an_empty_trace_needs_no_stand_in():
    assert list(with_stand_ins([])) == []
