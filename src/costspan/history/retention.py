"""How much the history keeps: by age and by size, a bounded piece at a time, so that writers never wait long.

What goes: spans with their attributes, calls, run records and hourly figures. What stays: the daily figures, a few kilobytes
a day, so that last year's spending is still there to compare with.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from costspan.history.queries import DAY_NS, HOUR_NS

if TYPE_CHECKING:
    import sqlite3

    from costspan.history.database import Database

PIECE: Final = 5_000
"""Spans, or runs, that one step removes: tens of milliseconds."""
PAGES: Final = 2_000
_RUN_TABLES: Final = (("calls", "run"), ("run_tools", "run"), ("records", "run"), ("runs", "id"))


def trim(database: Database, *, days: int | None = None, bytes_max: int | None = None, now_ns: int | None = None) -> bool:
    """One step: remove what is older than `days`, then the oldest while the file is larger than `bytes_max` bytes.

    True when another step would find more. Raises HistoryError.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    more = False
    with database.writing() as db:
        if days is not None:
            more = _before(db, now_ns - days * DAY_NS)
        if not more and bytes_max is not None and size(db)[0] - size(db)[1] > bytes_max:
            more = _oldest(db)
    with database.outside_transaction() as db:
        # Each page given back is a row; they must be fetched for it to happen.
        db.execute(f"PRAGMA incremental_vacuum({PAGES})").fetchall()
    return more


def size(db: sqlite3.Connection) -> tuple[int, int]:
    """(bytes of the file, bytes of it that are free)."""
    (page,) = db.execute("PRAGMA page_size").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return page * pages, page * free


def _before(db: sqlite3.Connection, limit_ns: int) -> bool:
    """Remove what began before a moment, up to `PIECE` of each kind; True when there may be more."""
    runs = [
        key for (key,) in db.execute("SELECT id FROM runs WHERE started_ns < ? ORDER BY started_ns LIMIT ?", (limit_ns, PIECE))
    ]
    _remove_runs(db, runs)
    db.execute("DELETE FROM hours WHERE hour < ?", (limit_ns // HOUR_NS,))
    spans = _remove_spans(db, limit_ns)
    return len(runs) == PIECE or spans


def _oldest(db: sqlite3.Connection) -> bool:
    """Remove the oldest tenth of what there is, up to `PIECE`; False when nothing is left to remove."""
    rows = db.execute(
        "SELECT id, started_ns FROM runs ORDER BY started_ns LIMIT (SELECT max(1, min(?, count(*) / 10)) FROM runs)", (PIECE,)
    )
    runs = rows.fetchall()
    _remove_runs(db, [key for key, _ in runs])
    found = db.execute("SELECT first_id FROM chunks ORDER BY first_id LIMIT 8").fetchall()
    removed = False
    if found:
        removed = _remove_chunks(db, found[-1][0], limit_ns=None)
    return bool(runs) or removed


def _remove_runs(db: sqlite3.Connection, keys: list[int]) -> None:
    for table, column in _RUN_TABLES:
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(key,) for key in keys])


def _remove_spans(db: sqlite3.Connection, limit_ns: int) -> bool:
    """Batches came in order of time, so the old ones are the first; a batch goes when its last span is old."""
    found = db.execute("SELECT first_id FROM chunks ORDER BY first_id LIMIT ?", (max(2, PIECE // 256),)).fetchall()
    return bool(found) and _remove_chunks(db, found[-1][0], limit_ns)


def _remove_chunks(db: sqlite3.Connection, last: int, limit_ns: int | None) -> bool:
    """Remove whole batches up to the one that begins with span `last`, as far as they are older than `limit_ns`."""
    removed = False
    (highest,) = db.execute("SELECT coalesce(max(id), 0) FROM spans").fetchone()
    for (first,) in db.execute("SELECT first_id FROM chunks WHERE first_id <= ? ORDER BY first_id", (last,)).fetchall():
        (following,) = db.execute("SELECT min(first_id) FROM chunks WHERE first_id > ?", (first,)).fetchone()
        end = following if following is not None else highest + 1
        if limit_ns is not None:
            (newest,) = db.execute("SELECT max(start_ns) FROM spans WHERE id >= ? AND id < ?", (first, end)).fetchone()
            if newest is not None and newest >= limit_ns:
                break
        traces = db.execute("SELECT DISTINCT trace FROM spans WHERE id >= ? AND id < ?", (first, end)).fetchall()
        db.execute("DELETE FROM spans WHERE id >= ? AND id < ?", (first, end))
        db.execute("DELETE FROM chunks WHERE first_id = ?", (first,))
        db.executemany("DELETE FROM traces WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM spans WHERE trace = ?1)", traces)
        removed = True
    return removed
