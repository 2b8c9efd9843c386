"""Langfuse (scope `langfuse-sdk`): every value is under `langfuse.observation.*`, most of them as JSON -> Reading.

`usage_details` holds disjoint buckets when the LangChain handler made them (`input` + `input_*`, `output` + `output_*`),
the provider's own counts when the OpenAI wrapper did, and Anthropic's for langchain-anthropic (exclusive of the cache;
`cache_creation_ephemeral_*` are parts of `cache_creation_input_tokens`). A LangChain cache hit is a bucket
`total_cost` of 0. `cost_details` are the user's or OpenRouter's, and 0 on errors: not read. There is no response id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.extracted import plus
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.owner_langchain import owner_from_metadata
from costspan.normalise.span_attributes import (
    count,
    exception_type,
    first_count,
    http_status,
    parsed,
    parsed_object,
    settled,
    text,
)
from costspan.normalise.span_langchain import OWNER_KEYS, place, prefixed
from costspan.normalise.usage import extract
from costspan.readings import Reading
from costspan.records import AGENT, CALL, NO_USAGE, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "langfuse"
KIND: Final = "langfuse.observation.type"
_OBSERVATION: Final = "langfuse.observation."
_METADATA: Final = "langfuse.observation.metadata."
_OWNER: Final = {key: _METADATA + key for key in OWNER_KEYS}
_KINDS: Final = {"generation": CALL, "embedding": CALL, "tool": TOOL, "agent": AGENT, "chain": STEP, "span": STEP}
_PROVIDERS_OWN: Final = frozenset({"prompt_tokens", "input_tokens", "promptTokens", "inputTokens"})


def _bucket_names(side: str, *names: str) -> tuple[str, ...]:
    """A bucket's names, also with the service tier that LangChain puts in front (`input_priority_cache_read`)."""
    return tuple(f"{side}_{tier}{name}" for tier in ("", "priority_", "flex_") for name in names)


_READ: Final = _bucket_names("input", "cache_read", "cached_tokens")
_WRITTEN: Final = _bucket_names("input", "cache_creation", "cache_write")
_WRITTEN_5M: Final = _bucket_names("input", "ephemeral_5m_input_tokens")
_WRITTEN_1H: Final = _bucket_names("input", "ephemeral_1h_input_tokens")
_REASONING: Final = _bucket_names("output", "reasoning", "reasoning_tokens")
_AUDIO_IN: Final = _bucket_names("input", "audio", "audio_tokens")
_AUDIO_OUT: Final = _bucket_names("output", "audio", "audio_tokens")
_ANTHROPIC: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a Langfuse observation; None for retrievers, guardrails, events and the like."""
    get = record.attributes.get
    kind = _KINDS.get(str(get(KIND)))
    if kind == CALL:
        return _call(record, get)
    if kind == STEP:
        return _chain(record, get)
    return None if kind is None else _part(record, get, kind, record.name)


def _call(record: SpanRecord, get: Get) -> Reading:
    problems: list[str] = []
    metadata = _metadata(get)
    agent, step = owner_from_metadata(metadata)
    model = text(get(_OBSERVATION + "model.name"))
    asked = _word(get(_METADATA + "ls_model_name"))
    ended, error_type = _outcome(record, get)
    first = get(_OBSERVATION + "completion_start_time")
    provider = canonical_provider(_word(get(_METADATA + "ls_provider")))
    details = parsed_object(get(_OBSERVATION + "usage_details"))
    return Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=agent,
        step=step,
        workflow=text(get("langfuse.trace.name")),
        conversation_id=text(get("session.id")),
        operation="embeddings" if get(KIND) == "embedding" else "chat",
        provider=provider,
        request_model=asked or model,
        response_model=model,
        usage=_usage(details, provider, problems),
        outcome=ended,
        error_type=error_type,
        stream=first is not None,
        cache_hit=_is_free(details),
        problems=tuple(problems),
    )


def _is_free(details: dict[str, object]) -> bool:
    cost = details.get("total_cost")
    return type(cost) in (int, float) and cost == 0


def _usage(details: dict[str, object], provider: str | None, problems: list[str]) -> Usage:
    if not details:
        return NO_USAGE
    if "input" not in details and not _PROVIDERS_OWN.isdisjoint(details):
        told = extract({"usage": details}, provider=provider)
        problems.extend(told.problems)
        return told.usage
    if any(key in details for key in _ANTHROPIC):
        return settled(_anthropic(details), problems)
    return settled(_buckets(details, problems), problems)


def _anthropic(details: dict[str, object]) -> Usage:
    read_tokens, written = (count(details.get(key)) for key in _ANTHROPIC)
    return Usage(
        plus(count(details.get("input")), read_tokens, written),
        count(details.get("output")),
        read_tokens,
        written,
        count(details.get("cache_creation_ephemeral_1h_input_tokens")),
        count(details.get("output_reasoning")),
    )


def _buckets(details: dict[str, object], problems: list[str]) -> Usage:
    """Sum the buckets; where the stated total disagrees, input is what is left of it (a bucket was taken off twice)."""
    given = plus(*(count(value) for key, value in details.items() if key == "input" or key.startswith("input_")))
    made = plus(*(count(value) for key, value in details.items() if key == "output" or key.startswith("output_")))
    total = count(details.get("total"))
    if total is not None and given is not None and made is not None and given + made != total:
        problems.append("inconsistent_usage")
        given = total - made if total >= made else None
    find = details.get
    lasting, short, written = first_count(find, _WRITTEN_1H), first_count(find, _WRITTEN_5M), first_count(find, _WRITTEN)
    return Usage(
        given,
        made,
        first_count(find, _READ),
        # langchain-anthropic leaves the sum at 0 where it knows how long the writes are kept.
        written or plus(lasting, short) or written,
        lasting,
        first_count(find, _REASONING),
        first_count(find, _AUDIO_IN),
        first_count(find, _AUDIO_OUT),
    )


def _chain(record: SpanRecord, get: Get) -> Reading | None:
    metadata = _metadata(get)
    found = place(record.name, metadata, is_root=not record.parent_id)
    if found is None:
        return None
    reading = _part(record, get, found.kind, found.name)
    reading.agent = found.agent
    return reading


def _part(record: SpanRecord, get: Get, kind: str, name: str) -> Reading:
    ended, error_type = _outcome(record, get)
    agent, step = owner_from_metadata(_metadata(get)) if kind == TOOL else (None, None)
    return Reading(
        kind=kind,
        dialect=DIALECT,
        name=name,
        agent=agent,
        step=step,
        workflow=text(get("langfuse.trace.name")) if kind != RUN else None,
        conversation_id=text(get("session.id")),
        outcome=ended,
        error_type=error_type,
        tool_call_id=_word(get(_METADATA + "tool_call_id")),
    )


def _outcome(record: SpanRecord, get: Get) -> tuple[str, str | None]:
    if record.error or get(_OBSERVATION + "level") == "ERROR":
        message = record.status_message or text(get(_OBSERVATION + "status_message")) or ""
        return "error", exception_type(record) or http_status(message)
    return "ok", None


def _metadata(get: Get) -> dict[str, object]:
    return {key: _word(value) for key, value in prefixed(get, _OWNER).items()}


def _word(value: object) -> str | None:
    """A string that may be quoted as JSON."""
    if type(value) is not str or value[:1] != '"':
        return text(value)
    return text(value[1:-1]) if "\\" not in value and value[-1] == '"' else text(parsed(value))
