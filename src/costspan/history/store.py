"""The history as its writers use it: whole steps, each one transaction."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from costspan.history.books import Books, Entry
from costspan.history.interning import Interning
from costspan.history.span_store import SpanStore, load, open_traces, relatives

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from costspan.history.database import Database
    from costspan.readings import Reading, SpanRecord

    Pair = tuple[SpanRecord, Reading | None]

SPANS_MAX = 50_000
"""Spans of one trace that are loaded again to be assembled."""


class Store:
    """Writes runs, spans and sums. Methods raise HistoryError and have then written nothing; any thread may call them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._interning = Interning()
        self._books = Books(self._interning)
        self._spans = SpanStore(self._interning)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self.database.writing() as db:
                yield db
        except BaseException:
            self._interning.undone()
            self._spans.undone()
            raise
        self._interning.kept()
        self._spans.kept()

    def save(self, entries: Sequence[Entry], *, dropped: Mapping[str, int] | None = None) -> None:
        """Book finished runs; `dropped` adds to the counts of what writers had to drop."""
        with self._writing() as db:
            self._books.book(db, entries, time.time_ns())
            for place, count in (dropped or {}).items():
                db.execute(
                    "INSERT INTO meta VALUES (?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER)",
                    (f"dropped {place}", str(count)),
                )

    def add_spans(self, batches: Sequence[Sequence[Pair]], *, seen_ns: int) -> None:
        """Write spans as they came; their traces are open until `settle` says otherwise. On disk when this returns."""
        with self._writing() as db:
            for pairs in batches:
                self._spans.insert(db, pairs, seen_ns)

    def settle(self, entries: Sequence[tuple[int, Entry]], clusters: Mapping[int, Sequence[int]]) -> None:
        """Book what settled traces came to, in place of what they had come to before.

        `clusters`: by its leading trace id, the trace ids that were settled together. `entries`: (leading trace id, run).
        """
        with self._writing() as db:
            keys: dict[int, int] = {}
            before: set[int] = set()
            for lead, trace_ids in clusters.items():
                numbers = [self._spans.key(db, trace_id) for trace_id in trace_ids]
                known = [number for number in numbers if number is not None]
                if not known:
                    continue
                keys[lead] = cluster = min(known)
                before.update(self._settled(db, known, cluster))
            told = [_within(entry, keys.get(lead)) for lead, entry in entries]
            self._books.book(db, told, time.time_ns(), instead_of=before)

    @staticmethod
    def _settled(db: sqlite3.Connection, traces: Sequence[int], cluster: int) -> Iterator[int]:
        """Mark traces as settled; answers with the clusters that they were in."""
        for trace in traces:
            old = db.execute("SELECT coalesce(cluster, id) FROM traces WHERE id = ?", (trace,)).fetchone()
            if old is not None:  # else retention was quicker
                yield old[0]
            db.execute("UPDATE traces SET settled = 1, cluster = ? WHERE id = ?", (cluster if len(traces) > 1 else None, trace))

    # --- what an unfinished trace needs ----------------------------------------------------------------
    def open_traces(self, limit: int) -> list[tuple[int, bool]]:
        """(trace id, whether a root of it has ended) of traces that were not settled when the last writer ended."""
        with self.database.reading() as db:
            return open_traces(db, limit)

    def relatives(self, trace_id: int) -> list[int]:
        """The traces that were settled together with this one, itself included."""
        with self.database.reading() as db:
            return relatives(db, trace_id)

    def load(self, trace_ids: Iterable[int], *, limit: int = SPANS_MAX) -> list[Pair]:
        """The spans of these traces, with what they meant when they came."""
        with self.database.reading() as db:
            return load(db, trace_ids, limit=limit)

    def incomplete(self, counts: Mapping[int, int]) -> set[int]:
        """Of these traces (with how many of its spans are at hand) those of which more, or fewer, are stored."""
        with self.database.reading() as db:
            return {trace_id for trace_id, count in counts.items() if count != self._stored(db, trace_id)}

    def _stored(self, db: sqlite3.Connection, trace_id: int) -> int:
        key = self._spans.key(db, trace_id)
        return int(db.execute("SELECT count(*) FROM spans WHERE trace = ?", (key,)).fetchone()[0])

    def booked_spans(self, trace_ids: Iterable[int]) -> set[int]:
        """Span ids (signed) of the calls that these traces were booked with before."""
        found: set[int] = set()
        with self.database.reading() as db:
            for trace_id in trace_ids:
                rows = db.execute(
                    "SELECT c.span_id FROM traces t JOIN runs r ON r.cluster = coalesce(t.cluster, t.id) "
                    "JOIN calls c ON c.run = r.id WHERE t.trace_id = ?",
                    (trace_id.to_bytes(16, "big"),),
                )
                found.update(row[0] for row in rows)
        return found


def _within(entry: Entry, cluster: int | None) -> Entry:
    return Entry(entry.run, entry.service, entry.environment, cluster, entry.lone)
