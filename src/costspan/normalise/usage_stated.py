"""What a call cost, where the provider says so beside the counts: OpenRouter, Perplexity, xAI.

Sources: https://openrouter.ai/docs/use-cases/usage-accounting (`cost`, `cost_details`, `is_byok`), Perplexity's SDK
(`cost.total_cost`), xAI's SDK (`cost_in_usd_ticks`, 10 billion to the dollar).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from costspan.normalise.extracted import money, peek

_TICKS: Final = 10
"""Decimal places of a dollar in xAI's ticks."""


def stated_cost(usage: object, problems: list[str]) -> Decimal | None:
    """Dollars that the provider says the call cost, or None.

    With the user's own key (`is_byok`) `cost` is only OpenRouter's fee, usually 0, while the upstream provider sends a
    bill of its own: that is no statement of what the call cost. LangChain drops `is_byok`; then an upstream cost far above
    the stated one tells.
    """
    ticks = peek(usage, "cost_in_usd_ticks")
    if type(ticks) is int and ticks > 0:  # 0 is how protobuf says that it is not there
        return Decimal(ticks).scaleb(-_TICKS)
    stated = peek(usage, "cost")
    if stated is None or peek(usage, "is_byok") is True:
        return None
    if peek(usage, "is_byok") is None and _is_fee(stated, peek(peek(usage, "cost_details"), "upstream_inference_cost")):
        return None
    if peek(stated, "total_cost") is not None:
        # Perplexity's chunks carry zeros until the last one.
        return money(peek(stated, "total_cost"), problems) or None
    return money(stated, problems)


def _is_fee(stated: object, upstream: object) -> bool:
    return isinstance(stated, int | float) and isinstance(upstream, int | float) and 2 * stated < upstream
