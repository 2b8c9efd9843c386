"""OTLP's trace messages with attributes left packed, and the quick way to unpack them.

Two thirds of reading a span went into one object for each attribute, most of which say what the span before said too
(`gen_ai.operation.name` = `chat`). So the messages here are OTLP's own but for one change: an attribute is bytes (the same on
the wire), and bytes that were met before are looked up instead of unpacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

CONTENT: Final = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.prompt",
        "pydantic_ai.all_messages",
        "traceloop.entity.input",
    }
)
"""Attributes that hold nothing but content; dropped unread."""
DAMAGED: Final = "an attribute is not valid protobuf and was left out"
_KEY_VALUE: Final = ".opentelemetry.proto.common.v1.KeyValue"
_REMEMBERED_MAX: Final = 4096
_REMEMBERED_BYTES: Final = 128
"""Longer attributes hold content or JSON and do not come twice."""
_KeyValue: Final = common_pb2.KeyValue


def _message(name: str) -> type[Any]:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"opentelemetry.proto.{name}"))


def _pool() -> descriptor_pool.DescriptorPool:
    """OTLP's own descriptors, attributes as bytes."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2):
        file = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        if module is not common_pb2:
            _pack_attributes(file.message_type)
        pool.Add(file)
    return pool


def _pack_attributes(messages: Iterable[descriptor_pb2.DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            if field.name == "attributes" and field.type_name == _KEY_VALUE:
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
        _pack_attributes(message.nested_type)


_POOL: Final = _pool()
if TYPE_CHECKING:
    InstrumentationScope = common_pb2.InstrumentationScope
    Resource = resource_pb2.Resource
    ResourceSpans = trace_pb2.ResourceSpans
    ScopeSpans = trace_pb2.ScopeSpans
else:
    InstrumentationScope = _message("common.v1.InstrumentationScope")
    Resource = _message("resource.v1.Resource")
    ResourceSpans = _message("trace.v1.ResourceSpans")
    ScopeSpans = _message("trace.v1.ScopeSpans")

_remembered: dict[bytes, tuple[str, object]] = {}


def attributes(holder: object, damaged: Callable[[], None]) -> dict[str, object]:
    """The attributes of a message of this module, without content; `damaged` is told of each that cannot be read.

    Values are shared between spans: they are not to be written to.
    """
    found: dict[str, object] = {}
    known = _remembered
    for raw in holder.attributes:  # type: ignore[attr-defined]
        pair = known.get(raw)
        if pair is None:
            try:
                pair = _unpacked(raw)
            except DecodeError:
                damaged()
                continue
            if len(raw) <= _REMEMBERED_BYTES:
                if len(known) >= _REMEMBERED_MAX:
                    known.clear()
                known[raw] = pair
        key = pair[0]
        if key not in CONTENT:
            found[key] = pair[1]
    return found


def _unpacked(raw: bytes) -> tuple[str, object]:
    pair = _KeyValue.FromString(raw)
    key = pair.key
    if key in CONTENT:
        return key, None
    value = pair.value
    # Most are strings or positive ints, and reading a field costs, so those come first.
    return key, value.string_value or value.int_value or _value(value)


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [item.string_value or _value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return cast("object", getattr(value, kind)) if kind else None
