"""OpenInference (Arize Phoenix): `openinference.span.kind` says what a span is, `llm.*` what a call used -> Reading.

Counts are inclusive in every package measured (langchain 0.1.80, openai 0.1.66, anthropic 3.1.0, openai-agents 2.6.0,
crewai 1.1.21). There is no response id and no service tier among the attributes, and the LangChain package leaves out
cache writes of OpenAI and reasoning of Anthropic; all of that stands in the JSON of `output.value` when content is
exported, and is read from there. A LangChain cache hit is only known by `total_cost: 0` in that JSON.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.normalise.model_id import canonical_provider
from costspan.normalise.owner_langchain import owner_from_metadata
from costspan.normalise.payload_peek import note_sides, object_after, told_in_response, told_in_result
from costspan.normalise.span_attributes import count, first_count, first_text, outcome, parsed_object, settled, text
from costspan.normalise.span_crew import with_crew_sum
from costspan.normalise.span_genai import without_end
from costspan.normalise.span_langchain import place
from costspan.readings import Reading
from costspan.records import AGENT, CALL, RUN, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "openinference"
KIND: Final = "openinference.span.kind"
_CALLS: Final = {"LLM": "chat", "EMBEDDING": "embeddings"}
_LANGCHAIN: Final = "openinference.instrumentation.langchain"
_CREWAI: Final = "openinference.instrumentation.crewai"
_FIRST_TOKEN: Final = "First Token Stream Event"
_RESPONSE_MODEL: Final = ("llm.response.model_name", "llm.model_name", "embedding.model_name")
_FINISH: Final = ("llm.finish_reason",)
_AGENT_NAMES: Final = ("agent.name", "graph.node.id")
_TOOL_IDS: Final = ("tool.id", "tool_call.id")
_ASKED: Final = re.compile(r'"model(?:_name)?": ?"([^"\\]{1,200})"')
_STREAMED: Final = re.compile(r'"stream": ?true')
_RESPONSE_IN_PARAMETERS: Final = re.compile(r'\{"id": ?"(resp_[^"\\]{1,200})"')


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an OpenInference span; None for kinds that bill nothing and own nothing (PROMPT, GUARDRAIL …)."""
    get = record.attributes.get
    kind = text(get(KIND))
    if kind in _CALLS:
        return _call(record, get, _CALLS[kind])
    if kind == "TOOL":
        return _part(record, TOOL, text(get("tool.name")) or record.name)
    if kind == "AGENT":
        return _agent(record, get)
    if kind == "CHAIN":
        return _chain(record, get)
    return None


def _call(record: SpanRecord, get: Get, operation: str) -> Reading:
    problems: list[str] = []
    parameters = text(get("llm.invocation_parameters")) or text(get("embedding.invocation_parameters")) or ""
    ended, error_type = outcome(record)
    first_token = next((time for name, time, _ in record.events if name == _FIRST_TOKEN), None)
    agent, step = _owner(get)
    reading = Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=agent,
        step=step,
        conversation_id=text(get("session.id")),
        operation=operation,
        provider=canonical_provider(text(get("llm.provider")) or text(get("llm.system"))),
        request_model=text(get("llm.request.model_name")) or _found(_ASKED, parameters),
        response_model=first_text(get, _RESPONSE_MODEL),
        usage=settled(_usage(get, operation), problems),
        outcome=ended,
        error_type=error_type,
        finish_reason=first_text(get, _FINISH),
        stream=first_token is not None or _STREAMED.search(parameters) is not None,
        time_to_first_token_seconds=(first_token - record.start_ns) / 1e9
        if first_token is not None and first_token >= record.start_ns
        else None,
        problems=tuple(problems),
    )
    answer = get("output.value")
    if type(answer) is str:
        _mend_from_answer(reading, answer, record.scope == _LANGCHAIN)
    if reading.response_id is None:
        reading.response_id = _found(_RESPONSE_IN_PARAMETERS, parameters)
    if reading.stream:
        without_end(reading)
    return reading


def _usage(get: Get, operation: str) -> Usage:
    given = count(get("llm.token_count.prompt"))
    made = count(get("llm.token_count.completion"))
    if made is None and given is not None and operation == "embeddings":
        made = 0
    details = "llm.token_count.prompt_details"
    return Usage(
        given,
        made,
        count(get(f"{details}.cache_read")),
        count(get(f"{details}.cache_write")),
        None,
        first_count(get, ("llm.token_count.completion_details.reasoning",)),
        count(get(f"{details}.audio")),
        count(get("llm.token_count.completion_details.audio")),
    )


def _mend_from_answer(reading: Reading, answer: str, langchain: bool) -> None:
    """Complete a call from its exported answer, as far as the answer's counts agree with the span's own."""
    told = told_in_result(answer) if langchain else told_in_response(answer, reading.provider)
    reading.response_id = told.response_id
    reading.service_tier = told.service_tier
    reading.cache_hit = told.cache_hit
    reading.fees = told.fees
    note_sides(reading, told)
    reading.stated_cost_usd = told.stated_cost_usd
    usage, more = reading.usage, told.usage
    if (usage.input_tokens, usage.output_tokens) == (more.input_tokens, more.output_tokens):
        reading.usage = replace(
            usage,
            cache_read_tokens=_either(more.cache_read_tokens, usage.cache_read_tokens),
            cache_write_tokens=_either(more.cache_write_tokens, usage.cache_write_tokens),
            cache_write_1h_tokens=more.cache_write_1h_tokens,
            reasoning_tokens=_either(more.reasoning_tokens, usage.reasoning_tokens),
        )


def _either(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _owner(get: Get) -> tuple[str | None, str | None]:
    metadata = get("metadata")
    if type(metadata) is str:
        agent, step = owner_from_metadata(parsed_object(metadata))
        if agent is not None or step is not None:
            return agent, step
    return text(get("agent.name")), None


def _found(pattern: re.Pattern[str], string: str) -> str | None:
    match = pattern.search(string)
    return match.group(1) if match else None


def _agent(record: SpanRecord, get: Get) -> Reading:
    """An agent's turn. The OpenAI Agents package makes the trace's root an AGENT too: without a name it is the workflow."""
    name = first_text(get, _AGENT_NAMES)
    if name is None and not record.parent_id:
        return _part(record, RUN, record.name)
    reading = _part(record, AGENT, name or record.name)
    reading.step = text(get("task_name"))
    return reading


def _chain(record: SpanRecord, get: Get) -> Reading | None:
    if record.scope == _CREWAI:
        return _crew(record, get)
    found = place(record.name, parsed_object(get("metadata")), is_root=not record.parent_id)
    if found is None:
        return None
    reading = _part(record, found.kind, found.name)
    reading.agent = found.agent
    return reading


def _crew(record: SpanRecord, get: Get) -> Reading | None:
    """A kickoff. CrewAI's own sum over its calls stands in the answer; crews started by its tools keep sums of their own."""
    if not record.name.endswith(".kickoff"):
        return None
    reading = _part(record, RUN, record.name.removesuffix(".kickoff"))
    answer = get("output.value")
    if type(answer) is str:
        with_crew_sum(reading, object_after(answer, "token_usage"))
    return reading


def _part(record: SpanRecord, kind: str, name: str) -> Reading:
    get = record.attributes.get
    ended, error_type = outcome(record)
    agent, step = _owner(get) if kind == TOOL else (None, None)
    return Reading(
        kind=kind,
        dialect=DIALECT,
        name=name,
        agent=agent,
        step=step,
        conversation_id=text(get("session.id")),
        outcome=ended,
        error_type=error_type,
        tool_call_id=first_text(get, _TOOL_IDS),
    )
