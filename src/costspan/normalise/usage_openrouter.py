"""OpenRouter: OpenAI's shape, and beside the counts what the call cost.

Source: https://openrouter.ai/docs/use-cases/usage-accounting (`cost`, `cost_details`, `is_byok`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costspan.normalise.extracted import money, peek

if TYPE_CHECKING:
    from decimal import Decimal


def stated_cost(usage: object, problems: list[str]) -> Decimal | None:
    """Dollars that the provider says the call cost, or None.

    With the user's own key (`is_byok`) `cost` is only OpenRouter's fee, usually 0, while the upstream provider sends a
    bill of its own: that is no statement of what the call cost.
    """
    stated = peek(usage, "cost")
    if stated is None or peek(usage, "is_byok") is True:
        return None
    return money(stated, problems)
