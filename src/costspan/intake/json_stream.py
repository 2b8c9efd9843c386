"""JSON documents of any size in pieces of bounded size: a walk over the members around spans, then the standard decoder.

A trace file may be one document of a gigabyte. The walk keeps a window of it and goes by name through `resourceSpans`,
`scopeSpans` and `spans`; each span, resource or scope is then read whole by `json`. The same walk saves what is readable of
a document that is cut short or damaged. Both spellings of names are read: camelCase (the OTLP rule) and snake_case.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.intake.wire import Note, Stream

ENDS_EARLY: Final = "the data ends in the middle of a JSON document"
NOT_A_LIST: Final = "{} is not a list and was left out"
NOT_AN_OBJECT: Final = "an element of {} is not an object and was left out"
RESOURCE_SPANS: Final = ("resourceSpans", "resource_spans")
SCOPE_SPANS: Final = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
SCOPE: Final = ("scope", "instrumentationLibrary")
VALUE_BYTES_MAX: Final = 64 << 20
"""A single span or other value greater than this ends the reading: it would have to be held in memory whole."""
_BLOCK_BYTES: Final = 1 << 20
_SPANS_MAX: Final = 512
_HELD_MAX: Final = 20_000
_DECODER: Final = json.JSONDecoder(strict=False)


class JsonPiece(NamedTuple):
    """Some spans of one scope, each with its byte offset, as `json` reads them: any member may be of any type."""

    resource: object
    scope: object
    spans: list[tuple[int, object]]


class JsonDocument(NamedTuple):
    """The members of a document other than its spans, given at its end; `has_spans` tells whether it had a list of them."""

    members: dict[str, object]
    offset: int
    has_spans: bool


class JsonError(Exception):
    """What stands at `offset` is not JSON, or ends too early."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def documents(stream: Stream, note: Note) -> Iterator[JsonPiece | JsonDocument]:
    """Pieces of all documents that follow one another in the stream; what cannot be read is told to `note`."""
    window = _Window(stream)
    try:
        while char := window.peek():
            if char == "{":
                yield from _document(window, note)
            elif char in "[,]":
                window.position += 1
            else:
                raise JsonError(window.offset, "not JSON")
    except JsonError as error:
        note(error.offset, error.reason)


def parsed(document: object, offset: int, note: Note) -> Iterator[JsonPiece | JsonDocument]:
    """The same pieces of a document that was read whole; all of them are at `offset`."""
    if isinstance(document, list):
        for item in document:
            yield from parsed(item, offset, note)
        return
    if not isinstance(document, dict):
        note(offset, "JSON that is not an object was left out")
        return
    rest = dict(document)
    has_spans = False
    for name in RESOURCE_SPANS:
        if name in rest:
            has_spans = True
            for resource_spans in _listed(rest.pop(name), name, offset, note):
                yield from _parsed_scopes(resource_spans, offset, note)
    yield JsonDocument(rest, offset, has_spans)


def _parsed_scopes(resource_spans: dict[str, object], offset: int, note: Note) -> Iterator[JsonPiece]:
    for name in SCOPE_SPANS:
        for scope_spans in _listed(resource_spans.get(name), name, offset, note):
            spans = scope_spans.get("spans")
            if isinstance(spans, list) and spans:
                scope = next((scope_spans[key] for key in SCOPE if key in scope_spans), None)
                yield JsonPiece(resource_spans.get("resource"), scope, [(offset, span) for span in spans])
            elif spans:
                note(offset, NOT_A_LIST.format("spans"))


def _listed(value: object, name: str, offset: int, note: Note) -> Iterator[dict[str, object]]:
    if value is None:
        return
    if not isinstance(value, list):
        note(offset, NOT_A_LIST.format(name))
        return
    for item in value:
        if isinstance(item, dict):
            yield item
        else:
            note(offset, NOT_AN_OBJECT.format(name))


def _document(window: _Window, note: Note) -> Iterator[JsonPiece | JsonDocument]:
    rest: dict[str, object] = {}
    offset, has_spans = window.offset, False
    for key in window.members():
        if key not in RESOURCE_SPANS:
            rest[key] = window.value()
            continue
        has_spans = True
        for _ in _objects(window, note, key):
            yield from _resource_spans(window, note)
    yield JsonDocument(rest, offset, has_spans)


def _resource_spans(window: _Window, note: Note) -> Iterator[JsonPiece]:
    resource: object = None
    for key in window.members():
        if key == "resource":
            resource = window.value()
        elif key in SCOPE_SPANS:
            for _ in _objects(window, note, key):
                yield from _scope_spans(window, resource, note)
        else:
            window.value()


def _scope_spans(window: _Window, resource: object, note: Note) -> Iterator[JsonPiece]:
    scope: object = None
    spans: list[tuple[int, object]] = []
    try:
        for key in window.members():
            if key in SCOPE:
                scope = window.value()
            elif key == "spans" and window.peek() != "[":
                window.value()
                note(window.offset, NOT_A_LIST.format(key))
            elif key != "spans":
                window.value()
            else:
                for _ in window.elements():
                    spans.append((window.offset, window.value()))
                    # A scope named after its spans is rare; its spans wait for it within reason.
                    if len(spans) >= (_SPANS_MAX if scope is not None else _HELD_MAX):
                        yield JsonPiece(resource, scope, spans)
                        spans = []
    except JsonError:
        if spans:
            yield JsonPiece(resource, scope, spans)
        raise
    if spans:
        yield JsonPiece(resource, scope, spans)


def _objects(window: _Window, note: Note, name: str) -> Iterator[None]:
    """Stops before each object of the list that comes next; anything else in its place is passed over and told of."""
    if window.peek() != "[":
        if window.value() is not None:
            note(window.offset, NOT_A_LIST.format(name))
        return
    for _ in window.elements():
        if window.peek() == "{":
            yield
        else:
            window.value()
            note(window.offset, NOT_AN_OBJECT.format(name))


class _Window:
    """The part of a JSON text that is being looked at, and where it lies in the file."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._text = ""
        self._ended = False
        self._marked_position = 0
        self._marked_offset = stream.offset
        self.position = 0

    @property
    def offset(self) -> int:
        """Byte offset in the file of the character that comes next (a byte order mark not counted)."""
        between = self._text[self._marked_position : self.position]
        self._marked_offset += len(between) if between.isascii() else len(between.encode())
        self._marked_position = self.position
        return self._marked_offset

    def peek(self) -> str:
        """The next character that is not white space, not taken; empty at the end."""
        while True:
            text, position = self._text, self.position
            while position < len(text) and text[position] in " \n\r\t":
                position += 1
            self.position = position
            if position < len(text):
                return text[position]
            if not self._fill(_BLOCK_BYTES):
                return ""

    def members(self) -> Iterator[str]:
        """The names of the object that comes next; after each one its value must be taken."""
        self.position += 1
        while (char := self.peek()) != "}":
            if char == ",":
                self.position += 1
            elif char == '"':
                name = str(self.value())
                if self.peek() != ":":
                    raise self._error()
                self.position += 1
                if not self.peek():
                    raise self._error()
                yield name
            else:
                raise self._error()
        self.position += 1

    def elements(self) -> Iterator[None]:
        """Stops before each element of the list that comes next; it must then be taken."""
        self.position += 1
        while (char := self.peek()) != "]":
            if not char:
                raise self._error()
            if char == ",":
                self.position += 1
            else:
                yield
        self.position += 1

    def value(self) -> object:
        """The value that comes next, read whole."""
        self.peek()
        size = _BLOCK_BYTES
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.position)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_go_on(error):
                    raise self._error(error.pos) from None
            except RecursionError:
                raise JsonError(self.offset, "the JSON is nested too deeply") from None
            except ValueError:  # Python turns no more than 4,300 digits into a whole number
                raise JsonError(self.offset, "a number of more digits than any count has") from None
            else:
                # A number that touches the window's end may go on behind it.
                if end < len(self._text) or self._ended:
                    self.position = end
                    return value
            if len(self._text) - self.position > VALUE_BYTES_MAX:
                raise JsonError(self.offset, f"a single JSON value of more than {VALUE_BYTES_MAX:,} bytes") from None
            self._fill(size)
            size *= 2

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the text was merely cut by the window's end."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 16

    def _fill(self, size: int) -> bool:
        if self._ended:
            return False
        block = self._stream.take(size)
        self._ended = not block
        offset = self.offset
        self._text = self._text[self.position :] + self._decode(block, self._ended)
        self._marked_offset, self._marked_position, self.position = offset, 0, 0
        return not self._ended

    def _error(self, position: int | None = None) -> JsonError:
        offset = self.offset
        if self._ended and (not self.peek() or position is None or self._cut_at(position)):
            return JsonError(offset, ENDS_EARLY)
        if position is not None:
            offset += len(self._text[self.position : position].encode())
        return JsonError(offset, "not valid JSON")

    def _cut_at(self, position: int) -> bool:
        return position >= len(self._text) - 16 or self._text[position : position + 1] == '"'
