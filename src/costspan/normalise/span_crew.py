"""The sum that a CrewAI crew keeps over its own calls, however a dialect exports it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.normalise.usage import extract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costspan.readings import Reading

SUM: Final = "sum_of_calls"
"""Problem: these counts are of several calls, whose models and number are not told."""


def with_crew_sum(reading: Reading, counts: Mapping[str, object] | None) -> None:
    """Note a crew's `token_usage`. Crews that its tools start keep sums of their own, which are not in it.

    CrewAI writes 0 cache writes for every provider but Anthropic, told or not: a zero there is no measurement.
    """
    if counts is None:
        return
    told = extract({"usage": counts})
    if told.usage.input_tokens is None:
        return
    reading.usage = replace(told.usage, cache_write_tokens=told.usage.cache_write_tokens or None)
    reading.repeats_children = True
    reading.leaves_out_nested = True
    reading.problems = (*told.problems, SUM)
