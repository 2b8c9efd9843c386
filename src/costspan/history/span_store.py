"""Spans in the history: a narrow row each, what they carried packed per batch, and which traces are not settled yet.

A chunk is `{"resources": [...], "spans": [[resource, scope version, status, attributes, events, reading], ...]}`. The reading
is what the span means, as it was read when it came; so a trace can be assembled again without the texts that were not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from costspan.conventions import RUN_ID
from costspan.history.content import kept, kept_events
from costspan.history.packing import pack, unpack
from costspan.history.run_queries import KINDS, signed
from costspan.readings import Reading, SpanRecord
from costspan.records import NO_USAGE, Usage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from costspan.history.interning import Interning

    Pair = tuple[SpanRecord, Reading | None]

TIME_MAX: Final = (1 << 63) - 1
INTERNED_MAX: Final = 20_000
"""While fewer names are known, a span's name is kept as a number; programs that number their spans must not fill the table."""
_TRACES_REMEMBERED: Final = 20_000
_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}
_INSERT: Final = f"INSERT INTO spans VALUES ({', '.join('?' * 11)})"
_USAGE: Final = tuple(Usage.__dataclass_fields__)
_READING: Final = (
    "kind", "dialect", "name", "operation", "provider", "request_model", "response_model", "response_id", "finish_reason",
    "outcome", "agent", "workflow", "step", "tool", "conversation_id", "tool_call_id", "stream", "time_to_first_token_seconds",
    "service_tier", "error_type", "missing_reason", "cache_hit", "waste", "metered", "refused", "retry_count", "batch",
    "repeats_children", "leaves_out_nested", "ends_stream", "request_lengths", "request_hash", "estimator",
)  # fmt: skip
"""Fields of a reading in the order in which they are written; new ones go to the end."""
_usage_of: Final = attrgetter(*_USAGE)
_reading_of: Final = attrgetter(*_READING)


class SpanStore:
    """Writes and reads spans inside transactions of the caller; `kept`/`undone` say how they ended."""

    def __init__(self, interning: Interning) -> None:
        self._interning = interning
        self._traces: OrderedDict[int, int] = OrderedDict()
        self._new: dict[int, int] = {}

    def insert(self, db: sqlite3.Connection, pairs: Sequence[Pair], seen_ns: int) -> None:
        """Write one batch; its traces count as not settled from now on."""
        if not pairs:
            return
        for trace_id in {record.trace_id for record, _ in pairs}:
            self._touch(db, trace_id, seen_ns)
        (last,) = db.execute(
            "SELECT max(coalesce((SELECT max(id) FROM spans), 0), coalesce((SELECT max(first_id) FROM chunks), 0))"
        ).fetchone()
        first = last + 1
        services = _Resources()
        rows, bodies = [], []
        for number, (record, reading) in enumerate(pairs, first):
            place = services.place(record.resource)
            rows.append(self._row(db, number, record, reading, services.service(place)))
            bodies.append(_body(place, record, reading))
        db.executemany(_INSERT, rows)
        db.execute("INSERT INTO chunks VALUES (?, ?)", (first, pack({"resources": services.kept, "spans": bodies})))

    def _touch(self, db: sqlite3.Connection, trace_id: int, seen_ns: int) -> None:
        (key,) = db.execute(
            "INSERT INTO traces (trace_id, settled, seen_ns) VALUES (?, 0, ?) "
            "ON CONFLICT (trace_id) DO UPDATE SET settled = 0, seen_ns = excluded.seen_ns RETURNING id",
            (trace_id.to_bytes(16, "big"), seen_ns),
        ).fetchone()
        self._new[trace_id] = key

    def _row(
        self, db: sqlite3.Connection, number: int, record: SpanRecord, reading: Reading | None, service: str | None
    ) -> tuple[object, ...]:
        interning = self._interning
        start = min(record.start_ns, TIME_MAX)
        ended = record.end_ns >= record.start_ns and record.end_ns > 0
        name: int | str | None = interning.known(record.name)
        if name is None:
            name = interning.name(db, record.name) if interning.count < INTERNED_MAX else record.name[:500]
        return (
            number,
            self._new[record.trace_id],
            signed(record.span_id),
            signed(record.parent_id) if record.parent_id else None,
            start,
            min(record.end_ns, TIME_MAX) - start if ended else None,
            0 if reading is None else _NUMBER.get(reading.kind, 0),
            int(record.error),
            _storable(name) if isinstance(name, str) else name,
            interning.name(db, record.scope),
            interning.name(db, service),
        )

    def kept(self) -> None:
        """The transaction was committed."""
        self._traces.update(self._new)
        while len(self._traces) > _TRACES_REMEMBERED:
            self._traces.popitem(last=False)
        self._new = {}

    def undone(self) -> None:
        """The transaction was rolled back."""
        self._new = {}

    def key(self, db: sqlite3.Connection, trace_id: int) -> int | None:
        """The number of a trace."""
        found = self._traces.get(trace_id)
        if found is None:
            row = db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id.to_bytes(16, "big"),)).fetchone()
            found = None if row is None else int(row[0])
        return found


def open_traces(db: sqlite3.Connection, limit: int) -> list[tuple[int, bool]]:
    """(trace id, whether a root of it has ended) of traces that are not settled, the newest first."""
    found = db.execute(
        "SELECT trace_id, EXISTS (SELECT 1 FROM spans WHERE trace = t.id AND parent_id IS NULL AND duration_ns IS NOT NULL) "
        "FROM traces t WHERE settled = 0 ORDER BY seen_ns DESC LIMIT ?",
        (limit,),
    )
    return [(int.from_bytes(trace_id, "big"), bool(ended)) for trace_id, ended in found]


def relatives(db: sqlite3.Connection, trace_id: int) -> list[int]:
    """The traces that were settled together with this one, itself included."""
    found = db.execute(
        "SELECT trace_id FROM traces WHERE trace_id = ?1 OR cluster = (SELECT cluster FROM traces WHERE trace_id = ?1)",
        (trace_id.to_bytes(16, "big"),),
    )
    return [int.from_bytes(row[0], "big") for row in found]


def load(db: sqlite3.Connection, trace_ids: Iterable[int], *, limit: int) -> list[Pair]:
    """The spans of these traces as they came, without what only `normalise` needs; at most `limit`."""
    found: list[Pair] = []
    chunks: dict[int, tuple[int, Any]] = {}
    for trace_id in trace_ids:
        rows = db.execute(
            "SELECT s.id, span_id, parent_id, start_ns, duration_ns, error, name, scope "
            "FROM spans s JOIN traces t ON t.id = trace WHERE t.trace_id = ? ORDER BY s.id LIMIT ?",
            (trace_id.to_bytes(16, "big"), limit - len(found)),
        ).fetchall()
        texts = dict(db.execute(f"SELECT id, text FROM names WHERE id IN ({_numbers(rows)})").fetchall())
        found += [_pair(trace_id, row, texts, _held(db, row[0], chunks)) for row in rows]
    return found


def _numbers(rows: Sequence[Sequence[Any]]) -> str:
    return ",".join(sorted({str(part) for row in rows for part in row[6:8] if isinstance(part, int)}))


def _held(db: sqlite3.Connection, number: int, chunks: dict[int, tuple[int, Any]]) -> Any:
    """What the span with this number carried; None where retention has removed it."""
    (first,) = db.execute("SELECT max(first_id) FROM chunks WHERE first_id <= ?", (number,)).fetchone()
    if first is None:
        return None
    if first not in chunks:
        if len(chunks) > 16:
            chunks.clear()
        (body,) = db.execute("SELECT body FROM chunks WHERE first_id = ?", (first,)).fetchone()
        chunks[first] = (first, unpack(body))
    spans = chunks[first][1]["spans"]
    return spans[number - first] if number - first < len(spans) else None


def _pair(trace_id: int, row: Sequence[Any], texts: Mapping[int, str], held: Any) -> Pair:
    _, span_id, parent_id, start, duration, error, name, scope = row
    attributes = held[3] if held else {}
    record = SpanRecord(
        trace_id=trace_id,
        span_id=span_id % (1 << 64),
        parent_id=0 if parent_id is None else parent_id % (1 << 64),
        name=name if isinstance(name, str) else texts.get(name, ""),
        scope=texts.get(scope, ""),
        scope_version="",
        start_ns=start,
        end_ns=0 if duration is None else start + duration,
        attributes={RUN_ID: attributes[RUN_ID]} if RUN_ID in attributes else {},
        error=bool(error),
    )
    return record, reading_of(held[5]) if held and held[5] else None


class _Resources:
    """The distinct resources of a batch; spans of one request share the mapping itself."""

    def __init__(self) -> None:
        self.kept: list[dict[str, object]] = []
        self._places: dict[int, int] = {}

    def place(self, resource: Mapping[str, object]) -> int:
        place = self._places.get(id(resource))
        if place is None:
            body = kept(resource)
            place = self.kept.index(body) if body in self.kept else len(self.kept)
            if place == len(self.kept):
                self.kept.append(body)
            self._places[id(resource)] = place
        return place

    def service(self, place: int) -> str | None:
        return service_of(self.kept[place])


def service_of(resource: Mapping[str, object]) -> str | None:
    """`service.name`, unless it is the SDK's stand-in for none."""
    name = resource.get("service.name")
    return name if isinstance(name, str) and name and not name.startswith("unknown_service") else None


def environment_of(resource: Mapping[str, object]) -> str | None:
    """`deployment.environment.name`, or its older spelling."""
    name = resource.get("deployment.environment.name") or resource.get("deployment.environment")
    return name if isinstance(name, str) and name else None


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _body(place: int, record: SpanRecord, reading: Reading | None) -> list[object]:
    return [
        place,
        record.scope_version,
        record.status_message[:500],
        kept(record.attributes),
        kept_events(record.events) if record.events else [],
        None if reading is None else packed_reading(reading),
    ]


def packed_reading(reading: Reading) -> list[object]:
    """A reading as JSON: its usage, its plain fields, and what few have."""
    few: dict[str, object] = {}
    if reading.fees is not None:
        few["fees"] = dict(reading.fees)
    if reading.stated_cost_usd is not None:
        few["stated"] = str(reading.stated_cost_usd)
    if reading.problems:
        few["problems"] = reading.problems
    usage = reading.usage
    return [0 if usage is NO_USAGE else _usage_of(usage), _reading_of(reading), few or 0]


def reading_of(packed: Sequence[Any]) -> Reading:
    """A packed reading again; what an older file lacks takes its default."""
    usage, values, few = packed
    reading = Reading(**dict(zip(_READING, values, strict=False)))
    if usage:
        reading.usage = Usage(*usage)
    if few:
        reading.fees = few.get("fees")
        reading.problems = tuple(few.get("problems", ()))
        if "stated" in few:
            reading.stated_cost_usd = Decimal(few["stated"])
    return reading
