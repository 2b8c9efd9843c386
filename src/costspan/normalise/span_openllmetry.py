"""OpenLLMetry (Traceloop, scopes `opentelemetry.instrumentation.<library>`) -> Reading.

Keeps to the convention's counts (inclusive, Anthropic too), with its own names for streams, agents and tasks. Measured on
0.62.4: the LangChain package writes 0 cache writes for Anthropic, because langchain-anthropic keeps them elsewhere; the
Anthropic package adds the placeholder of a stream's first event to the output (2 too many); CrewAI's crew repeats its
sum as the text of a Python object. One run of a LangChain agent is two siblings, `invoke_agent X` and `execute_task X`:
the calls lie beneath the second, their owner is in `traceloop.association.properties.*`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.normalise.owner_langchain import is_plumbing, owner_from_metadata
from costspan.normalise.span_attributes import outcome, text
from costspan.normalise.span_crew import with_crew_sum
from costspan.normalise.span_genai import kind_of, read_as
from costspan.normalise.span_langchain import OWNER_KEYS, prefixed
from costspan.readings import Reading
from costspan.records import AGENT, CALL, RUN, STEP, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "openllmetry"
KIND: Final = "traceloop.span.kind"
LANGCHAIN: Final = "opentelemetry.instrumentation.langchain"
ANTHROPIC: Final = "opentelemetry.instrumentation.anthropic"
CREWAI: Final = "opentelemetry.instrumentation.crewai.instrumentation"
_PROPERTIES: Final = "traceloop.association.properties."
_OWNER: Final = {key: _PROPERTIES + key for key in OWNER_KEYS}
_CONVERSATION: Final = tuple(_PROPERTIES + key for key in ("thread_id", "session_id", "conversation_id"))
_KINDS: Final = {"agent": AGENT, "tool": TOOL, "workflow": RUN, "task": STEP}
_CREW_SUM: Final = "crewai.crew.token_usage"
_CREW_COUNT: Final = re.compile(r"(\w+)[=:] ?(\d{1,12})")
PLACEHOLDER_ADDED: Final = "stream_placeholder_added"
"""Problem: the output may hold the provider's placeholder of a stream's first event on top of the real count."""
LOST_CACHE_WRITE: Final = "cache_write_lost"
"""Problem: the emitter writes 0 cache writes because it looks in the wrong place."""


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an OpenLLMetry span."""
    get = record.attributes.get
    kind = _kind(record, get)
    if kind is None:
        return None
    if record.scope == CREWAI:
        return _crewai(record, get, kind)
    reading = read_as(record, DIALECT, kind)
    if reading is None:
        return None
    _own(reading, get)
    if kind == CALL:
        _mend(record, reading)
    elif kind in (STEP, RUN, TOOL):
        reading.name = text(get("traceloop.entity.name")) or reading.name
    if kind == STEP and (reading.name is None or is_plumbing(reading.name)):
        return None
    return reading


def _kind(record: SpanRecord, get: Get) -> str | None:
    """`traceloop.span.kind` first: it tells workflows from agents where the operation says `invoke_agent` for both."""
    told = get(KIND)
    if type(told) is str:
        return _KINDS.get(told)
    kind = kind_of(get)
    if kind == STEP:
        # A middleware's hook, exported twice; the outer span of the two carries the kind.
        return None
    if kind == AGENT and record.scope == LANGCHAIN and not record.parent_id:
        return RUN
    if kind is None and type(get("llm.request.type")) is str:
        return CALL
    return kind


def _own(reading: Reading, get: Get) -> None:
    agent, step = owner_from_metadata(prefixed(get, _OWNER))
    if agent is not None and reading.kind != AGENT:
        reading.agent = agent
    if step is not None and reading.kind != STEP:
        reading.step = step
    if reading.kind != RUN:
        reading.workflow = text(get("traceloop.workflow.name")) or reading.workflow
    if reading.conversation_id is None:
        reading.conversation_id = next((found for key in _CONVERSATION if (found := text(get(key)))), None)


def _mend(record: SpanRecord, reading: Reading) -> None:
    usage = reading.usage
    if reading.provider != "anthropic":
        return
    if record.scope == LANGCHAIN and usage.cache_write_tokens == 0 and usage.input_tokens is not None:
        reading.usage = replace(usage, cache_write_tokens=None)
        reading.problems = (*reading.problems, LOST_CACHE_WRITE)
    elif record.scope == ANTHROPIC and reading.stream and usage.output_tokens is not None:
        reading.problems = (*reading.problems, PLACEHOLDER_ADDED)


def _crewai(record: SpanRecord, get: Get, kind: str) -> Reading | None:
    """Crew, task and agent of CrewAI; no model calls, which CrewAI makes through the providers' SDKs."""
    ended, error_type = outcome(record)
    crew = text(get("crewai.crew.name"))
    if kind == AGENT and get(KIND) is None:
        kind = RUN
    names = {
        RUN: crew,
        AGENT: text(get("crewai.agent.role")) or text(get("gen_ai.agent.name")) or record.name.removesuffix(".agent"),
        STEP: record.name.removesuffix(".task"),
        TOOL: text(get("gen_ai.tool.name")) or record.name.removesuffix(".tool"),
    }
    if kind not in names:
        return read_as(record, DIALECT, kind)
    reading = Reading(kind=kind, dialect=DIALECT, name=names[kind], outcome=ended, error_type=error_type)
    reading.agent = text(get("crewai.task.agent")) if kind == STEP else None
    told = text(get(_CREW_SUM)) or text(get("crewai.crew.usage_metrics"))
    if told is not None:
        with_crew_sum(reading, {name: int(digits) for name, digits in _CREW_COUNT.findall(told.replace("'", ""))})
    return reading
