"""Which API a path belongs to, and what clouds say in the path instead of in the body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costspan.demo import wire_anthropic, wire_gemini, wire_openai, wire_openai_responses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from costspan.demo.exchange import Answer, Ask, Event


@dataclass(frozen=True, slots=True)
class Wire:
    """One API: how its requests are read and its answers written. `prefix` starts its response ids; `free` costs nothing."""

    read: Callable[[dict[str, Any]], Ask]
    write: Callable[[Answer], dict[str, Any]]
    stream: Callable[[Answer], Iterator[Event]] | None
    prefix: str
    free: bool = False


_MESSAGES = Wire(wire_anthropic.read, wire_anthropic.write, wire_anthropic.stream, "msg_")
_GEMINI = Wire(wire_gemini.read, wire_gemini.write, wire_gemini.stream, "")
_COUNT = Wire(wire_anthropic.read, wire_anthropic.write_count, None, "", free=True)

WIRES = {
    "/chat/completions": Wire(wire_openai.read_chat, wire_openai.write_chat, wire_openai.stream_chat, "chatcmpl-"),
    "/responses": Wire(wire_openai_responses.read, wire_openai_responses.write, wire_openai_responses.stream, "resp_"),
    "/embeddings": Wire(wire_openai.read_embedding, wire_openai.write_embedding, None, ""),
    "/completions": Wire(wire_openai.read_completion, wire_openai.write_completion, wire_openai.stream_completion, "cmpl-"),
    "/messages": _MESSAGES,
    "/messages/count_tokens": _COUNT,
    ":rawPredict": _MESSAGES,
    ":streamRawPredict": _MESSAGES,
    "/count-tokens:rawPredict": _COUNT,
    "/invoke": _MESSAGES,
    "/invoke-with-response-stream": _MESSAGES,
    ":generateContent": _GEMINI,
    ":streamGenerateContent": _GEMINI,
}
"""By the end of the path, the longest first where one ends another. Vertex and Gemini have colons, Bedrock the invocations."""
_MODEL = re.compile(
    r"/(?:models|model)/([^/]+?)"  # the model
    r"(?::rawPredict|:streamRawPredict|:generateContent|:streamGenerateContent|/invoke|/invoke-with-response-stream)$"
)
_COUNTED = "count-tokens"
BEDROCK_STREAM = "/invoke-with-response-stream"


def wire_for(path: str) -> Wire | None:
    """The API that a path (without its query) belongs to."""
    found = [suffix for suffix in WIRES if path.endswith(suffix)]
    return WIRES[max(found, key=len)] if found else None


def of_path(path: str) -> dict[str, Any]:
    """What Vertex, Gemini and Bedrock have in the path: the model, and whether to stream."""
    told: dict[str, Any] = {}
    model = _MODEL.search(path)
    if model and model.group(1) != _COUNTED:
        told["model"] = model.group(1)
    if path.endswith((":streamRawPredict", ":streamGenerateContent", BEDROCK_STREAM)):
        told["stream"] = True
    return told


def is_anthropic(path: str) -> bool:
    """Whether errors on this path look like Anthropic's."""
    wire = wire_for(path)
    return wire in (_MESSAGES, _COUNT) or "/messages" in path
