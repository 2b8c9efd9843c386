"""The shape of a request, without a word of it: what the tool bill needs to tell which messages are new.

A request's messages are listed in order, each as `[type, id, length, tool_call_id]`: its type or role as the framework
calls it (`human`, `ai`, `tool`, `system`, `user`, `assistant` …), a short hash of its id or `""`, its length in
characters, and for a tool's answer the id of the tool call that it answers, else `""`. The list travels as compact JSON in
the span attribute `costspan.request.lengths`. Lengths only: content is never kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MESSAGES_MAX: Final = 2000
"""A longer conversation is not listed: its attribute would outgrow every exporter's limit, and a part would mislead."""
_json: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class MessageLength(NamedTuple):
    """One message of a request: type, hashed id, characters, and the tool call that it answers."""

    type: str
    id: str
    length: int
    tool_call_id: str


def encode(messages: Iterable[tuple[str, str, int, str]]) -> str:
    """The compact JSON of (type, id hash, length, tool_call_id) entries; `""` for more than `MESSAGES_MAX`."""
    listed = list(messages)
    return "" if len(listed) > MESSAGES_MAX else _json(listed)


def decode(text: str | None) -> tuple[MessageLength, ...] | None:
    """The inverse of `encode`; None for anything that it would not have written."""
    if not text:
        return None
    try:
        listed = json.loads(text)
    except ValueError:
        return None
    if not isinstance(listed, list):
        return None
    found = []
    for entry in listed:
        if not isinstance(entry, list) or len(entry) != 4 or not _is_message(*entry):
            return None
        found.append(MessageLength(*entry))
    return tuple(found)


def _is_message(kind: object, name: object, length: object, tool_call_id: object) -> bool:
    texts = isinstance(kind, str) and isinstance(name, str) and isinstance(tool_call_id, str)
    return texts and isinstance(length, int) and not isinstance(length, bool) and length >= 0
