"""A comparison for people: plain text, or Markdown for a comment on a pull request."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from costspan.report.figures import UNKNOWN, dollars, many, seconds
from costspan.report.marks import known_cost, known_tokens
from costspan.report.names import clean, left, right, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costspan.records import Totals
    from costspan.report.diff import Change, Diff, Side

HEADINGS = ("", "cost before", "cost after", "change", "tokens before", "tokens after", "change")
_KIND_WORDS = {"agent": "agents", "model": "models", "tool": "inside tools"}


def headline(found: Diff) -> str:
    """`$0.0346 -> $0.0400 (+$0.0054, +16 %), 10,000 -> 12,000 tokens (+20 %)`."""
    before, after, whole = found.before.totals, found.after.totals, found.whole
    percentage = _share(before.cost_usd, whole.cost_usd)
    return (
        f"{known_cost(before)} -> {known_cost(after)} ({signed_dollars(whole.cost_usd)}, {percentage}), "
        f"{known_tokens(before)} -> {known_tokens(after)} tokens ({_share(before.usage.total_tokens, whole.tokens)})"
    )


def plain(found: Diff) -> str:
    """Lines for a terminal, ending in a newline."""
    lines = [_sides(found), headline(found), ""]
    for kind, changes in found.changes.items():
        if changes:
            rows = [(_KIND_WORDS[kind], *HEADINGS[1:]), *(_row(change, ascii_only=True) for change in changes)]
            if kind == "agent":
                rows.append(_row(found.whole, ascii_only=True))
            lines += [*_columns(rows), ""]
    lines += [f"note: {line}" for line in found.partial]
    return "\n".join(lines).rstrip() + "\n"


def markdown(found: Diff) -> str:
    """The same as Markdown tables; names are escaped, so that no name can become a link, an image or markup."""
    lines = [f"### costspan: {headline(found)}", "", _md(_sides(found)), ""]
    for kind, changes in found.changes.items():
        if changes:
            lines += [f"| {_KIND_WORDS[kind]} | {' | '.join(HEADINGS[1:])} |", "| :-- " + "| --: " * 6 + "|"]
            lines += [f"| {' | '.join(_md(cell) for cell in _row(change, ascii_only=False))} |" for change in changes]
            lines.append("")
    lines += [f"> {_md(line)}" for line in found.partial]
    return "\n".join(lines).rstrip() + "\n"


def signed_dollars(amount: Decimal | None) -> str:
    """`+$0.0054`, `-$0.0012`, `$0`, `?`."""
    if amount is None or amount == 0:
        return UNKNOWN if amount is None else "$0"
    return ("+" if amount > 0 else "-") + dollars(abs(amount))


def signed_tokens(count: int | None) -> str:
    """`+1,234`."""
    return UNKNOWN if count is None else f"{count:+,}" if count else "0"


def _share(before: Decimal | int | None, change: Decimal | int | None) -> str:
    if before is None or change is None:
        return UNKNOWN
    if not before:
        return "0 %" if not change else "new"
    shown = f"{100 * Decimal(change) / Decimal(before):+.1f}"
    return f"{shown} %" if shown.strip("+-.0") or not change else f"{shown[0]}<0.1 %"


def _sides(found: Diff) -> str:
    return f"{_side(found.before)} against {_side(found.after)}"


def _side(side: Side) -> str:
    return (
        f"{clean(side.label, ascii_only=True)} ({many(side.runs, 'run')}, {many(side.totals.calls, 'call')}, "
        f"{many(side.steps, 'step')}, {seconds(side.duration_seconds)})"
    )


def _row(change: Change, *, ascii_only: bool) -> tuple[str, ...]:
    name = clean(change.name, ascii_only=ascii_only)
    if change.before is None or change.after is None:
        name += " (new)" if change.before is None else " (gone)"
    return (
        name,
        _cost(change.before),
        _cost(change.after),
        signed_dollars(change.cost_usd),
        _tokens(change.before),
        _tokens(change.after),
        signed_tokens(change.tokens),
    )


def _cost(totals: Totals | None) -> str:
    return "-" if totals is None else known_cost(totals)


def _tokens(totals: Totals | None) -> str:
    return "-" if totals is None else known_tokens(totals)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    sizes = [max(width(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join([left(row[0], sizes[0]), *(right(cell, size) for cell, size in zip(row[1:], sizes[1:], strict=True))]).rstrip()
        for row in rows
    ]


def _md(text: str) -> str:
    """Punctuation that Markdown or HTML could read, written so that it is shown."""
    escaped = "".join(f"\\{char}" if char in "\\`*_{}[]#|~!" else char for char in text)
    # An at sign in a comment would call somebody, and a bare address would become a link.
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;").replace("://", "&#58;//")
