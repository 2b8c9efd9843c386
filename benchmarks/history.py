"""The history at size: `python benchmarks/history.py [SPANS]` (default 5,000,000).

Fills a file with runs of 16 spans over ninety days through the same tables that `costspan serve` writes (runs are made once and
written many times under other ids, so that filling takes minutes), then times what pages ask: the overview, a day, lists of
runs, one run of 1,000 and of 5,000 spans, and counts bytes for each span. `--keep FILE` leaves the file for other measurements.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.history import queries, run_queries
from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.intake.otlp import decode_protobuf
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook
from otlp_load import SPANS_PER_RUN, Load

DAYS = 90
RUNS_TOGETHER = 200
DAY_NS = 86_400 * 10**9
NOW_NS = 1_795_302_362_000_000_000


def patterns(count: int) -> list:
    """(run, its spans with readings) of some runs, to be written again and again."""
    book = PriceBook()
    pairs = [
        (record, read(record))
        for body in Load().batches(count * SPANS_PER_RUN, SPANS_PER_RUN)
        for record in decode_protobuf(body)
    ]
    made = assemble(pairs, make=lambda record, reading, owner: make_call(record, reading, owner, book)).runs
    spans: dict[int, list] = {}
    for record, reading in pairs:
        spans.setdefault(record.trace_id, []).append((record, reading))
    return [(run, spans[int(run.trace_ids[0], 16)]) for run in made]


def shifted(pattern, at_ns: int):
    """The same run at another time, with ids of its own."""
    run, pairs = pattern
    by = at_ns - run.started_ns
    trace_id = secrets.randbits(128)
    hexed = f"{trace_id:032x}"
    calls = tuple(
        replace(call, trace_id=hexed, started_ns=call.started_ns + by, ended_ns=call.ended_ns + by) for call in run.calls
    )
    made = replace(
        run, id=f"{hexed}-{secrets.token_hex(8)}", trace_ids=(hexed,), started_ns=at_ns, ended_ns=run.ended_ns + by, calls=calls
    )
    return made, [(moved(record, trace_id, by), reading) for record, reading in pairs]


def moved(record, trace_id: int, by: int):
    other = type(record).__new__(type(record))
    for name in type(record).__slots__:
        setattr(other, name, getattr(record, name))
    other.trace_id, other.start_ns, other.end_ns = trace_id, record.start_ns + by, record.end_ns + by
    return other


def fill(store: Store, spans: int) -> None:
    known = patterns(400)
    runs = spans // SPANS_PER_RUN
    began = time.monotonic()
    for start in range(0, runs, RUNS_TOGETHER):
        made = []
        for number in range(start, min(start + RUNS_TOGETHER, runs)):
            at = NOW_NS - DAYS * DAY_NS + number * DAYS * DAY_NS // runs
            made.append(shifted(known[number % len(known)], at))
        pairs = [pair for _, each in made for pair in each]
        store.add_spans([pairs[at : at + 512] for at in range(0, len(pairs), 512)], seen_ns=NOW_NS)
        traces = [int(run.trace_ids[0], 16) for run, _ in made]
        entries = [(trace, Entry(run, "load", "bench")) for trace, (run, _) in zip(traces, made, strict=True)]
        store.settle(entries, {trace: [trace] for trace in traces})
        if start % 20_000 == 0:
            print(f"{start:,} of {runs:,} runs, {time.monotonic() - began:.0f} s", flush=True)


def big_run(store: Store, spans: int):
    """One run of so many spans, written as `serve` would."""
    known = patterns(spans // SPANS_PER_RUN + 1)
    trace = secrets.randbits(128)
    root = next(record for record, _ in known[0][1] if not record.parent_id)
    pairs = []
    for _, each in known:
        for record, reading in each:
            record = moved(record, trace, 0)
            if not record.parent_id and record.span_id != root.span_id:
                record.parent_id = root.span_id
                reading = None
            pairs.append((record, reading))
    pairs = pairs[:spans]
    book = PriceBook()
    found = assemble(pairs, make=lambda record, reading, owner: make_call(record, reading, owner, book))
    store.add_spans([pairs[at : at + 512] for at in range(0, len(pairs), 512)], seen_ns=NOW_NS)
    run = max(found.runs, key=lambda each: len(each.calls))
    store.settle([(trace, Entry(run, "load"))], {trace: [trace]})
    return run.id


def timed(question, times: int = 7) -> float:
    """Milliseconds of the median of some answers."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        question()
        spent.append(time.perf_counter() - began)
    return round(statistics.median(spent) * 1000, 2)


def overview(db) -> None:
    """Everything that the first page shows of ninety days."""
    since = NOW_NS - DAYS * DAY_NS
    queries.total(db, since_ns=since)
    queries.by(db, ("day", "model"), since_ns=since)
    queries.by(db, ("agent",), since_ns=since)
    queries.by(db, ("workflow",), since_ns=since)
    run_queries.count_runs(db)
    run_queries.runs(db, limit=10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", nargs="?", type=int, default=5_000_000)
    parser.add_argument("--keep", type=Path, default=None)
    args = parser.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="costspan-bench-")
    path = args.keep or Path(folder.name) / "history.db"
    ready = path.exists()
    database = Database(path)
    store = Store(database)
    if not ready:
        fill(store, args.spans)
        with database.outside_transaction() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with database.reading() as db:
        (count,) = db.execute("SELECT count(*) FROM spans").fetchone()
    size = path.stat().st_size
    sizes = {spans: big_run(store, spans) for spans in (1000, 5000)}
    found = {"spans": count, "file_mb": size >> 20, "bytes_per_span": round(size / count)}
    with database.reading() as db:
        found["overview_ms"] = timed(lambda: overview(db))
        found["total_ms"] = timed(lambda: queries.total(db))
        found["by_day_model_ms"] = timed(lambda: queries.by(db, ("day", "model")))
        found["by_hour_today_ms"] = timed(lambda: queries.by(db, ("hour",), since_ns=NOW_NS - DAY_NS))
        found["tools_ms"] = timed(lambda: queries.tools(db))
        found["models_ms"] = timed(lambda: queries.models(db))
        found["runs_newest_50_ms"] = timed(lambda: run_queries.runs(db))
        found["runs_dearest_50_ms"] = timed(lambda: run_queries.runs(db, sort="cost"), 3)
        found["runs_search_ms"] = timed(lambda: run_queries.runs(db, run_queries.RunFilter(text="pipeline")), 3)
        for spans, run_id in sizes.items():
            found[f"run_of_{spans}_load_ms"] = timed(lambda name=run_id: run_queries.load_run(db, run_queries.find_run(db, name)))
            found[f"run_of_{spans}_spans_ms"] = timed(lambda name=run_id: run_queries.spans(db, run_queries.find_run(db, name)))
    print(json.dumps(found, indent=1))
    database.close()
    folder.cleanup()


if __name__ == "__main__":
    main()
