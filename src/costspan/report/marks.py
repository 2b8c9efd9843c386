"""Sums with the marks of their evidence: `~` holds estimates, `+?` is only partly known, `?` is not known at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costspan.report.figures import UNKNOWN, dollars, tokens

if TYPE_CHECKING:
    from costspan.records import Call, Totals


def known_tokens(totals: Totals) -> str:
    """Input plus output tokens of a sum."""
    return marked_tokens(totals.usage.total_tokens, totals)


def marked_tokens(count: int | None, totals: Totals) -> str:
    """One of a sum's counts, with the marks of that sum."""
    if not totals.calls:
        return "0"
    if count is None:
        return UNKNOWN
    about = "~" if totals.coverage.estimated_calls else ""
    return f"{about}{tokens(count)}{'+?' if totals.coverage.missing_calls else ''}"


def known_cost(totals: Totals) -> str:
    """Dollars of a sum; `unknown` when no call has a price."""
    coverage = totals.coverage
    if totals.cost_usd is None:
        return "unknown" if coverage.calls > coverage.refused_calls or not coverage.calls else "$0"
    about = "~" if coverage.estimated_calls else ""
    partly = coverage.priced_calls < coverage.calls - coverage.refused_calls
    return f"{about}{dollars(totals.cost_usd)}{'+?' if partly else ''}"


def call_cost(call: Call) -> str:
    """Dollars of one call."""
    if call.cost is None:
        return "$0" if call.cache_hit or call.refused else "unknown"
    return f"{'~' if call.usage.source == 'estimated' else ''}{dollars(call.cost.amount_usd)}"


def call_tokens(call: Call, count: int | None) -> str:
    """One of a call's counts."""
    return UNKNOWN if count is None else f"{'~' if call.usage.source == 'estimated' else ''}{tokens(count)}"
