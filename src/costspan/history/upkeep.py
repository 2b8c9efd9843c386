"""Looking after the file: how large it is, whether it is sound, making it small again, and giving everything out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from costspan.history.database import version_of
from costspan.history.money import from_nano
from costspan.history.packing import unpack
from costspan.history.queries import texts_of
from costspan.history.retention import size, trim
from costspan.history.rows import Info
from costspan.history.run_codec import decode
from costspan.history.run_queries import EVIDENCE, KINDS
from costspan.history.schema import AMOUNTS, DIMS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from costspan.history.database import Database
    from costspan.records import Run

_DROPPED: Final = "dropped "


def info(database: Database) -> Info:
    """How large the history is and what it spans."""
    with database.reading() as db:
        one = _single(db)
        oldest, newest = db.execute("SELECT min(started_ns), max(started_ns) FROM runs").fetchone()
        total, free = size(db)
        log = database.path.with_name(database.path.name + "-wal")
        return Info(
            path=str(database.path),
            bytes=total + (log.stat().st_size if log.exists() else 0),
            free_bytes=free,
            schema=version_of(db),
            runs=one("SELECT count(*) FROM runs WHERE lone = 0"),
            lone_calls=one("SELECT coalesce(sum(calls), 0) FROM runs WHERE lone = 1"),
            calls=one("SELECT coalesce(sum(calls), 0) FROM runs"),
            spans=one("SELECT count(*) FROM spans"),
            open_traces=one("SELECT count(*) FROM traces WHERE settled = 0"),
            oldest_ns=oldest,
            newest_ns=newest,
            dropped={
                key.removeprefix(_DROPPED): int(value)
                for key, value in db.execute("SELECT key, value FROM meta WHERE key LIKE 'dropped %'")
            },
        )


def _single(db: sqlite3.Connection) -> Any:
    return lambda sql: int(db.execute(sql).fetchone()[0])


def check(database: Database) -> list[str]:
    """What SQLite finds wrong with the whole file, and where sums are not the sums of their calls; nothing when it is sound."""
    with database.reading() as db:
        found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)") if line != "ok"]
        if not found:
            calls, cost = db.execute("SELECT coalesce(sum(calls), 0), coalesce(sum(cost_nano), 0) FROM hours").fetchone()
            told = db.execute(
                "SELECT count(*), coalesce(sum(cost_nano), 0) FROM calls WHERE evidence < 4 AND started_ns / 3600000000000 >= "
                "(SELECT coalesce(min(hour), 0) FROM hours)"
            ).fetchone()
            if (calls, cost) != told:
                found.append(f"the hours tell {calls} calls of {cost} nano-dollars, the calls are {told[0]} of {told[1]}")
    return found


def vacuum(database: Database, *, days: int | None = None, bytes_max: int | None = None) -> None:
    """Remove what retention allows to, then give all free pages back. Others may read and write meanwhile, but wait."""
    while trim(database, days=days, bytes_max=bytes_max):
        pass
    with database.outside_transaction() as db:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def all_runs(database: Database, *, since_ns: int = 0) -> Iterator[Run]:
    """Every run whose record is kept, in order of time, a few in memory at a time. One that is damaged raises HistoryError."""
    for key in _keys(database, since_ns):
        with database.reading() as db:
            found = db.execute("SELECT body FROM records WHERE run = ?", (key,)).fetchone()
        if found is not None:
            yield decode(found[0])


def _keys(database: Database, since_ns: int) -> list[int]:
    with database.reading() as db:
        return [key for (key,) in db.execute("SELECT id FROM runs WHERE started_ns >= ? ORDER BY started_ns, id", (since_ns,))]


def all_calls(database: Database, *, since_ns: int = 0) -> Iterator[dict[str, Any]]:
    """Every call as one flat mapping; dollars are decimal strings."""
    columns = ("run_id", "place", "started_ns", "duration_ns", "span_id", "evidence", "error", "reason", *DIMS, *AMOUNTS)
    sql = (
        "SELECT r.run_id, place, c.started_ns, c.duration_ns, span_id, evidence, error, reason, "
        f"{', '.join(f'd.{name}' for name in DIMS)}, {', '.join(f'c.{name}' for name in AMOUNTS)} "
        "FROM calls c JOIN runs r ON r.id = c.run JOIN dims d ON d.id = c.dim WHERE r.id = ?"
    )
    for key in _keys(database, since_ns):
        with database.reading() as db:
            rows = [dict(zip(columns, row, strict=True)) for row in db.execute(sql, (key,))]
            texts = texts_of(db, (row[name] for row in rows for name in ("reason", *DIMS)))
        for row in rows:
            row.update({name: texts.get(row[name]) for name in ("reason", *DIMS)})
            row["span_id"] = f"{row['span_id'] % (1 << 64):016x}"
            row["evidence"] = EVIDENCE[row["evidence"]]
            row["error"] = bool(row["error"])
            cost = from_nano(row.pop("cost_nano"))
            row["cost_usd"] = None if cost is None else f"{cost:f}"
            yield row


def all_spans(database: Database, *, since_ns: int = 0) -> Iterator[dict[str, Any]]:
    """Every span with what was kept of it, batch by batch as they came."""
    with database.reading() as db:
        firsts = [first for (first,) in db.execute("SELECT first_id FROM chunks ORDER BY first_id")]
    for place, first in enumerate(firsts):
        end = firsts[place + 1] if place + 1 < len(firsts) else 1 << 62
        with database.reading() as db:
            yield from _chunk(db, first, end, since_ns)


def _chunk(db: sqlite3.Connection, first: int, end: int, since_ns: int) -> Iterator[dict[str, Any]]:
    body = db.execute("SELECT body FROM chunks WHERE first_id = ?", (first,)).fetchone()
    if body is None:  # retention was quicker
        return
    chunk = unpack(body[0])
    rows = db.execute(
        "SELECT s.id, hex(t.trace_id), span_id, parent_id, start_ns, duration_ns, kind, error, name, scope "
        "FROM spans s JOIN traces t ON t.id = s.trace WHERE s.id >= ? AND s.id < ? AND start_ns >= ? ORDER BY s.id",
        (first, end, since_ns),
    ).fetchall()
    texts = texts_of(db, (part for row in rows for part in row[8:10] if isinstance(part, int)))
    for number, trace_id, span_id, parent_id, start, duration, kind, error, name, scope in rows:
        resource, version, status, attributes, events, _ = chunk["spans"][number - first]
        yield {
            "trace_id": trace_id.lower(),
            "span_id": f"{span_id % (1 << 64):016x}",
            "parent_id": None if parent_id is None else f"{parent_id % (1 << 64):016x}",
            "name": name if isinstance(name, str) else texts.get(name, ""),
            "scope": texts.get(scope, ""),
            "scope_version": version,
            "kind": KINDS[kind],
            "started_ns": start,
            "ended_ns": None if duration is None else start + duration,
            "error": bool(error),
            "status_message": status,
            "attributes": attributes,
            "events": events,
            "resource": chunk["resources"][resource],
        }
