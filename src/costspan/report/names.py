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
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_BACK: Final = "\u200e"
"""Left-to-right mark. Without it a terminal or browser turns round the figures that follow a Hebrew or Arabic name."""
_NO_COLUMN: Final = frozenset({"Mn", "Me", "Cf"})
_EMOJI: Final = "\ufe0f"
"""Makes the character before it an emoji, which is two columns wide."""


def clean(name: str | None, *, ascii_only: bool) -> str:
    """One line without escapes, control or direction characters; with `ascii_only` others are written `\\xfc`, `\\u7814`.

    A name in a script that runs from right to left ends in a mark, so that what follows it stands in its order.
    """
    if not name:
        return NAMELESS
    plain = _ANSI.sub("", name[:_LONGEST])
    plain = "".join(" " if char.isspace() else "" if unicodedata.category(char) in _HIDDEN else char for char in plain)
    plain = " ".join(plain.split())
    if ascii_only:
        plain = plain.encode("ascii", "backslashreplace").decode("ascii")
    elif not plain.isascii() and not _RIGHT_TO_LEFT.isdisjoint(map(unicodedata.bidirectional, plain)):
        plain += _BACK
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
        return _head(text, columns) + (_BACK if text.endswith(_BACK) else "")
    tail = _head(text[::-1], room // 3)[::-1]
    return _head(text, room - width(tail)) + ellipsis + tail


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """A sentence over as many lines as it needs, all but the first indented; only words longer than a line are broken."""
    # The standard library's wrapping counts characters, and those of a wide script have two columns each.
    lines, line = [], text[: len(text) - len(text.lstrip())]
    for word in text.split():
        rest = word
        while rest:
            start = f"{line} " if line.strip() else line
            room = columns - width(start)
            if width(rest) <= room:
                line, rest = start + rest, ""
                continue
            if width(rest) > columns - len(indent):
                # Where not one character fits, one stands there all the same: a terminal may be narrower than the indent.
                piece = _head(rest, room) or ("" if line.strip() else rest[:1])
                line, rest = (start + piece if piece else line), rest[len(piece) :]
            lines.append(line)
            line = indent
    return [*lines, line] if line.strip() else lines


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
    if unicodedata.category(char) in _NO_COLUMN:
        return 1 if char == _EMOJI else 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
