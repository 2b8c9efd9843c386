"""Strands Agents (scope `strands.telemetry.tracer`) -> Reading.

The convention with three differences: `gen_ai.system` is the framework and never the provider, the time to the first
token is in milliseconds, and agents repeat the sum of their calls (in some versions the sum since their creation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.span_attributes import seconds
from costspan.normalise.span_genai import read_as
from costspan.records import CALL

if TYPE_CHECKING:
    from costspan.readings import Reading, SpanRecord

DIALECT: Final = "strands"
SCOPE: Final = "strands.telemetry.tracer"
_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"
_MILLISECONDS: Final = 1e-3


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a Strands span; the provider is left to the model's name."""
    reading = read_as(record, DIALECT)
    if reading is not None and reading.kind == CALL:
        first = seconds(record.attributes.get(_FIRST_TOKEN), _MILLISECONDS)
        if first is not None:
            reading.stream = True
            reading.time_to_first_token_seconds = first
    return reading
