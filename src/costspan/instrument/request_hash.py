"""A number for the words of a request, by which a request that is sent again word for word is known. The words are not kept.

Python's own `hash`: a text that is sent again in every call of a conversation is hashed once. It is salted per process, so a
number says nothing about its words and means nothing in another process; requests are compared within one run.
Only plain values are looked at: whatever else a host may pass (a generator, an object of its own) is the SDK's to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

VALUES_MAX: Final = 20_000
"""Values of a request that are looked at; a longer one has no number."""
_PLAIN: Final = frozenset({str, int, float, bool, type(None), bytes})
_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_HOLDERS: Final = frozenset({list, tuple, dict})


class _Unreadable(Exception):  # noqa: N818 - control flow within this module
    """Something that is not plain, or too much of it."""


def request_hash(*parts: object) -> str | None:
    """The number of a request's parts (model, system, messages), as 16 hex digits; None where one is not plain."""
    left = [VALUES_MAX]
    try:
        number = _number(parts, left)
    except (_Unreadable, RecursionError):
        return None
    return f"{number & _64_BITS:016x}"


def message_hash(model: str | None, messages: Iterable[Any]) -> str | None:
    """The number of a conversation in LangChain's messages; read past pydantic, since this runs before every call."""
    parts: list[object] = [model]
    is_text = True
    for message in messages:
        fields = message.__dict__
        kind, content, calls = fields["type"], fields["content"], fields.get("tool_calls")
        if type(content) is str and not calls:
            parts.append(hash((kind, content)))
        else:
            parts += (kind, content, calls)
            is_text = False
    if is_text and len(parts) <= VALUES_MAX:
        return f"{hash(tuple(parts)) & _64_BITS:016x}"
    return request_hash(*parts)


def _number(value: object, left: list[int]) -> int:
    kind = type(value)
    if kind in _PLAIN:
        return hash(value)
    if kind not in _HOLDERS:
        raise _Unreadable
    left[0] -= len(value)  # type: ignore[arg-type]
    if left[0] < 0:
        raise _Unreadable
    if kind is dict:
        return hash(tuple([(name, _number(each, left)) for name, each in value.items()]))  # type: ignore[attr-defined]
    return hash(tuple([_number(each, left) for each in value]))  # type: ignore[attr-defined]
