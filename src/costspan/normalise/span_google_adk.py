"""Google ADK (scope `gcp.vertex.agent`) -> Reading.

The convention, with one wrong sum: ADK adds thoughts to candidates, as Gemini counts them. For models reached through
LiteLLM the candidates hold the reasoning already, so it is in there twice and is taken out once (seen in 2.13.0).

Most of its spans start without attributes: what they are is in their names, which matters while they run.
Older versions, and newer ones with `ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN=1`, write a span `invocation` around it all that has
none, and a span `call_llm` around each model call that repeats its counts under a provider that is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.span_attributes import text
from costspan.normalise.span_genai import KINDS, kind_of, read_as
from costspan.records import CALL, RUN

if TYPE_CHECKING:
    from costspan.readings import Reading, SpanRecord

DIALECT: Final = "google_adk"
SCOPE: Final = "gcp.vertex.agent"
_GOOGLE: Final = ("gcp.",)
_INVOCATION: Final = "invocation"
_CALL_LLM: Final = "call_llm"
_OPERATION: Final = "generate_content"
_MERGED: Final = "execute_tool (merged)"
"""Written beside the spans of tools that ran at the same time; no tool ran in it."""


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an ADK span; a workflow inside a workflow is only a link."""
    if record.name == _INVOCATION and c.OPERATION_NAME not in record.attributes:
        return read_as(record, DIALECT, RUN)
    if record.name == _CALL_LLM:
        return _around_a_call(record)
    if record.name == _MERGED:
        return None
    kind = kind_of(record.attributes.get) or KINDS.get(record.name.partition(" ")[0])
    reading = None if kind is None else read_as(record, DIALECT, kind)
    if reading is None or reading.kind != CALL or reading.provider is None or reading.provider.startswith(_GOOGLE):
        return reading
    _without_reasoning_twice(reading)
    return reading


def _around_a_call(record: SpanRecord) -> Reading | None:
    reading = read_as(record, DIALECT, CALL)
    if reading is None:
        return None
    prefix, slash, _ = (text(record.attributes.get(c.REQUEST_MODEL)) or "").partition("/")
    reading.provider = canonical_provider(prefix) if slash else "gcp.gemini"
    reading.operation = _OPERATION
    reading.repeats_children = True
    if slash:
        _without_reasoning_twice(reading)
    return reading


def _without_reasoning_twice(reading: Reading) -> None:
    usage = reading.usage
    if usage.output_tokens is not None and usage.reasoning_tokens:
        whole = usage.output_tokens - usage.reasoning_tokens
        if whole >= usage.reasoning_tokens:
            reading.usage = replace(usage, output_tokens=whole)
