"""OpenLIT (scopes `openlit.instrumentation.<library>`) -> Reading.

The convention's names, but not its counts everywhere (read from the source of 1.45): the Anthropic and Bedrock packages
hand on the provider's input, which is exclusive of the cache; the LangChain package does the same for Anthropic and has
lost the cache counts by then, so the prompt's size is not known. Where a stream tells no usage it writes its own guess
(characters divided by two), without a mark. Its cost comes from a table that misses dated names as 0: not read.
Agents are named after LangGraph's nodes, at best.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise.extracted import plus
from costspan.normalise.genai_names import CACHE_READ
from costspan.normalise.owner_langchain import is_plumbing
from costspan.normalise.span_attributes import parsed, seconds, settled, text
from costspan.normalise.span_genai import KINDS, kind_of, read_as, usage_of, without_end
from costspan.records import AGENT, CALL, MISSING, NO_USAGE, Usage

if TYPE_CHECKING:
    from costspan.readings import Reading, SpanRecord

DIALECT: Final = "openlit"
PREFIX: Final = "openlit.instrumentation."
LANGCHAIN: Final = "openlit.instrumentation.langchain"
LANGGRAPH: Final = "openlit.instrumentation.langgraph"
OPENAI: Final = "openlit.instrumentation.openai"
EXCLUSIVE: Final = frozenset({"openlit.instrumentation.anthropic", "openlit.instrumentation.bedrock"})
"""Packages that write the provider's input without the cache."""
_NO_AGENT: Final = ("gen_ai.custom.data", "gen_ai.guardrail.triggered", "gen_ai.agent.source")
GUESSED: Final = "estimated_by_emitter"
LOST_CACHE: Final = "cache_tokens_lost"
_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an OpenLIT span."""
    get = record.attributes.get
    kind = kind_of(get)
    if kind is None and get(c.OPERATION_NAME) is None:
        # A call that failed before its answer carries no attributes at all; its name begins with the operation.
        kind = KINDS.get(record.name.partition(" ")[0])
    if kind is None:
        return None
    reading = read_as(record, DIALECT, kind)
    if reading is None:
        return None
    if kind == CALL:
        _mend(record, reading)
    elif kind == AGENT and not _is_agent(record, reading):
        return None
    return reading


def _is_agent(record: SpanRecord, reading: Reading) -> bool:
    """`invoke_agent` is what OpenLIT calls whatever else it meets: graph nodes, turns, guardrails, hand-offs."""
    get = record.attributes.get
    if record.scope == LANGGRAPH:
        return reading.name is not None and not is_plumbing(reading.name)
    return get(c.AGENT_NAME) is not None and all(get(key) is None for key in _NO_AGENT)


def _mend(record: SpanRecord, reading: Reading) -> None:
    get = record.attributes.get
    if reading.operation is None:
        reading.operation, _, asked = record.name.partition(" ")
        reading.request_model = asked or None
    if reading.stream:
        reading.time_to_first_token_seconds = seconds(get(_FIRST_TOKEN))
    _unname(reading, text(get(c.PROVIDER_NAME)))
    if reading.usage.source == MISSING:
        return
    if _is_guess(record, reading):
        reading.usage = NO_USAGE
        reading.problems = (*reading.problems, GUESSED)
        reading.missing_reason = "stream_without_usage" if reading.stream else None
    elif record.scope in EXCLUSIVE:
        _include_cache(reading, usage_of(record.attributes, reading.operation))
        if reading.stream:
            without_end(reading)
    elif record.scope == LANGCHAIN:
        _forget_lost(reading)


def _forget_lost(reading: Reading) -> None:
    """What the LangChain package does not find it writes as 0: cache writes, and all of the cache in Anthropic's answers.

    Only a stream's counts are LangChain's own there, inclusive and complete.
    """
    usage = reading.usage
    if reading.provider in ("anthropic", "aws.bedrock") and not reading.stream:
        reading.usage = Usage(output_tokens=usage.output_tokens, reasoning_tokens=usage.reasoning_tokens, source=MISSING)
        reading.problems = (LOST_CACHE,)
    elif usage.cache_write_tokens == 0:
        reading.usage = replace(usage, cache_write_tokens=None)


def _unname(reading: Reading, provider: str | None) -> None:
    """The LangChain package writes the provider where it does not find the model."""
    if reading.request_model == provider:
        reading.request_model = None
    if reading.response_model == provider:
        reading.response_model = None


def _include_cache(reading: Reading, told: Usage) -> None:
    """Start again from the counts as written: beside an exclusive input the cache's parts look too large."""
    problems: list[str] = []
    whole = plus(told.input_tokens, told.cache_read_tokens, told.cache_write_tokens)
    reading.usage = settled(replace(told, input_tokens=whole), problems)
    reading.problems = tuple(problems)


def _is_guess(record: SpanRecord, reading: Reading) -> bool:
    """A stream whose counts no provider told.

    The OpenAI package writes cache counts, if only 0, as soon as there is a usage. The LangChain package always writes
    them; there the guess is known by its rule where the answer is exported, and it never has cached tokens. What it
    writes for embeddings is always a guess.
    """
    get = record.attributes.get
    if record.scope == LANGCHAIN:
        if reading.operation == c.EMBEDDINGS:
            return True
        return reading.stream and not reading.usage.cache_read_tokens and _fits_rule(reading.usage, get("gen_ai.output.messages"))
    return record.scope == OPENAI and reading.stream and all(get(key) is None for key in CACHE_READ)


def _fits_rule(usage: Usage, messages: object) -> bool:
    found = parsed(messages)
    if not isinstance(found, list):
        return False
    length = 0
    for message in found:
        parts = message.get("parts") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            content = part.get("content") if isinstance(part, dict) else None
            length += len(content) if isinstance(content, str) else 0
    return length > 0 and usage.output_tokens == -(-length // 2)
