"""Protobuf messages of any size in pieces of bounded size: a walk over the wire format down to single spans.

A trace file may hold one message of a gigabyte. Parsing it whole would take several times that, so the walk reads tags and
lengths only, hands over whole `ResourceSpans` while they are small, and otherwise goes down into them (resource, scope, spans).
The same way down saves what is readable of a message that is cut short or damaged.

Layout: opentelemetry-proto `trace.proto`, TracesData and ExportTraceServiceRequest alike {1: ResourceSpans {1: Resource,
2: ScopeSpans {1: InstrumentationScope, 2: Span}}}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from costspan.intake.lean_proto import InstrumentationScope, Resource, ResourceSpans, ScopeSpans

if TYPE_CHECKING:
    M = TypeVar("M", bound=Message)

Note = Callable[[int, str], None]
"""Told of what cannot be read: (byte offset, reason)."""
Piece = tuple[Resource, ScopeSpans, int]

PIECE_BYTES: Final = 4 << 20
"""Messages up to this size are parsed at once; greater ones are walked."""
SPAN_BYTES_MAX: Final = 64 << 20
"""A span greater than this is left out and told of: nothing real is, and it would have to be held in memory whole."""
ENDS_EARLY: Final = "the data ends in the middle of a message"
_GROUP_BYTES: Final = 1 << 20
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE, _SPAN = 1, 1, 2, 1, 2


class Stream(Protocol):
    """Bytes in order. `take` answers fewer than asked only where they end; `offset` is the next byte's place in the file."""

    @property
    def offset(self) -> int: ...

    def take(self, size: int) -> bytes: ...


class Blob:
    """A Stream over bytes in memory; `base` is where they begin in their file."""

    __slots__ = ("_data", "_position", "base")

    def __init__(self, data: bytes, base: int = 0) -> None:
        self._data = data
        self._position = 0
        self.base = base

    @property
    def offset(self) -> int:
        return self.base + self._position

    def take(self, size: int) -> bytes:
        piece = self._data[self._position : self._position + size]
        self._position += len(piece)
        return piece


class WireError(Exception):
    """The bytes at `offset` are not a protobuf field, or end in the middle of one."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def pieces(stream: Stream, note: Note, length: int | None = None) -> Iterator[Piece]:
    """(resource, scope with some of its spans, byte offset) of one message, in order; each at most a few megabytes.

    `length` is the message's size in bytes, None = until the stream ends. What cannot be read is told to `note`;
    everything readable around it is still yielded.
    """
    try:
        for field, size, start in _fields(stream, length):
            if field != _RESOURCE_SPANS:
                _pass_over(stream, size)
            elif size <= PIECE_BYTES:
                yield from _small(stream.take(size), size, start, note)
            else:
                yield from _resource_spans(stream, size, note)
    except WireError as error:
        note(error.offset, error.reason)


def _small(data: bytes, size: int, start: int, note: Note) -> Iterator[Piece]:
    """A ResourceSpans in memory: parsed at once, or walked when it is damaged or cut short."""
    if len(data) == size:
        try:
            whole = ResourceSpans.FromString(data)
        except DecodeError:
            pass
        else:
            for scope_spans in whole.scope_spans:
                yield whole.resource, scope_spans, start
            return
    try:
        yield from _resource_spans(Blob(data, start), size, note)
    except WireError as error:
        note(error.offset, error.reason)


def _resource_spans(stream: Stream, length: int, note: Note) -> Iterator[Piece]:
    resource = Resource()
    for field, size, start in _fields(stream, length):
        if field == _RESOURCE:
            resource = _parse(Resource(), _whole(stream, size), start, note)
        elif field == _SCOPE_SPANS:
            for scope_spans in _scope_spans(stream, size, note):
                yield resource, scope_spans, start
        else:
            _pass_over(stream, size)


def _scope_spans(stream: Stream, length: int, note: Note) -> Iterator[ScopeSpans]:
    scope = InstrumentationScope()
    spans: list[tuple[bytes, int]] = []
    held = 0
    try:
        for field, size, start in _fields(stream, length):
            if field == _SCOPE:
                scope = _parse(InstrumentationScope(), _whole(stream, size), start, note)
            elif field == _SPAN and size <= SPAN_BYTES_MAX:
                spans.append((_whole(stream, size), start))
                held += size
            else:
                if field == _SPAN:
                    note(start, f"a span of {size:,} bytes was left out (more than {SPAN_BYTES_MAX:,})")
                _pass_over(stream, size)
            if held >= _GROUP_BYTES:
                yield _group(scope, spans, note)
                spans, held = [], 0
    except WireError:
        yield _group(scope, spans, note)
        raise
    yield _group(scope, spans, note)


def _group(scope: InstrumentationScope, spans: list[tuple[bytes, int]], note: Note) -> ScopeSpans:
    """Spans of one scope as a message; a damaged span costs only itself."""
    group = ScopeSpans(scope=scope)
    for data, start in spans:
        try:
            group.spans.add().MergeFromString(data)
        except DecodeError:
            del group.spans[-1]
            note(start, "a span is not valid protobuf and was left out")
    return group


def _fields(stream: Stream, length: int | None) -> Iterator[tuple[int, int, int]]:
    """(field number, size, offset of its first byte) of each length-delimited field; the caller takes exactly `size` bytes."""
    end = None if length is None else stream.offset + length
    while end is None or stream.offset < end:
        start = stream.offset
        tag = _varint(stream, clean_end=end is None)
        if tag is None:
            return
        kind = tag & 7
        if kind == _LENGTH and tag >> 3:
            size = _varint(stream)
            begin = stream.offset
            if size is None or (end is not None and begin + size > end):
                raise WireError(start, "not valid protobuf: a field is longer than the message around it")
            yield tag >> 3, size, begin
        elif kind == _VARINT and tag >> 3:
            _varint(stream)
        elif kind in (_FIXED64, _FIXED32) and tag >> 3:
            _pass_over(stream, 8 if kind == _FIXED64 else 4)
        else:
            raise WireError(start, "not valid protobuf")


def _varint(stream: Stream, *, clean_end: bool = False) -> int | None:
    """The next variable-length integer; None where the stream ends before it and `clean_end` allows that."""
    value = shift = 0
    start = stream.offset
    while shift < 64:
        byte = stream.take(1)
        if not byte:
            if clean_end and not shift:
                return None
            raise WireError(stream.offset, ENDS_EARLY)
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise WireError(start, "not valid protobuf")


def _whole(stream: Stream, size: int) -> bytes:
    data = stream.take(size)
    if len(data) < size:
        raise WireError(stream.offset, ENDS_EARLY)
    return data


def _pass_over(stream: Stream, size: int) -> None:
    while size > 0:
        step = len(stream.take(min(size, _GROUP_BYTES)))
        if not step:
            raise WireError(stream.offset, ENDS_EARLY)
        size -= step


def _parse(message: M, data: bytes, start: int, note: Note) -> M:
    """The bytes as this message; empty and told of when they are damaged."""
    try:
        message.MergeFromString(data)
    except DecodeError:
        message.Clear()
        note(start, f"a {message.DESCRIPTOR.name} is not valid protobuf and was taken as empty")
    return message
