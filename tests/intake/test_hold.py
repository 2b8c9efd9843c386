from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import otlp_build as build
from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.intake import hold
from costspan.intake.files import read_files
from costspan.intake.hold import Hold
from costspan.intake.report_files import Report, report_files
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook
from costspan.readings import Reading, SpanRecord
from costspan.records import Run, Usage

if TYPE_CHECKING:
    import pytest

TRACES = Path(__file__).parent.parent / "pipeline" / "traces"
FILES = sorted(path for path in TRACES.glob("*.json.gz") if ".metrics." not in path.name)


def reported(paths: list[Path]) -> tuple[Report, list[Run]]:
    runs: list[Run] = []
    report = report_files(paths, PriceBook(), runs.append, by=("agent", "model", "tool", "day"))
    return report, sorted(runs, key=in_order)


def in_order(run: Run) -> tuple[int, str]:
    return run.started_ns, run.id


def test_batches_give_the_same_runs_and_totals_as_all_spans_at_once() -> None:
    book = PriceBook()
    spans = [(record, read(record)) for record in read_files(FILES)]
    whole = assemble(spans, make=lambda record, reading, owner: make_call(record, reading, owner, book))
    report, runs = reported(FILES)
    assert report.totals == whole.totals
    assert sorted(report.duplicates.elements()) == sorted(whole.duplicates)
    assert runs == sorted(whole.runs, key=in_order)
    assert len(runs) > 60


def test_a_set_too_great_for_memory_gives_the_same_report(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, runs = reported(FILES)
    monkeypatch.setattr(hold, "IN_MEMORY_MAX", 150)
    monkeypatch.setattr(hold, "BATCH_SPANS", 1)
    packed, packed_runs = reported(FILES)
    assert packed.totals == whole.totals
    assert packed.lone == whole.lone
    assert packed.groups == whole.groups
    assert packed.duplicates == whole.duplicates
    assert sorted(packed.notes) == sorted(whole.notes)
    assert packed_runs == runs


def test_layers_of_one_call_in_two_traces_and_two_files_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "IN_MEMORY_MAX", 2)
    monkeypatch.setattr(hold, "BATCH_SPANS", 1)
    outer = [
        build.agent(1, "A", seconds=9),
        *(build.chat(n, parent=1, at=n, seconds=0.9, tokens=(100 * n, n)) for n in range(2, 6)),
    ]
    inner = [build.chat(n, trace=n, at=n + 0.1, seconds=0.7, tokens=(100 * n, n)) for n in range(2, 6)]
    for span in [*outer, *inner]:
        span["attributes"] = [pair for pair in span["attributes"] if pair["key"] != "gen_ai.response.id"]
    first = build.save(tmp_path / "outer", build.to_json(build.request(*outer)))
    second = build.save(tmp_path / "inner", build.to_protobuf(build.request(*inner, scope="com.anthropic.sdk.python")))
    report, (run,) = reported([second, first])
    assert report.totals.calls == run.totals.calls == 4
    assert report.totals.usage.input_tokens == 1400
    assert sum(report.duplicates.values()) == 4


def test_everything_that_a_reading_says_survives_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "IN_MEMORY_MAX", 50)
    kept, packed = {}, Hold()
    for record in read_files(FILES[:12]):
        reading = read(record)
        if reading is not None and reading.kind == "call":
            reading.stated_cost_usd = Decimal("0.000123")
            reading.fees = {"web_search": 3}
        packed.add(record, reading)
        kept[record.trace_id, record.span_id] = (record, reading)
    count = 0
    for batch in packed.batches():
        for record, reading in batch:
            was_record, was_reading = kept[record.trace_id, record.span_id]
            assert reading == was_reading
            assert all(getattr(record, name) == getattr(was_record, name) for name in SpanRecord.__slots__)
            count += 1
    assert count == len(kept) == packed.count > 150


def test_every_field_of_a_reading_can_be_packed() -> None:
    reading = Reading("call", "x", usage=Usage(1, 2), problems=("odd",))
    record = SpanRecord(
        trace_id=1, span_id=2, parent_id=0, name="n", scope="s", scope_version="", start_ns=1, end_ns=2, attributes={}
    )
    assert hold._unpack(hold.marshal.loads(hold.marshal.dumps(hold._pack(record, reading))))[1] == reading
