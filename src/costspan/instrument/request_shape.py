"""The lengths of a request's messages, as the tool bill needs them: roles and sizes, not a word of content.

Only lists are looked at: whatever else a host may pass (a generator, an object of its own) is the SDK's to read, once.
"""

from __future__ import annotations

from typing import Any, Final

from costspan.normalise import request_lengths

_TEXTS: Final = ("text", "thinking", "arguments", "output", "name")


def lengths(messages: Any, items: Any, system: Any) -> str | None:
    """The attribute `costspan.request.lengths` of a request: its chat messages, or else the items of a responses request.

    `system` is what stands beside them (Anthropic's `system`, the responses API's `instructions`).
    """
    listed = messages if type(messages) is list else items if type(items) is list else None
    if listed is None or len(listed) > request_lengths.MESSAGES_MAX:
        return None
    shapes: list[tuple[str, str, int, str]] = []
    if system:
        shapes.append(("system", "", _size(system), ""))
    for message in listed:
        shape = _shapes(message)
        if shape is None:
            return None
        shapes += shape
    return request_lengths.encode(shapes) or None


def _shapes(message: Any) -> list[tuple[str, str, int, str]] | None:
    """One message; the results of tools in one of Anthropic's are a message each. None for what is no plain mapping."""
    if type(message) is not dict:
        return None
    content = message.get("content")
    kind = str(message.get("role") or message.get("type") or "")
    if type(content) is list:
        results = [block for block in content if type(block) is dict and block.get("type") == "tool_result"]
        if results:
            rest = sum(map(_size, content)) - sum(map(_size, results))
            shapes = [("tool", "", _size(block.get("content")), str(block.get("tool_use_id") or "")) for block in results]
            return [*shapes, (kind, "", rest, "")] if rest else shapes
    answers = str(message.get("tool_call_id") or "")
    if kind.endswith("_call_output"):
        kind, answers, content = "tool", str(message.get("call_id") or ""), message.get("output")
    elif content is None:
        content = message
        if kind.endswith("_call") or kind == "reasoning":
            kind = "assistant"  # an item of the responses API that the model wrote
    calls = 0 if content is message else _size(message.get("tool_calls"))
    return [(kind, "", _size(content) + calls, answers)]


def _size(part: Any) -> int:
    """Characters of a text, or of the texts in a block, a list of blocks or a tool call."""
    if type(part) is str:
        return len(part)
    if type(part) is list:
        return sum(map(_size, part))
    if type(part) is not dict:
        return 0
    size = sum(_size(part.get(name)) for name in _TEXTS)
    size += _size(part.get("content")) + _size(part.get("function")) + _size(part.get("tool_calls"))
    given = part.get("input")
    return size + len(str(given)) if type(given) is dict else size
