"""Trace files as one stream of spans, in bounded memory whatever their size.

Read are OTLP/JSON (one request, pretty-printed or not, or one request a line as the Collector's file exporter writes),
OTLP protobuf (one message, or the file exporter's messages with a 4-byte length before each), each plain or packed with
gzip or zstd, and run records of our own. The format is told from the content, never from the file's name. Whatever cannot
be read is told in `problems`, with its place; everything else is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from costspan.errors import InputError
from costspan.intake import json_stream, otlp, wire
from costspan.intake.problems import Problems
from costspan.intake.sources import GZIP_MAGIC, ZSTD_MAGIC, Source, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from costspan.readings import SpanRecord

STDIN: Final = "-"
LINE_BYTES_MAX: Final = 16 << 20
"""A longer line is walked like a document instead of being parsed at once."""
_TRIED_BYTES: Final = 1 << 20
FRAME_BYTES_MAX: Final = 256 << 20
_HEAD_BYTES: Final = 1 << 12
_SCHEMA_VERSION: Final = 1


class FileSpans:
    """The spans of some files, in order; iterate once. `problems` and `records` fill while it goes.

    `records` are the run records found among the files (`schema_version` 1), as dicts.
    """

    def __init__(self, paths: Sequence[Path], progress: Callable[[int], None] | None = None) -> None:
        self.paths = tuple(paths)
        self.problems = Problems()
        self.records: list[dict[str, object]] = []
        self._progress = progress

    def __iter__(self) -> Iterator[SpanRecord]:
        for path in self.paths:
            notes = _Notes(str(path), self.problems)
            try:
                file: BinaryIO = sys.stdin.buffer if notes.file == STDIN else path.open("rb")
            except OSError as error:
                notes(0, f"cannot be read ({error.strerror})")
                continue
            with file:
                source = notes.source = Source(file, notes, self._progress)
                yield from _file_spans(source, notes, self.records)


def read_files(paths: Sequence[Path | str], progress: Callable[[int], None] | None = None) -> FileSpans:
    """Spans of all these files as one set; `-` is standard input. `progress` is told how many bytes were read, in steps.

    Raises InputError, before anything is read, for a file that is missing, a directory, or not allowed to be read.
    """
    checked = [Path(path) for path in paths]
    for path in checked:
        if str(path) != STDIN:
            _check(path)
    return FileSpans(checked, progress)


def _check(path: Path) -> None:
    if path.is_dir():
        message = f"{path} is a directory; name the files in it"
        raise InputError(message)
    try:
        path.open("rb").close()
    except OSError as error:
        message = f"{path} cannot be read ({(error.strerror or str(error)).lower()})"
        raise InputError(message) from None


class _Notes:
    """Where the problems of one file go; `line` is the current line of a file read by lines, else 0."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.line = 0
        self.source: Source | None = None
        self.told = 0
        self._problems = problems

    def __call__(self, offset: int, reason: str) -> None:
        self.told += 1
        source = self.source
        if source is not None and source.damaged and reason in (json_stream.ENDS_EARLY, wire.ENDS_EARLY):
            return  # already told: the packed data ended before the document did
        unpacked = " unpacked" if source is not None and source.packing else ""
        self._problems.add(self.file, f"line {self.line:,}" if self.line else f"byte {offset:,}{unpacked}", reason)

    def whole(self, reason: str) -> None:
        """A problem of the file as a whole."""
        self.told += 1
        self._problems.add(self.file, "", reason)


def _file_spans(source: Source, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    known = len(records)
    found = False
    for span in _by_format(source, notes, records):
        found = True
        yield span
    if not (found or notes.told or len(records) > known):
        notes.whole("holds no spans")


def _by_format(source: Source, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    head = source.peek(_HEAD_BYTES)
    if source.foreign:
        notes.whole(f"is a {source.foreign} file, which costspan does not read; unpack it or export it as OTLP first")
    elif not head and not notes.told:
        notes.whole("is empty")
    elif _looks_like_json(head):
        yield from _json(source, notes, records)
    elif head[:1] == b"\x0a":
        yield from otlp.protobuf_spans(source, notes)
    elif _looks_framed(head):
        yield from _frames(source, notes, records)
    elif head:
        notes.whole("is neither OTLP (JSON or protobuf) nor a run record of costspan (byte 0 is where reading stopped)")


def _looks_like_json(head: bytes) -> bool:
    """`\\n` also begins a protobuf message, but no JSON text has control characters."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return text[:1] in (b"{", b"[") and not any(byte < 0x20 and byte not in b"\t\r\n" for byte in head)


def _looks_framed(head: bytes) -> bool:
    """Whether a 4-byte length stands before something that costspan reads."""
    size, start = int.from_bytes(head[:4], "big"), head[4:8]
    return 0 < size <= FRAME_BYTES_MAX and (start[:1] in (b"\x0a", b"{") or start == ZSTD_MAGIC or start[:2] == GZIP_MAGIC)


def _frames(source: Source, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    """Messages with their length before them, as the Collector's file exporter writes protobuf and packed JSON."""
    while prefix := source.take(4):
        offset = source.offset
        size = int.from_bytes(prefix, "big")
        if len(prefix) < 4 or size > FRAME_BYTES_MAX:
            notes(offset, wire.ENDS_EARLY if len(prefix) < 4 else f"a message of {size:,} bytes cannot be; stopped here")
            return
        data = source.take(size)
        cut = len(data) < size
        if data.startswith((ZSTD_MAGIC, GZIP_MAGIC)):
            data = unpack(data, notes, offset)
            cut = False
        if data[:1] == b"{":
            yield from _json_line(data, offset, notes, records)
        else:
            yield from otlp.protobuf_spans(wire.Blob(data, offset), notes, size if cut else None)


def _json(source: Source, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    """By lines when the first line is a whole document, else as documents that go over many lines."""
    if not _first_line_is_whole(source):
        yield from _walked(source, notes, records)
        return
    lines = _Lines(source)
    for line in lines:
        notes.line += 1
        if isinstance(line, bytes):
            yield from _json_line(line, 0, notes, records)
        else:
            yield from _walked(line, notes, records)


def _first_line_is_whole(source: Source) -> bool:
    size = _HEAD_BYTES
    while True:
        head = source.peek(size)
        line, newline, _ = head.partition(b"\n")
        if newline or len(head) < size:
            break
        if size > LINE_BYTES_MAX:
            return False
        size *= 8
    second = head[len(line) + 1 :].lstrip()
    # The first of several lines may be damaged: it is one when the second line begins a document too.
    if second.startswith(b"{") and len(line) > 1:
        return True
    if len(line) > _TRIED_BYTES:
        return line.rstrip().endswith((b"}", b"]"))
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class _Lines:
    """The lines of a source; one that is too long to be held comes as a Stream of its own, to be read to its end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rest = b""

    def __iter__(self) -> Iterator[bytes | wire.Stream]:
        while block := self._source.some():
            *lines, self._rest = (self._rest + block).split(b"\n")
            yield from lines
            if len(self._rest) > LINE_BYTES_MAX:
                yield _LongLine(self)
        if self._rest:
            yield self._rest

    def part(self) -> tuple[bytes, bool]:
        """The next part of a long line, and whether the line ends with it."""
        block = self._rest or self._source.some()
        part, newline, self._rest = block.partition(b"\n")
        return part, bool(newline) or not block


class _LongLine:
    """A Stream over one line of any length."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._ended = False
        self.offset = 0

    def take(self, _size: int) -> bytes:
        while not self._ended:
            part, self._ended = self._lines.part()
            if part:
                return part
        return b""


def _json_line(line: bytes, offset: int, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    if not line.strip():
        return
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        yield from _walked(wire.Blob(line, offset), notes, records)
        return
    yield from _spans(json_stream.parsed(document, offset, notes), notes, records)


def _walked(stream: wire.Stream, notes: _Notes, records: list[dict[str, object]]) -> Iterator[SpanRecord]:
    return _spans(json_stream.documents(stream, notes), notes, records)


def _spans(
    found: Iterator[json_stream.JsonPiece | json_stream.JsonDocument], notes: _Notes, records: list[dict[str, object]]
) -> Iterator[SpanRecord]:
    for piece in found:
        if isinstance(piece, json_stream.JsonPiece):
            yield from otlp.json_spans(piece, notes)
        elif piece.members.get("schema_version") == _SCHEMA_VERSION and isinstance(piece.members.get("run"), dict):
            records.append(piece.members)
        elif reason := _what_else(piece):
            notes(piece.offset, reason)


def _what_else(document: json_stream.JsonDocument) -> str:
    """What a document without spans is, as a line for people; empty for an empty request."""
    members = document.members
    if document.has_spans or not members:
        return ""
    if "schema_version" in members:
        return f"a run record of schema version {members['schema_version']!r:.20}; this costspan reads version {_SCHEMA_VERSION}"
    if "resourceMetrics" in members or "resourceLogs" in members:
        return "metrics or logs, not traces; left out"
    if isinstance(members.get("context"), dict):
        return "a span as the console exporter prints it; export OTLP instead (OTEL_TRACES_EXPORTER=otlp)"
    return "JSON that is neither OTLP traces (no resourceSpans) nor a run record; left out"
