"""Which attributes are kept on disk: never those that hold what people or models wrote.

A name is taken apart into words. One that says content (`input.value`, `gen_ai.completion.0.content`, `mlflow.spanInputs`)
is left out, unless another word says that it only counts or classifies it (`output.type`, `prompt_tokens`). Numbers are
always kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEXT_MAX: Final = 512
"""Longer texts are cut: what is worth storing for accounts is short."""
ATTRIBUTES_MAX: Final = 128
EVENTS_MAX: Final = 32
_CONTENT: Final = frozenset(
    [
        "args",
        "argument",
        "arguments",
        "backstory",
        "body",
        "completion",
        "completions",
        "content",
        "contents",
        "data",
        "description",
        "document",
        "documents",
        "goal",
        "input",
        "inputs",
        "instruction",
        "instructions",
        "json",
        "kwargs",
        "message",
        "messages",
        "msg",
        "output",
        "outputs",
        "params",
        "parameters",
        "payload",
        "prompt",
        "prompts",
        "query",
        "question",
        "response_text",
        "result",
        "results",
        "schema",
        "statement",
        "text",
        "thinking",
        "transcript",
    ]
)
_HARMLESS: Final = frozenset(
    [
        "bytes",
        "cache",
        "cost",
        "count",
        "duration",
        "error",
        "exception",
        "format",
        "hash",
        "id",
        "ids",
        "kind",
        "length",
        "lengths",
        "mime",
        "model",
        "size",
        "source",
        "status",
        "time",
        "token",
        "tokens",
        "total",
        "type",
        "version",
    ]
)
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_KNOWN_MAX: Final = 20_000
_known: dict[str, bool] = {}


def is_content(name: str) -> bool:
    """Whether a text attribute of this name may hold messages of people or models."""
    found = _known.get(name)
    if found is None:
        words = {word.lower() for word in _WORDS.findall(name)}
        found = not name.startswith("costspan.") and not words.isdisjoint(_CONTENT) and words.isdisjoint(_HARMLESS)
        if len(_known) < _KNOWN_MAX:
            _known[name] = found
    return found


def kept(attributes: Mapping[str, object]) -> dict[str, object]:
    """The attributes that may be stored; long texts are cut, and so is their number."""
    found: dict[str, object] = {}
    known = _known
    for name, value in attributes.items():
        kind = type(value)
        if kind is str:
            if not (known[name] if name in known else is_content(name)):
                found[name] = value if len(value) <= TEXT_MAX else _cut(value)  # type: ignore[arg-type]
        elif kind is int or kind is float or kind is bool or not is_content(name):
            found[name] = value if kind is not list and kind is not dict else _cut(value)
    if len(found) > ATTRIBUTES_MAX:
        return dict(list(found.items())[:ATTRIBUTES_MAX])
    return found


def kept_events(events: Sequence[tuple[str, int, Mapping[str, object]]]) -> list[tuple[str, int, dict[str, object]]]:
    """The events of a span, the first `EVENTS_MAX`; of an exception its type and message, not its trace of calls."""
    return [
        (name[:TEXT_MAX], at_ns, kept({key: value for key, value in attributes.items() if key != "exception.stacktrace"}))
        for name, at_ns, attributes in events[:EVENTS_MAX]
    ]


def _cut(value: object) -> object:
    if isinstance(value, str):
        return f"{value[:TEXT_MAX]}... ({len(value):,} characters)"
    text = str(value)
    return value if len(text) <= TEXT_MAX else f"({len(text):,} characters)"
