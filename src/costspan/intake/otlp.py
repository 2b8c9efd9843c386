"""OTLP trace requests and files as neutral spans: protobuf and JSON, whole or in pieces.

`SpanRecord` keeps ids as ints and attributes as plain values. Messages that people wrote (prompts, answers, tool definitions)
are dropped here, at the door, unless some dialect keeps token counts inside them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

from costspan.errors import InputError
from costspan.intake import json_stream, wire
from costspan.intake.lean_proto import CONTENT, DAMAGED, attributes
from costspan.readings import SpanRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

    from costspan.intake.wire import Note

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8
ENDS_BEFORE_START: Final = "a span ends before it starts; taken as lasting 0 seconds"
WRONG_TRACE_ID: Final = "a trace id is not 16 bytes long"
WRONG_SPAN_ID: Final = "a span id is not 8 bytes long"
WRONG_TYPE: Final = "a part of a span has a wrong type and was left out"
NOT_A_SPAN: Final = "something that is not a span was left out"
_ERROR: Final = 2
_ERROR_NAMES: Final = (2, "2", "STATUS_CODE_ERROR")
_NOTHING: Final[dict[str, object]] = {}


def decode_protobuf(data: bytes, note: Note | None = None) -> Iterator[SpanRecord]:
    """Spans of one ExportTraceServiceRequest or TracesData, in order.

    `note(byte offset, reason)` is told of what is wrong, and everything readable is yielded; without `note`,
    bytes that are not such a message raise InputError once what stands before them has been yielded.
    """
    yield from protobuf_spans(wire.Blob(data), note or _refuse)


def decode_json(data: bytes, note: Note | None = None) -> Iterator[SpanRecord]:
    """Spans of one OTLP/JSON request, in order; as `decode_protobuf` otherwise."""
    report = note or _refuse
    for piece in json_stream.documents(wire.Blob(data), report):
        if isinstance(piece, json_stream.JsonPiece):
            yield from json_spans(piece, report)


def _refuse(offset: int, reason: str) -> None:
    """Without anybody to tell: what is merely odd passes, what cannot be read is an error."""
    if reason not in (ENDS_BEFORE_START, WRONG_TRACE_ID, WRONG_SPAN_ID, WRONG_TYPE, NOT_A_SPAN, DAMAGED):
        message = f"not an OTLP trace request: byte {offset}: {reason}"
        raise InputError(message)


def protobuf_spans(stream: wire.Stream, note: Note, length: int | None = None) -> Iterator[SpanRecord]:
    """Spans of a protobuf message of any size."""
    for resource, scope_spans, offset in wire.pieces(stream, note, length):
        yield from _scope_records(resource, scope_spans, offset, note)


def _scope_records(resource: Resource, scope_spans: ScopeSpans, offset: int, note: Note) -> Iterator[SpanRecord]:
    damaged = partial(note, offset, DAMAGED)
    resource_attributes = attributes(resource, damaged)
    scope, version = scope_spans.scope.name, scope_spans.scope.version
    number = int.from_bytes
    for span in scope_spans.spans:
        trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
        if len(trace_id) != TRACE_ID_BYTES or len(span_id) != SPAN_ID_BYTES or len(parent_id) not in (0, SPAN_ID_BYTES):
            trace_id, span_id, parent_id = _mended_ids(trace_id, span_id, parent_id, (offset, note))
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        if end < start and end:
            note(offset, ENDS_BEFORE_START)
            end = start
        status = span.status if span.HasField("status") else None
        yield SpanRecord(
            number(trace_id, "big"),
            number(span_id, "big"),
            number(parent_id, "big") if parent_id else 0,
            span.name,
            scope,
            version,
            start,
            end,
            attributes(span, damaged),
            _events(span, damaged) if span.events else (),
            status is not None and status.code == _ERROR,
            "" if status is None else status.message,
            resource_attributes,
        )


def _events(span: Span, damaged: Callable[[], None]) -> list[tuple[str, int, Mapping[str, object]]]:
    return [(event.name, event.time_unix_nano, attributes(event, damaged)) for event in span.events]


def _mended_ids(trace_id: bytes, span_id: bytes, parent_id: bytes, where: tuple[int, Note]) -> tuple[bytes, bytes, bytes]:
    """Ids of a wrong length made usable: equal ones stay equal, so that a family keeps its links."""
    offset, note = where
    if len(trace_id) != TRACE_ID_BYTES:
        note(offset, WRONG_TRACE_ID)
        trace_id = _fit(trace_id, TRACE_ID_BYTES)
    if len(span_id) != SPAN_ID_BYTES or len(parent_id) not in (0, SPAN_ID_BYTES):
        note(offset, WRONG_SPAN_ID)
        span_id = _fit(span_id, SPAN_ID_BYTES)
        parent_id = _fit(parent_id, SPAN_ID_BYTES) if parent_id else b""
    return trace_id, span_id, parent_id


def _fit(value: bytes, size: int) -> bytes:
    """A shorter id is padded (64-bit trace ids are); a longer one, or none at all, is hashed."""
    if 0 < len(value) <= size:
        return value.rjust(size, b"\0")
    return hashlib.blake2b(value, digest_size=size).digest()


def json_spans(piece: json_stream.JsonPiece, note: Note) -> Iterator[SpanRecord]:
    """Spans of a piece of JSON. Every member may be missing or of any type: what is wrong is left out and told of."""
    resource_attributes = _json_attributes(_member(piece.resource, "attributes"), piece.spans[0][0], note)
    scope, version = _text(_member(piece.scope, "name")), _text(_member(piece.scope, "version"))
    for offset, span in piece.spans:
        if not isinstance(span, dict):
            note(offset, NOT_A_SPAN)
            continue
        get = span.get
        start = _time(get("startTimeUnixNano") or get("start_time_unix_nano"), offset, note)
        end = _time(get("endTimeUnixNano") or get("end_time_unix_nano"), offset, note)
        if end < start and end:
            note(offset, ENDS_BEFORE_START)
            end = start
        status = get("status")
        yield SpanRecord(
            trace_id=_id(get("traceId") or get("trace_id"), TRACE_ID_BYTES, offset, note),
            span_id=_id(get("spanId") or get("span_id"), SPAN_ID_BYTES, offset, note),
            parent_id=_parent_id(get("parentSpanId") or get("parent_span_id"), offset, note),
            name=_text(get("name")),
            scope=scope,
            scope_version=version,
            start_ns=start,
            end_ns=end,
            attributes=_json_attributes(get("attributes"), offset, note),
            events=_json_events(get("events"), offset, note) if get("events") else (),
            error=bool(status) and _member(status, "code") in _ERROR_NAMES,
            status_message=_text(_member(status, "message")) if status else "",
            resource=resource_attributes,
        )


def _member(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object, offset: int, note: Note) -> int:
    """Nanoseconds: a string of digits by the rule, a number as some write it; 0 when it is neither."""
    try:
        return int(value) if value else 0  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        note(offset, WRONG_TYPE)
        return 0


def _parent_id(value: object, offset: int, note: Note) -> int:
    return _id(value, SPAN_ID_BYTES, offset, note) if value else 0


def _id(value: object, size: int, offset: int, note: Note) -> int:
    """An id in hex (the OTLP rule), or in base64 as generic protobuf printers write it."""
    if isinstance(value, str) and len(value) == 2 * size:
        try:
            return int(value, 16)
        except ValueError:
            pass
    raw = _loose_id(value, size)
    if len(raw) != size:
        note(offset, WRONG_TRACE_ID if size == TRACE_ID_BYTES else WRONG_SPAN_ID)
        raw = _fit(raw, size)
    return int.from_bytes(raw, "big")


def _loose_id(value: object, size: int) -> bytes:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if len(text) == (size + 2) // 3 * 4 and text.endswith("="):
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            pass
    try:
        return bytes.fromhex(text.rjust(len(text) + len(text) % 2, "0"))
    except ValueError:
        # Longer than any id, so that it is hashed.
        return text.encode("utf-8", "surrogatepass").rjust(2 * TRACE_ID_BYTES, b"\0")


def _json_attributes(pairs: object, offset: int, note: Note) -> Mapping[str, object]:
    if not pairs:
        return _NOTHING
    if isinstance(pairs, dict):
        return pairs
    found: dict[str, object] = {}
    if not isinstance(pairs, list):
        note(offset, WRONG_TYPE)
        return found
    for pair in pairs:
        try:
            key = pair["key"]
            if key in CONTENT:
                continue
            for kind, raw in pair["value"].items():
                if kind == "stringValue" and type(raw) is str:
                    found[key] = raw
                elif kind == "intValue":
                    found[key] = int(raw)
                else:
                    found[key] = _json_value(kind, raw)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            note(offset, WRONG_TYPE)
    return found


_KINDS: Final = {
    "string_value": "stringValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
    "bool_value": "boolValue",
    "array_value": "arrayValue",
    "kvlist_value": "kvlistValue",
    "bytes_value": "bytesValue",
}


def _json_value(kind: str, raw: object) -> object:
    """One AnyValue. Raises ValueError or TypeError when the value does not fit its kind."""
    kind = _KINDS.get(kind, kind)
    if kind == "arrayValue":
        return [_json_value(*pair) for item in _items(raw) for pair in item.items()]
    if kind == "kvlistValue":
        return {item["key"]: _json_value(*pair) for item in _items(raw) for pair in item["value"].items()}
    if kind == "doubleValue" and isinstance(raw, (int, float, str)):
        return float(raw)
    if kind == "intValue" and isinstance(raw, (int, float, str)):
        return int(raw)
    if (kind == "boolValue" and isinstance(raw, bool)) or (kind in ("stringValue", "bytesValue") and isinstance(raw, str)):
        return raw
    message = f"{kind} does not hold such a value"
    raise ValueError(message)


def _items(raw: object) -> list[dict[str, dict[str, object]]]:
    values = raw.get("values", []) if isinstance(raw, dict) else None
    if not isinstance(values, list):
        message = "a list of values is missing"
        raise TypeError(message)
    return values


def _json_events(events: object, offset: int, note: Note) -> list[tuple[str, int, Mapping[str, object]]]:
    if not isinstance(events, list):
        note(offset, WRONG_TYPE)
        return []
    return [
        (
            _text(event.get("name")),
            _time(event.get("timeUnixNano") or event.get("time_unix_nano"), offset, note),
            _json_attributes(event.get("attributes"), offset, note),
        )
        for event in events
        if isinstance(event, dict)
    ]
