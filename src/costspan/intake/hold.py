"""Spans between the file and the accounts: in memory while they are few, in a temporary file when they are many.

Spans must be assembled together as far as they have to do with one another: those of one trace, and those of traces whose
calls may be two layers of one call. So they come back in batches of such families. Of a great set, only what a span means
is kept, packed, on disk, and memory stays bounded.
"""

from __future__ import annotations

import marshal
import tempfile
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from costspan.conventions import RUN_ID
from costspan.intake.kinship import Kinship
from costspan.readings import Reading, SpanRecord
from costspan.records import CALL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Pair = tuple[SpanRecord, Reading | None]

IN_MEMORY_MAX: Final = 100_000
"""Spans held as objects, about 1 kB each; more are packed and written down, about 150 bytes each."""
BATCH_SPANS: Final = 100
"""Small batches are assembled faster, because they stay in the processor's caches."""

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
    record.resource = _NOTHING
    if record.events:
        record.events = ()
    if record.status_message:
        record.status_message = ""


class Hold:
    """Takes spans with their readings one by one, gives them back in batches to be assembled."""

    def __init__(self) -> None:
        self._traces: dict[int, list[Pair]] = {}
        self._kinship = Kinship()
        self._disk: _Disk | None = None
        self._started: dict[int, int] = {}
        self._waiting = 0
        self.count = 0

    @property
    def packed(self) -> bool:
        """Whether the spans are too many for memory."""
        return self._disk is not None

    def add(self, record: SpanRecord, reading: Reading | None) -> None:
        """Keep one span; its attributes are let go."""
        if reading is not None and (reading.kind == CALL or reading.repeats_children):
            self._kinship.add(record, reading)
        slim(record)
        pairs = self._traces.get(record.trace_id)
        if pairs is None:
            pairs = self._traces[record.trace_id] = []
        pairs.append((record, reading))
        self.count += 1
        self._waiting += 1
        if self._waiting >= IN_MEMORY_MAX:
            self._write()

    def _write(self) -> None:
        if self._disk is None:
            self._disk = _Disk()
        self._note_starts()
        self._disk.write(self._traces)
        self._traces = {}
        self._waiting = 0

    def _note_starts(self) -> None:
        started = self._started
        for trace_id, pairs in self._traces.items():
            first = min([record.start_ns for record, _ in pairs])
            started[trace_id] = min(first, started.get(trace_id, first))

    def batches(self) -> Iterator[list[Pair]]:
        """Everything that was added, each trace whole and together with what it may share calls with; in order of time.

        What a batch has is let go here, so the caller may do so too.
        """
        if self._disk is None:
            self._note_starts()
            yield from self._batched(self._traces.pop)
            return
        self._write()
        with self._disk as disk:
            yield from self._batched(disk.read)

    def _batched(self, take: Callable[[int], list[Pair]]) -> Iterator[list[Pair]]:
        batch: list[Pair] = []
        for family in self._kinship.families(self._started):
            for trace_id in family:
                batch += take(trace_id)
            if len(batch) >= BATCH_SPANS:
                yield batch
                batch = []
        if batch:
            yield batch


class _Disk:
    """Packed spans by trace in a temporary file, which has no name and goes with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="costspan-")  # noqa: SIM115 - closed by __exit__
        self.places: dict[int, list[tuple[int, int]]] = {}

    def __enter__(self) -> _Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, traces: Mapping[int, list[Pair]]) -> None:
        """Append what is there of each trace."""
        offset = self._file.seek(0, 2)
        for trace_id, pairs in traces.items():
            data = marshal.dumps([_pack(record, reading) for record, reading in pairs])
            self._file.write(data)
            self.places.setdefault(trace_id, []).append((offset, len(data)))
            offset += len(data)

    def read(self, trace_id: int) -> list[Pair]:
        """Everything of one trace."""
        return list(self._read(trace_id))

    def _read(self, trace_id: int) -> Iterator[Pair]:
        for offset, size in self.places[trace_id]:
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
