"""The history at size: `python benchmarks/history.py [SPANS]` (default 5,000,000).

Fills a file with runs of 16 spans over ninety days through the same tables that `costspan serve` writes (runs are made once and
written many times under other ids, so that filling takes minutes), counts bytes for each span, then asks for the pages as a
browser does, among them a run of 1,000 and one of 5,000 spans: processor time and time on the clock, medians of some requests.
`--keep FILE` leaves the file for other measurements, and takes one that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.intake.otlp import decode_protobuf
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook
from costspan.server.app import create_app
from costspan.server.context import Context, Options
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


def sized_runs(database: Database) -> dict[int, str]:
    """The ids of a run of 1,000 and of one of 5,000 spans; written if they are not there."""
    found = {}
    with database.reading() as db:
        for run_id, trace_id in db.execute("SELECT run_id, trace_id FROM runs ORDER BY calls DESC LIMIT 2"):
            key = "SELECT count(*) FROM spans WHERE trace = (SELECT id FROM traces WHERE trace_id = ?)"
            found[db.execute(key, (trace_id,)).fetchone()[0]] = run_id
    store = Store(database)
    return {spans: found.get(spans) or big_run(store, spans) for spans in (1000, 5000)}


async def timed(client: httpx.AsyncClient, path: str, times: int = 7) -> dict[str, float]:
    """One page: its milliseconds, of the processor and on the clock, and how large it is."""
    spent = []
    for _ in range(times):
        began, clock = time.process_time(), time.perf_counter()
        answer = (await client.get(path)).raise_for_status()
        spent.append((time.process_time() - began, time.perf_counter() - clock))
    cpu, wall = (round(statistics.median(each) * 1000, 1) for each in zip(*spent, strict=True))
    return {"cpu_ms": cpu, "wall_ms": wall, "kb": len(answer.content) >> 10}


async def pages(database: Database) -> dict[str, dict[str, float]]:
    """What the server does for each page, from the request to the last byte of the answer."""
    runs = sized_runs(database)
    paths = {f"run of {spans:,} spans": f"/run?id={run_id}" for spans, run_id in runs.items()}
    paths |= {"overview, 30 days": "/", "overview, 90 days": "/?days=90", "overview, 365 days": "/?days=365"}
    paths |= {"runs": "/runs", "dearest runs": "/runs?sort=cost", "runs, search": "/runs?q=pipeline"}
    paths |= {name: f"/{name}?days=365" for name in ("tools", "models", "measurement")}
    app = create_app(Context(database, Options()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        await client.get("/")
        return {name: await timed(client, path) for name, path in paths.items()}


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
    found = {"spans": count, "file_mb": size >> 20, "bytes_per_span": round(size / count)}
    found["pages"] = asyncio.run(pages(database))
    print(json.dumps(found, indent=1))
    database.close()
    folder.cleanup()


if __name__ == "__main__":
    main()
