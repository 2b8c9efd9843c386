"""The traces in tests/pipeline/traces: real exports of released instrumentations, each with what the provider billed."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from costspan.account.assemble import Assembled, assemble
from costspan.account.booking import make_call
from costspan.intake.otlp import decode_json
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook

if TYPE_CHECKING:
    from costspan.readings import SpanRecord
    from costspan.records import Call

TRACES = Path(__file__).parent / "pipeline" / "traces"
NAMES = sorted(path.name.removesuffix(".json.gz") for path in TRACES.glob("*.json.gz"))
BOOK = PriceBook()


class Outcome(NamedTuple):
    truth: dict[str, Any]
    found: Assembled

    def calls(self) -> list[Call]:
        return [*(call for run in self.found.runs for call in run.calls), *self.found.lone_calls]


def spans_of(name: str) -> list[SpanRecord]:
    return list(decode_json(gzip.decompress((TRACES / f"{name}.json.gz").read_bytes())))


@cache
def outcome(name: str, backwards: bool = False) -> Outcome:
    truth = json.loads((TRACES / f"{name}.expected.json").read_text())
    spans = [(record, read(record)) for record in spans_of(name)]
    if backwards:
        spans.reverse()
    found = assemble(spans, make=lambda record, reading, owner: make_call(record, reading, owner, BOOK))
    return Outcome(truth, found)
