"""Small pieces of HTML, safe by construction: names and lines from outside enter through `text`, which escapes them.

`Html` is a string that is markup already; template engines that know `__html__` put it in as it is.
"""

from __future__ import annotations

from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DASH: Final = "–"


class Html(str):
    """Markup. Everything from outside in it was escaped by whoever made it."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def text(name: str | None) -> Html:
    """A name or line from outside as one line of harmless text; None and empty are `(no name)`."""
    return Html(escape(clean(name, ascii_only=False)))


def maybe(name: str | None) -> Html:
    """The same, with a dash for what is not there."""
    return text(name) if name else Html(DASH)


class Cell(NamedTuple):
    """One field of a table: markup, what to sort by where that is not the text, and whether it is a number."""

    html: str
    key: object = None
    number: bool = False


class Column(NamedTuple):
    """The heading of a column; `hint` is a longer word for it."""

    label: str
    number: bool = False
    hint: str = ""


def number(html: str, key: object) -> Cell:
    """A figure; one that is not known sorts below all others."""
    return Cell(html, -1 if key is None else key, number=True)


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, sortable: bool = True) -> Html:
    """A table with a caption for screen readers, scrollable sideways on narrow screens; the script makes it sortable."""
    label = escape(caption)
    heads = "".join(
        f'<th scope="col"{" class=n" if column.number else ""}{_hint(column.hint)}>{escape(column.label)}</th>'
        for column in columns
    )
    body = "".join(f"<tr>{''.join(_cell(cell, first=not place) for place, cell in enumerate(row))}</tr>" for row in rows)
    if not sortable:
        return Html(f'<table aria-label="{label}"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>')
    return Html(
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table data-sort>'
        f'<caption class="quiet">{label}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _hint(words: str) -> str:
    return f' title="{escape(words)}"' if words else ""


def _cell(cell: Cell, *, first: bool) -> str:
    key = "" if cell.key is None or cell.html.replace(",", "").isdecimal() else f' data-v="{escape(_sort_key(cell.key))}"'
    shape = " class=n" if cell.number else ""
    return f'<th scope="row"{key}>{cell.html}</th>' if first else f"<td{shape}{key}>{cell.html}</td>"


def _sort_key(key: object) -> str:
    return f"{key:.9g}" if isinstance(key, float | Decimal) else clean(str(key), ascii_only=False)


def badge(word: str) -> Html:
    """An outcome: the word, and a colour beside it that nobody needs to see."""
    kind = word if word in ("ok", "error", "cancelled", "running") else "other"
    return Html(f'<span class="badge {kind}">{text(word)}</span>')


def join(parts: Iterable[str]) -> Html:
    """Pieces of markup, one after the other."""
    return Html("".join(parts))
