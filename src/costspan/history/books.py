"""Runs and calls in the history, and the sums over them, which change together in one transaction.

A run that is booked again (late spans, or two roads that tell of it) replaces itself: what it had added to the sums is
taken out first. So every sum is at any time the sum of the calls that are there, or were there before retention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from costspan.history.interning import plain
from costspan.history.money import to_nano
from costspan.history.queries import DAY_NS, HOUR_NS
from costspan.history.run_codec import encode
from costspan.history.run_queries import EVIDENCE, signed
from costspan.history.schema import AMOUNTS, COUNTS, MEASURES, TOOL_COUNTS, TOOL_MEASURES
from costspan.history.span_store import TIME_MAX
from costspan.records import ESTIMATED, REPORTED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from costspan.history.interning import Interning
    from costspan.records import Call, Run, ToolTotals

_REPORTED, _ESTIMATED, _MISSING, _REFUSED, _HIT = range(len(EVIDENCE))
_COUNT_MAX: Final = 10**12
_DURATION_MAX: Final = 10**15
"""Eleven days: a call that seems to take longer has a clock to blame."""
_SUM_MAX: Final = 1 << 56
"""Beyond it a sum stays where it is: made-up figures must not make sums that 64 bits cannot hold."""
_CALL_COLUMNS: Final = (
    "run", "place", "dim", "started_ns", "duration_ns", "span_id", "evidence", "error", *AMOUNTS, "reason",
)  # fmt: skip
_INSERT_CALL: Final = f"INSERT INTO calls ({', '.join(_CALL_COLUMNS)}) VALUES ({', '.join('?' * len(_CALL_COLUMNS))})"
_RUN_COLUMNS: Final = (
    "run_id", "cluster", "lone", "workflow", "service", "environment", "trace_id", "started_ns", "ended_ns", "outcome",
    "agents", "tools", "duplicates", "booked_ns", *MEASURES,
)  # fmt: skip
_INSERT_RUN: Final = f"INSERT INTO runs ({', '.join(_RUN_COLUMNS)}) VALUES ({', '.join('?' * len(_RUN_COLUMNS))}) RETURNING id"


@dataclass(frozen=True, slots=True)
class Entry:
    """One run to be booked. `cluster`: the traces that it was assembled from (serve)."""

    run: Run
    service: str | None = None
    environment: str | None = None
    cluster: int | None = None
    lone: bool = False


class Books:
    """Books entries inside transactions of the caller."""

    def __init__(self, interning: Interning) -> None:
        self._interning = interning

    def book(self, db: sqlite3.Connection, entries: Sequence[Entry], booked_ns: int, *, instead_of: Iterable[int] = ()) -> None:
        """Write these runs, in place of what was booked under their ids and of everything that `instead_of` clusters had."""
        sums = _Changes()
        for cluster in instead_of:
            for (key,) in db.execute("SELECT id FROM runs WHERE cluster = ?", (cluster,)).fetchall():
                remove(db, key, sums)
        for entry in entries:
            self._book(db, entry, booked_ns, sums)
        sums.write(db)

    def _book(self, db: sqlite3.Connection, entry: Entry, booked_ns: int, sums: _Changes) -> None:
        run = entry.run
        trace_id = _trace_id(run)
        run_id = self._free_id(db, run, trace_id, sums)
        name = self._interning.name
        workflow, service = name(db, run.workflow), name(db, entry.service)
        rows = [self._call(db, call, entry) for call in run.calls]
        figures = [0] * len(COUNTS) + [None] * len(AMOUNTS)
        for row in rows:
            _add(figures, _measures(row))
        duplicates = sum(len(call.duplicates) for call in run.calls)
        started = _time(run.started_ns)
        values = (
            run_id, entry.cluster, int(entry.lone), workflow, service, name(db, entry.environment), trace_id, started,
            max(_time(run.ended_ns), started), run.outcome, len(run.agents), len(run.tools), duplicates, booked_ns,
            *_fitting(figures),
        )  # fmt: skip
        (key,) = db.execute(_INSERT_RUN, values).fetchone()
        db.execute("INSERT INTO records VALUES (?, ?)", (key, encode(run)))
        db.executemany(_INSERT_CALL, [(key, place, *row) for place, row in enumerate(rows)])
        for row in rows:
            sums.call(row, 1)
        for tool in run.tools:
            self._tool(db, key, tool, (started // DAY_NS, service, workflow), sums)

    def _free_id(self, db: sqlite3.Connection, run: Run, trace_id: bytes | None, sums: _Changes) -> str:
        """The run's id, its older self removed. Two runs of different traces that claim one id keep apart."""
        run_id = plain(run.id)
        for _ in range(2):
            found = db.execute("SELECT id, trace_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if found is None:
                return run_id
            if found[1] == trace_id:
                break
            run_id = f"{run_id}-{trace_id.hex() if trace_id else 'again'}"
        if found is not None:
            remove(db, found[0], sums)
        return run_id

    def _call(self, db: sqlite3.Connection, call: Call, entry: Entry) -> tuple[Any, ...]:
        owner, cost, usage = call.owner, call.cost, call.usage
        model = call.model or call.response_model or call.request_model
        dim = self._interning.dim(
            db,
            (
                entry.service, entry.environment, owner.workflow or entry.run.workflow, owner.agent, owner.tool, call.provider,
                model, cost.source if cost else None, cost.ref if cost else None,
            ),
        )  # fmt: skip
        started = _time(call.started_ns)
        head = (
            dim,
            started,
            min(max(0, _time(call.ended_ns) - started), _DURATION_MAX),
            signed(int(call.id, 16)) if call.id else 0,
        )
        if call.cache_hit:
            return (*head, _HIT, 0, *(None,) * len(AMOUNTS), None)
        if usage.source == REPORTED:
            evidence = _REPORTED
        elif usage.source == ESTIMATED:
            evidence = _ESTIMATED
        else:
            evidence = _REFUSED if call.refused else _MISSING
        reason = call.unpriced.reason if call.unpriced is not None else call.missing_reason
        return (
            *head, evidence, int(call.outcome == "error"), _count(usage.input_tokens), _count(usage.output_tokens),
            _count(usage.cache_read_tokens), _count(usage.cache_write_tokens), _count(usage.reasoning_tokens),
            _fitting([to_nano(cost.amount_usd)])[0] if cost else None, self._interning.name(db, reason) or None,
        )  # fmt: skip

    def _tool(self, db: sqlite3.Connection, key: int, tool: ToolTotals, where: tuple[int, int, int], sums: _Changes) -> None:
        nested = tool.nested
        name = self._interning.name(db, tool.name)
        figures: list[int | None] = _fitting([
            tool.calls, tool.errors, round(tool.duration_seconds * 1e9),
            _count(nested.usage.total_tokens), to_nano(nested.cost_usd),
            _count(tool.call_tokens), to_nano(tool.call_cost_usd), _count(tool.result_tokens), to_nano(tool.result_cost_usd),
            _count(tool.carried_tokens), to_nano(tool.carried_cost_usd),
        ])  # fmt: skip
        held = db.execute(
            f"INSERT OR IGNORE INTO run_tools (run, tool, {', '.join(TOOL_MEASURES)}) VALUES (?, ?{', ?' * len(TOOL_MEASURES)})",
            (key, name, *figures),
        )
        if held.rowcount:
            sums.tool((*where, name), figures, 1)


def remove(db: sqlite3.Connection, key: int, sums: _Changes) -> None:
    """Delete a run with its calls, and take what they had added out of the sums."""
    columns = ", ".join(_CALL_COLUMNS[2:])
    for row in db.execute(f"SELECT {columns} FROM calls WHERE run = ?", (key,)).fetchall():
        sums.call(row, -1)
    (started, service, workflow) = db.execute("SELECT started_ns, service, workflow FROM runs WHERE id = ?", (key,)).fetchone()
    tools = f"SELECT tool, {', '.join(TOOL_MEASURES)} FROM run_tools WHERE run = ?"
    for tool, *figures in db.execute(tools, (key,)).fetchall():
        sums.tool((started // DAY_NS, service or 0, workflow or 0, tool), figures, -1)
    for table, column in (("calls", "run"), ("run_tools", "run"), ("records", "run"), ("runs", "id")):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))


class _Changes:
    """What a transaction adds to the sums, collected so that each row of them is written once."""

    def __init__(self) -> None:
        self._hours: dict[tuple[int, ...], list[Any]] = {}
        self._days: dict[tuple[int, ...], list[Any]] = {}
        self._tools: dict[tuple[int, ...], list[Any]] = {}

    def call(self, row: Sequence[Any], sign: int) -> None:
        """A call, as its row in `calls` without run and place."""
        measures = _measures(row)
        if sign < 0:
            measures = [None if value is None else -value for value in measures]
        for changes, length in ((self._hours, HOUR_NS), (self._days, DAY_NS)):
            key = (row[1] // length, row[0])
            known = changes.get(key)
            if known is None:
                changes[key] = measures.copy()
            else:
                _add(known, measures)

    def tool(self, key: tuple[int, ...], figures: Sequence[int | None], sign: int) -> None:
        signed_figures = [None if value is None else sign * value for value in figures]
        known = self._tools.get(key)
        if known is None:
            self._tools[key] = signed_figures
        else:
            _add(known, signed_figures)

    def write(self, db: sqlite3.Connection) -> None:
        for sql, changes in ((_HOURS, self._hours), (_DAYS, self._days), (_TOOL_DAYS, self._tools)):
            db.executemany(sql, [(*key, *_fitting(figures)) for key, figures in changes.items()])


def _measures(row: Sequence[Any]) -> list[Any]:
    """The figures of one call in the order of `MEASURES`; `row` as in `calls`, without run and place."""
    evidence = row[4]
    if evidence == _HIT:
        return [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, *(None,) * len(AMOUNTS)]
    priced = int(row[11] is not None)
    return [
        1, row[5], 0, int(evidence == _REPORTED), int(evidence == _ESTIMATED), int(evidence == _MISSING),
        int(evidence == _REFUSED), priced, priced & int(evidence == _REPORTED), row[2], *row[6:12],
    ]  # fmt: skip


def _add(figures: list[Any], more: Sequence[Any]) -> None:
    for place, value in enumerate(more):
        if value is not None:
            known = figures[place]
            figures[place] = value if known is None else known + value


def _fitting(figures: Iterable[int | None]) -> list[int | None]:
    return [
        value if value is None or -_SUM_MAX < value < _SUM_MAX else (_SUM_MAX if value > 0 else -_SUM_MAX) for value in figures
    ]


def _upsert(table: str, keys: tuple[str, ...], measures: tuple[str, ...], counts: tuple[str, ...]) -> str:
    names = (*keys, *measures)
    changes = ", ".join(
        f"{name} = min({name} + excluded.{name}, {_SUM_MAX})"
        if name in counts
        else f"{name} = coalesce(min({name} + excluded.{name}, {_SUM_MAX}), {name}, excluded.{name})"
        for name in measures
    )
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    )


_HOURS: Final = _upsert("hours", ("hour", "dim"), MEASURES, COUNTS)
_DAYS: Final = _upsert("days", ("day", "dim"), MEASURES, COUNTS)
_TOOL_DAYS: Final = _upsert("tool_days", ("day", "service", "workflow", "tool"), TOOL_MEASURES, TOOL_COUNTS)


def _trace_id(run: Run) -> bytes | None:
    try:
        return bytes.fromhex(run.trace_ids[0]) if run.trace_ids else None
    except ValueError:
        return None


def _time(ns: int) -> int:
    return min(max(0, ns), TIME_MAX)


def _count(value: int | None) -> int | None:
    """A count that 64 bits can still add up; what is greater is no count of tokens."""
    return value if value is None or 0 <= value <= _COUNT_MAX else None
