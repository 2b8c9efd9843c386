"""Names come from outside: here they become one line of harmless text that fits its column."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

NAMELESS: Final = "(no name)"
_ANSI: Final = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LONGEST: Final = 500
"""Characters of a name that are looked at."""


def clean(name: str | None, *, ascii_only: bool) -> str:
    """One line without escapes, control or direction characters; with `ascii_only` others are written `\\xfc`, `\\u7814`."""
    if not name:
        return NAMELESS
    plain = _ANSI.sub("", name[:_LONGEST])
    plain = "".join(" " if char.isspace() else "" if unicodedata.category(char) in _HIDDEN else char for char in plain)
    plain = " ".join(plain.split())
    if ascii_only:
        plain = plain.encode("ascii", "backslashreplace").decode("ascii")
    return plain or NAMELESS


def width(text: str) -> int:
    """Columns that a terminal gives the text."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def fit(text: str, columns: int, *, ellipsis: str = "..") -> str:
    """The text in at most so many columns; the middle is left out, because names differ at both ends."""
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room < 4:
        return _head(text, columns)
    tail = _head(text[::-1], room // 3)[::-1]
    return _head(text, room - width(tail)) + ellipsis + tail


def left(text: str, columns: int) -> str:
    """The text padded on its right."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """The text padded on its left."""
    return " " * (columns - width(text)) + text


def _head(text: str, columns: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += _columns(char)
        if taken > columns:
            return text[:place]
    return text


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
