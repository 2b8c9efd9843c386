"""Google ADK (scope `gcp.vertex.agent`) -> Reading.

The convention, with one wrong sum: ADK adds thoughts to candidates, as Gemini counts them. For models reached through
LiteLLM the candidates hold the reasoning already, so it is in there twice and is taken out once (seen in 2.13.0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.normalise.span_genai import read_as
from costspan.records import CALL

if TYPE_CHECKING:
    from costspan.readings import Reading, SpanRecord

DIALECT: Final = "google_adk"
SCOPE: Final = "gcp.vertex.agent"
_GOOGLE: Final = ("gcp.",)


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an ADK span; a workflow inside a workflow is only a link."""
    reading = read_as(record, DIALECT)
    if reading is None or reading.kind != CALL or reading.provider is None or reading.provider.startswith(_GOOGLE):
        return reading
    usage = reading.usage
    if usage.output_tokens is not None and usage.reasoning_tokens:
        whole = usage.output_tokens - usage.reasoning_tokens
        if whole >= usage.reasoning_tokens:
            reading.usage = replace(usage, output_tokens=whole)
    return reading
