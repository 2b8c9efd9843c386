"""`extract`: any provider's response, usage object or framework message -> `Extracted`, without an exception.

The payload may be parsed JSON, an SDK object (attributes are read, nothing is dumped or copied) or a LangChain message.
What it is follows from the fields it has; `provider` only names it. One file per provider does the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan.guard import Guard
from costspan.normalise import (
    usage_anthropic,
    usage_bedrock,
    usage_cohere,
    usage_crewai,
    usage_gemini,
    usage_langchain,
    usage_ollama,
    usage_openai,
    usage_plain,
    usage_shapes,
)
from costspan.normalise.extracted import NO_USAGE_FOUND, Extracted, first, peek, stated
from costspan.normalise.model_id import canonical_provider
from costspan.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Extracted", "extract"]

_UNREADABLE: Final = Extracted(problems=("unreadable_payload",))
_DEPTH_MAX: Final = 4
# Wrappers that hold the answer: LangChain's structured output and generations, streams' last events, lines of batch files
# (OpenAI's `response.body`, Anthropic's `result.message`, Bedrock's `modelOutput`), events of Mistral's and Google's SDKs.
_WRAPPERS: Final = ("raw", "message", "response", "body", "result", "modelOutput", "data", "interaction")
_STANDARD: Final = (None, "default", "standard", "auto")


def extract(payload: object, *, provider: str | None = None) -> Extracted:
    """Read usage, model, id and whatever else a price needs out of `payload`.

    Never raises: what cannot be told is None and `problems` says why. Counts come out inclusive, as `records.Usage` has
    them. `provider` overrides what the payload says of itself (a gateway's answer looks like OpenAI's).

    >>> extract({"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}).usage.total_tokens
    15
    """
    result = _UNREADABLE
    with Guard("normalise.usage.extract"):
        result = _read(payload, 0)
    named = canonical_provider(provider or result.provider)
    return result if named == result.provider else replace(result, provider=named)


def _read(payload: object, depth: int) -> Extracted:
    if payload is None or isinstance(payload, str | bytes | int | float) or depth > _DEPTH_MAX:
        return usage_shapes.NOTHING
    if isinstance(payload, Extracted):
        return payload
    if isinstance(payload, Usage):
        problems: list[str] = []
        return Extracted(usage=stated(payload, problems), problems=tuple(dict.fromkeys(problems)))
    for fits, read in _SHAPES:
        if fits(payload):
            return read(payload)
    for name in _WRAPPERS:
        inner = peek(payload, name)
        if isinstance(inner, Mapping) or hasattr(inner, "__dict__"):
            found = _read(inner, depth + 1)
            # Only lines of batch files have such an id: they are billed by the batch list, which not all bodies tell.
            in_batch = first(payload, "custom_id", "recordId") is not None and found.service_tier in _STANDARD
            return replace(found, service_tier="batch") if in_batch else found
    return usage_shapes.from_usage(payload)


def _is_message(payload: object) -> bool:
    if peek(payload, "response_metadata") is not None:
        return True
    return usage_langchain.is_usage(peek(payload, "usage_metadata"))


def _is_result(payload: object) -> bool:
    if peek(payload, "generations") is None:
        return False
    # A ChatResult may have nothing beside its generations; Cohere's first API has generations too, and no such field.
    return first(payload, "llm_output", "run", "type") is not None or hasattr(payload, "llm_output")


def _is_llm_output(payload: object) -> bool:
    # A CrewOutput has a `token_usage` too; its counts are found by their own names.
    return peek(payload, "token_usage") is not None


def _is_gemini(payload: object) -> bool:
    return first(payload, "usageMetadata", "usage_metadata") is not None or usage_gemini.is_interaction(peek(payload, "usage"))


def _is_cohere(payload: object) -> bool:
    if usage_cohere.is_usage(peek(payload, "usage")) or usage_cohere.is_usage(peek(payload, "meta")):
        return True
    return usage_cohere.is_usage(peek(peek(payload, "delta"), "usage"))


def _is_bedrock(payload: object) -> bool:
    if usage_bedrock.is_usage(peek(payload, "usage")) or usage_bedrock.is_usage(peek(peek(payload, "metadata"), "usage")):
        return True
    return peek(payload, "ResponseMetadata") is not None


def _is_anthropic(payload: object) -> bool:
    usage = peek(payload, "usage")
    if usage is None or usage_openai.is_chat(usage):
        return False
    return usage_anthropic.is_usage(usage) or peek(payload, "type") in ("message", "message_delta")


def _is_crewai(payload: object) -> bool:
    return usage_crewai.is_usage(peek(payload, "usage"))


def _is_openai(payload: object) -> bool:
    usage = peek(payload, "usage")
    if isinstance(usage, Mapping) or hasattr(usage, "__dict__") or usage_openai.is_chat(usage):
        return True
    return peek(peek(payload, "x_groq"), "usage") is not None


def _in_usage(payload: object) -> Extracted:
    return usage_shapes.from_usage(peek(payload, "usage"))


def _is_plain(payload: object) -> bool:
    usage = peek(payload, "usage")
    return usage_plain.is_usage(usage) and not usage_openai.is_chat(usage)


def _is_stream(payload: object) -> bool:
    """A list of events or chunks of one stream, or Anthropic's first event, whose output count is a placeholder."""
    return isinstance(payload, list | tuple) or peek(payload, "type") == "message_start"


def _from_stream(payload: object) -> Extracted:
    events = list(payload) if isinstance(payload, list | tuple) else [payload]
    if any(peek(event, "type") in ("message_start", "message_delta") for event in events):
        return usage_anthropic.from_stream(events)
    if events and all(usage_langchain.is_chunk(event) for event in events):
        return usage_langchain.from_chunks(events)
    found = [_read(event, 1) for event in events[-3:]]
    told = [got for got in found if NO_USAGE_FOUND not in got.problems]
    return told[-1] if told else usage_shapes.NOTHING


_SHAPES: Final[tuple[tuple[Callable[[object], bool], Callable[[object], Extracted]], ...]] = (
    (_is_stream, _from_stream),
    (_is_message, usage_langchain.from_message),
    (_is_result, usage_langchain.from_result),
    (_is_gemini, usage_gemini.from_response),
    (usage_gemini.is_embedding, usage_gemini.from_embedding),
    (_is_cohere, usage_cohere.from_response),
    (_is_bedrock, usage_bedrock.from_response),
    (usage_bedrock.is_body, usage_bedrock.from_body),
    (usage_ollama.is_response, usage_ollama.from_response),
    (_is_llm_output, usage_langchain.from_llm_output),
    (_is_crewai, _in_usage),
    (_is_anthropic, usage_anthropic.from_response),
    (_is_plain, usage_plain.from_response),
    (_is_openai, usage_openai.from_response),
    (usage_langchain.is_usage, usage_langchain.from_usage),
)
