"""`metadata.token_usage`: the main figures of a run in an older shape that programs already read.

Dollars are plain numbers there, ratios are rounded, and an agent's usage is its own calls only, so that agents add up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from costspan.records import Run


def token_usage(run: Run) -> dict[str, object]:
    """Own tokens and dollars per agent, totals of the run, and ratios rounded to what people read."""
    usage, efficiency = run.totals.usage, run.efficiency
    return {
        "agents": [
            {
                "agent_name": agent.name,
                "usage": {
                    "input_tokens": agent.self_totals.usage.input_tokens,
                    "output_tokens": agent.self_totals.usage.output_tokens,
                    "total_tokens": agent.self_totals.usage.total_tokens,
                    "estimated_cost_usd": _plain(agent.self_totals.cost_usd),
                },
            }
            for agent in run.agents
        ],
        "total_input_tokens": usage.input_tokens,
        "total_output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "estimated_total_cost_usd": _plain(run.totals.cost_usd),
        "cost_breakdown": {agent.name: _plain(agent.self_totals.cost_usd) for agent in run.agents},
        "efficiency_metrics": {
            "average_tokens_per_agent": _rounded(efficiency.average_tokens_per_agent, 2),
            "max_agent_tokens": efficiency.max_agent_tokens,
            "estimated_context_window_usage_percent": _rounded(efficiency.context_window_peak_percent, 2),
            "input_output_ratio": _rounded(efficiency.input_output_ratio, 3),
        },
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _plain(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
