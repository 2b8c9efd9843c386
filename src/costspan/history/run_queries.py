"""Questions about single runs: lists of them, one run's record, its spans, and what is missing from the accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from costspan.errors import UsageError
from costspan.history.packing import unpack
from costspan.history.queries import texts_of
from costspan.history.rows import Gap, RunFilter, RunRow, SpanDetail, SpanRow, Sums
from costspan.history.run_codec import decode
from costspan.history.schema import LACKING, MEASURES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from costspan.records import Run

LAST: Final = "last"
SORTS: Final = {
    "started": "r.started_ns",
    "duration": "r.ended_ns - r.started_ns",
    "cost": "r.cost_nano",
    "tokens": "coalesce(r.input_tokens, 0) + coalesce(r.output_tokens, 0)",
    "calls": "r.calls",
    "workflow": "(SELECT text FROM names WHERE id = r.workflow)",
}
KINDS: Final = (None, "call", "agent", "tool", "step", "run")
"""What the numbers in `spans.kind` stand for."""
EVIDENCE: Final = ("reported", "estimated", "missing", "refused", "cache_hit")
"""What the numbers in `calls.evidence` stand for."""
SPANS_MAX: Final = 20_000
_RUN: Final = (
    "r.id, r.run_id, r.lone, r.workflow, r.service, r.environment, r.trace_id, r.started_ns, r.ended_ns, r.outcome, "
    f"r.agents, r.tools, r.duplicates, {', '.join(f'r.{name}' for name in MEASURES)}"
)
_TEXTS: Final = slice(3, 6)
_NAMED: Final = "(SELECT id FROM names WHERE text = ?)"
_SPAN: Final = (
    "s.id, t.trace_id, s.span_id, s.parent_id, s.name, s.scope, s.service, s.kind, s.start_ns, s.duration_ns, s.error "
    "FROM spans s JOIN traces t ON t.id = s.trace"
)


def runs(
    db: sqlite3.Connection,
    where: RunFilter | None = None,
    *,
    sort: str = "started",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
) -> list[RunRow]:
    """A page of a list of runs. `sort` is one of `SORTS`; unknown figures come last. Raises UsageError for another one."""
    if sort not in SORTS:
        message = f"runs can be sorted by {', '.join(SORTS)}; not {sort!r}"
        raise UsageError(message)
    conditions, values = _conditions(where or RunFilter())
    way = "DESC" if descending else "ASC"
    found = db.execute(
        f"SELECT {_RUN} FROM runs r{conditions} ORDER BY {SORTS[sort]} {way} NULLS LAST, r.id {way} LIMIT ? OFFSET ?",
        (*values, limit, offset),
    ).fetchall()
    return _run_rows(db, found)


def count_runs(db: sqlite3.Connection, where: RunFilter | None = None) -> int:
    """How many runs a filter lets through."""
    conditions, values = _conditions(where or RunFilter())
    (count,) = db.execute(f"SELECT count(*) FROM runs r{conditions}", values).fetchone()
    return int(count)


def count_outside(db: sqlite3.Connection) -> int:
    """How many calls belong to no run."""
    (count,) = db.execute("SELECT coalesce(sum(calls), 0) FROM runs WHERE lone = 1").fetchone()
    return int(count)


def find_run(db: sqlite3.Connection, name: str) -> RunRow | None:
    """The run with this id, this trace id, or an id that begins so; `last` is the one that started last. None without any.

    Raises UsageError where the beginning fits several.
    """
    if name == LAST:
        rows = runs(db, limit=1)
        return rows[0] if rows else None
    found = db.execute(f"SELECT {_RUN} FROM runs r WHERE r.run_id = ?", (name,)).fetchall()
    if not found and name:
        low, high = name, name[:-1] + chr(min(ord(name[-1]) + 1, 0xD7FF))
        sql = f"SELECT {_RUN} FROM runs r WHERE r.run_id >= ? AND r.run_id < ? ORDER BY r.started_ns DESC LIMIT 2"
        found = db.execute(sql, (low, high)).fetchall()
    if not found and len(name) == 32:
        trace_id = bytes.fromhex(name) if _is_hex(name) else b""
        found = db.execute(f"SELECT {_RUN} FROM runs r WHERE r.trace_id = ? ORDER BY r.started_ns", (trace_id,)).fetchall()[:1]
    if len(found) > 1:
        message = f"several runs have an id that begins with {name!r}: give more of it"
        raise UsageError(message)
    return _run_rows(db, found)[0] if found else None


def load_run(db: sqlite3.Connection, row: RunRow) -> Run | None:
    """The whole run, exact: what `report` renders and `report.run_json.to_record` makes a record of.

    None where retention has removed it and only the row is left.
    """
    found = db.execute("SELECT body FROM records WHERE run = ?", (row.key,)).fetchone()
    return None if found is None else decode(found[0])


def spans(db: sqlite3.Connection, row: RunRow, *, limit: int = SPANS_MAX) -> list[SpanRow]:
    """The spans of a run's traces in order of time; none for a run that was recorded in process, which keeps calls only."""
    found = db.execute(
        f"SELECT {_SPAN} WHERE t.id IN (SELECT t.id FROM traces t JOIN runs r ON r.id = ? "
        "WHERE t.trace_id = r.trace_id OR (t.cluster = r.cluster AND r.cluster IS NOT NULL)) ORDER BY s.start_ns, s.id LIMIT ?",
        (row.key, limit),
    ).fetchall()
    return _span_rows(db, found)


def span(db: sqlite3.Connection, trace_id: str, span_id: str) -> SpanDetail | None:
    """One span with its attributes, by hex ids; None when it is not stored."""
    if not (_is_hex(trace_id) and _is_hex(span_id) and len(trace_id) == 32 and len(span_id) == 16):
        return None
    wanted = (bytes.fromhex(trace_id), signed(int(span_id, 16)))
    found = db.execute(f"SELECT {_SPAN} WHERE t.trace_id = ? AND s.span_id = ? ORDER BY s.id DESC LIMIT 1", wanted).fetchall()
    if not found:
        return None
    row = _span_rows(db, found)[0]
    part = db.execute(
        "SELECT first_id, body FROM chunks WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1", found[0][:1]
    ).fetchone()
    if part is None:
        return SpanDetail(row)
    chunk = unpack(part[1])
    held = chunk["spans"][found[0][0] - part[0]] if found[0][0] - part[0] < len(chunk["spans"]) else None
    if held is None:
        return SpanDetail(row)
    resource, version, status, attributes, events, _ = held
    events = tuple((name, at_ns, more) for name, at_ns, more in events)
    return SpanDetail(row, version, status, attributes, events, chunk["resources"][resource])


def gaps(db: sqlite3.Connection, *, since_ns: int | None = None, until_ns: int | None = None, limit: int = 200) -> list[Gap]:
    """Calls without a price or without usage, most calls first."""
    found = db.execute(
        "SELECT d.provider, d.model, d.agent, c.reason, c.evidence < 2, count(*), max(c.started_ns) FROM calls c "
        f"JOIN dims d ON d.id = c.dim WHERE {LACKING} "
        "AND c.started_ns >= ? AND c.started_ns < ? GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC LIMIT ?",
        (since_ns or 0, until_ns if until_ns is not None else 2**63 - 1, limit),
    ).fetchall()
    texts = texts_of(db, (part for row in found for part in row[:4]))
    return [
        Gap(texts.get(provider), texts.get(model), texts.get(agent), texts.get(reason), bool(unpriced), calls, last_ns)
        for provider, model, agent, reason, unpriced, calls, last_ns in found
    ]


def signed(number: int) -> int:
    """A 64-bit id as SQLite keeps it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _is_hex(text: str) -> bool:
    return bool(text) and len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)


def _conditions(where: RunFilter) -> tuple[str, list[object]]:
    found: list[tuple[str, object]] = []
    if where.since_ns is not None:
        found.append(("r.started_ns >= ?", where.since_ns))
    if where.until_ns is not None:
        found.append(("r.started_ns < ?", where.until_ns))
    if where.lone is not None:
        found.append(("r.lone = ?", int(where.lone)))
    if where.outcome is not None:
        found.append(("r.outcome = ?", where.outcome))
    plain = [(name, getattr(where, name)) for name in ("workflow", "service")]
    found += [(f"r.{name} = {_NAMED}", value) for name, value in plain if value is not None]
    inside = "SELECT 1 FROM calls c JOIN dims d ON d.id = c.dim WHERE c.run = r.id AND d."
    told = [(name, getattr(where, name)) for name in ("agent", "model")]
    found += [(f"EXISTS ({inside}{name} = {_NAMED})", value) for name, value in told if value is not None]
    conditions = [condition for condition, _ in found]
    values = [value for _, value in found]
    if where.text:
        like = "%" + where.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        named = "IN (SELECT id FROM names WHERE text LIKE ? ESCAPE '\\')"
        conditions.append(
            "(r.run_id LIKE ? ESCAPE '\\' OR lower(hex(r.trace_id)) LIKE ? ESCAPE '\\' "
            f"OR r.workflow {named} OR r.service {named})"
        )
        values += [like, like.lower(), like, like]
    return f" WHERE {' AND '.join(conditions)}" if conditions else "", values


def _run_rows(db: sqlite3.Connection, found: Sequence[Sequence[Any]]) -> list[RunRow]:
    texts = texts_of(db, (part for row in found for part in row[_TEXTS]))
    return [
        RunRow(
            key=row[0],
            id=row[1],
            lone=bool(row[2]),
            workflow=texts.get(row[3]),
            service=texts.get(row[4]),
            environment=texts.get(row[5]),
            trace_id=row[6].hex() if row[6] else None,
            started_ns=row[7],
            ended_ns=row[8],
            outcome=row[9],
            agents=row[10],
            tools=row[11],
            duplicates=row[12],
            sums=Sums(*row[13:]),
        )
        for row in found
    ]


def _span_rows(db: sqlite3.Connection, found: Sequence[Sequence[Any]]) -> list[SpanRow]:
    texts = texts_of(db, (part for row in found for part in row[4:7] if isinstance(part, int)))
    rows = []
    for _, trace_id, span_id, parent_id, name, scope, service, kind, start_ns, duration_ns, error in found:
        rows.append(
            SpanRow(
                trace_id.hex(),
                f"{span_id % (1 << 64):016x}",
                None if parent_id is None else f"{parent_id % (1 << 64):016x}",
                name if isinstance(name, str) else texts.get(name, ""),
                texts.get(scope, ""),
                texts.get(service),
                KINDS[kind],
                start_ns,
                0 if duration_ns is None else start_ns + duration_ns,
                bool(error),
            )
        )
    return rows
