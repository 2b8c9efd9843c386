"""Spans between the file and the accounts: in memory while they are few, in a temporary file when they are many.

A set of spans must be assembled together as far as its spans have to do with one another: those of one trace, and calls
in different traces that may be two layers of one call. Small sets are assembled whole. Of a great one, only what a span
means is kept, packed, on disk; it comes back in batches of traces that belong together, so memory stays bounded.
"""

from __future__ import annotations

import marshal
import tempfile
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from costspan.conventions import RUN_ID
from costspan.intake.kinship import Kinship
from costspan.records import Reading, SpanRecord, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Pair = tuple[SpanRecord, Reading | None]

IN_MEMORY_MAX: Final = 100_000
"""Spans held as objects, about 1 kB each; more are packed and written down, about 150 bytes each."""
BATCH_SPANS: Final = 20_000

_NOTHING: Final[Mapping[str, object]] = {}
_RECORD_FIELDS: Final = (
    "trace_id", "span_id", "parent_id", "name", "scope", "scope_version", "start_ns", "end_ns", "error",
)  # fmt: skip
_USAGE_FIELDS: Final = tuple(Usage.__dataclass_fields__)
_READING_FIELDS: Final = tuple(name for name in Reading.__dataclass_fields__ if name != "usage")
_record_values = attrgetter(*_RECORD_FIELDS)
_usage_values = attrgetter(*_USAGE_FIELDS)
_reading_values = attrgetter(*_READING_FIELDS)
_Row = tuple[tuple[object, ...], "str | None", "tuple[object, ...] | None", "tuple[object, ...] | None"]


def slim(record: SpanRecord) -> None:
    """Let go of everything that only `normalise` needed."""
    run_id = record.attributes.get(RUN_ID)
    record.attributes = {RUN_ID: run_id} if run_id is not None else _NOTHING
    record.events = ()
    record.resource = _NOTHING
    record.status_message = ""


class Hold:
    """Takes spans with their readings one by one, gives them back in batches to be assembled."""

    def __init__(self) -> None:
        self._pairs: list[Pair] = []
        self._disk: _Disk | None = None
        self.count = 0

    @property
    def packed(self) -> bool:
        """Whether the spans are too many for memory, so that they come back in several batches."""
        return self._disk is not None

    def add(self, record: SpanRecord, reading: Reading | None) -> None:
        """Keep one span; its attributes are let go."""
        slim(record)
        self._pairs.append((record, reading))
        self.count += 1
        if len(self._pairs) >= IN_MEMORY_MAX:
            if self._disk is None:
                self._disk = _Disk()
            self._disk.write(self._pairs)
            self._pairs = []

    def batches(self) -> Iterator[list[Pair]]:
        """Everything that was added, each trace whole and together with what it may share calls with; in order of time."""
        if self._disk is None:
            yield self._pairs
            return
        self._disk.write(self._pairs)
        self._pairs = []
        with self._disk as disk:
            yield from disk.batches(BATCH_SPANS)


class _Disk:
    """Packed spans by trace in a temporary file, which has no name and goes with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="costspan-")  # noqa: SIM115 - closed by __exit__
        self._places: dict[int, list[tuple[int, int]]] = {}
        self._sizes: dict[int, int] = {}
        self._kinship = Kinship()

    def __enter__(self) -> _Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, pairs: list[Pair]) -> None:
        by_trace: dict[int, list[_Row]] = {}
        for record, reading in pairs:
            if reading is not None:
                self._kinship.add(record, reading)
            by_trace.setdefault(record.trace_id, []).append(_pack(record, reading))
        offset = self._file.seek(0, 2)
        for trace_id, rows in by_trace.items():
            data = marshal.dumps(rows)
            self._file.write(data)
            self._places.setdefault(trace_id, []).append((offset, len(data)))
            self._sizes[trace_id] = self._sizes.get(trace_id, 0) + len(rows)
            offset += len(data)

    def batches(self, spans_max: int) -> Iterator[list[Pair]]:
        batch: list[Pair] = []
        for family in self._kinship.families(self._places):
            if batch and len(batch) + sum(self._sizes[trace_id] for trace_id in family) > spans_max:
                yield batch
                batch = []
            for trace_id in family:
                batch += self._read(trace_id)
        if batch:
            yield batch

    def _read(self, trace_id: int) -> Iterator[Pair]:
        for offset, size in self._places[trace_id]:
            self._file.seek(offset)
            for row in marshal.loads(self._file.read(size)):
                yield _unpack(row)


def _pack(record: SpanRecord, reading: Reading | None) -> _Row:
    run_id = record.attributes.get(RUN_ID)
    run_id = None if run_id is None else str(run_id)
    if reading is None:
        return _record_values(record), run_id, None, None
    values = [str(value) if isinstance(value, Decimal) else value for value in _reading_values(reading)]
    if reading.fees:
        values[_FEES] = dict(reading.fees)
    return _record_values(record), run_id, tuple(values), _usage_values(reading.usage)


_FEES: Final = _READING_FIELDS.index("fees")
_STATED: Final = _READING_FIELDS.index("stated_cost_usd")


def _unpack(row: _Row) -> Pair:
    values, run_id, reading_values, usage_values = row
    record = SpanRecord(
        **dict(zip(_RECORD_FIELDS, values, strict=True)),  # type: ignore[arg-type]
        attributes=_NOTHING if run_id is None else {RUN_ID: run_id},
        resource=_NOTHING,
    )
    if reading_values is None or usage_values is None:
        return record, None
    reading = Reading(**dict(zip(_READING_FIELDS, reading_values, strict=True)))  # type: ignore[arg-type]
    reading.usage = Usage(*usage_values)  # type: ignore[arg-type]
    if reading_values[_STATED] is not None:
        reading.stated_cost_usd = Decimal(str(reading_values[_STATED]))
    return record, reading
