"""Pydantic AI and Logfire's own instrumentations -> Reading.

Pydantic AI keeps to the convention; its agents carry `gen_ai.aggregated_usage.*`, the sum of their calls. Logfire's
OpenAI and Anthropic wrappers write the provider's usage as JSON in `gen_ai.usage.raw`, which has the parts that the
plain counts lack. When an answer streams, their request span ends before the answer does and has no usage: that
comes on a span of its own that is a log line (`logfire.span_type` = `log`, `duration` in seconds, no length).
`operation.cost` is worked out from a table: not read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise import usage_anthropic
from costspan.normalise.payload_peek import note_sides, told_of
from costspan.normalise.span_attributes import count, parsed_object, text
from costspan.normalise.span_genai import read_as, with_sums
from costspan.records import AGENT, CALL, MISSING, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.normalise.extracted import Extracted
    from costspan.readings import Reading, SpanRecord

    Get = Callable[[str], object]

PYDANTIC_AI: Final = "pydantic_ai"
LOGFIRE: Final = "logfire"
_SUM: Final = "gen_ai.aggregated_usage."
_RAW: Final = "gen_ai.usage.raw"
_SPAN_TYPE: Final = "logfire.span_type"


def read_pydantic_ai(record: SpanRecord) -> Reading | None:
    """A span of Pydantic AI itself."""
    reading = read_as(record, PYDANTIC_AI)
    if reading is not None and reading.kind == AGENT:
        get = record.attributes.get
        with_sums(reading, get, _sum(get))
        reading.request_model = text(get("model_name")) or reading.request_model
    return reading


def _sum(get: Get) -> Usage:
    return Usage(
        count(get(_SUM + "input_tokens")),
        count(get(_SUM + "output_tokens")),
        count(get(_SUM + "cache_read.input_tokens")),
        count(get(_SUM + "cache_creation.input_tokens")),
        count(get(_SUM + "details.ephemeral_1h_input_tokens")),
        count(get(_SUM + "details.reasoning_tokens")),
    )


def read_logfire(record: SpanRecord) -> Reading | None:
    """A span or log line of `logfire.instrument_openai` or `logfire.instrument_anthropic`."""
    reading = read_as(record, LOGFIRE)
    if reading is None or reading.kind != CALL:
        return reading
    get = record.attributes.get
    if get(_SPAN_TYPE) == "log":
        reading.stream = True
        reading.ends_stream = True
    elif reading.usage.source == MISSING and reading.outcome == "ok" and get("gen_ai.output.messages") is None:
        reading.stream = True
    raw = parsed_object(get(_RAW))
    if raw:
        _mend(reading, told_of({"usage": raw}, reading.provider))
    if reading.service_tier is None:
        reading.service_tier = usage_anthropic.tier(raw) or text(get(c.OPENAI_SERVICE_TIER))
    return reading


def _mend(reading: Reading, told: Extracted) -> None:
    if told.usage.source == MISSING:
        return
    if (told.usage.input_tokens, told.usage.output_tokens) == (reading.usage.input_tokens, reading.usage.output_tokens):
        reading.usage = replace(told.usage)
        reading.fees = told.fees
        note_sides(reading, told)
    else:
        reading.problems = (*reading.problems, "inconsistent_usage")
