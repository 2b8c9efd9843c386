"""LangSmith's OTel mode (`langsmith.span.kind`) -> Reading.

Input and output follow the convention; the cache and reasoning parts are in the answer (`gen_ai.completion`), in
`langsmith.metadata.usage_metadata` (JSON) or in `gen_ai.usage.input_token_details` (the text of a Python dict). Every
LangChain run is a span, so chains are sorted like OpenInference's.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from costspan.normalise import usage_langchain
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.owner_langchain import owner_from_metadata
from costspan.normalise.payload_peek import note_sides, told_in_result
from costspan.normalise.span_attributes import first_text, parsed, text
from costspan.normalise.span_genai import read_as
from costspan.normalise.span_langchain import OWNER_KEYS, place, prefixed
from costspan.records import CALL, STEP, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.normalise.extracted import Extracted
    from costspan.readings import Reading, SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "langsmith"
KIND: Final = "langsmith.span.kind"
_METADATA: Final = "langsmith.metadata."
_OWNER: Final = {key: _METADATA + key for key in OWNER_KEYS}
_KINDS: Final = {"llm": CALL, "embedding": CALL, "tool": TOOL, "chain": STEP}
_CONVERSATION: Final = tuple(_METADATA + key for key in ("thread_id", "session_id", "conversation_id"))
_TEXT_MAX: Final = 5_000


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a LangSmith run; None for prompts, parsers and retrievers."""
    get = record.attributes.get
    kind = _KINDS.get(str(get(KIND)))
    if kind == STEP:
        return _chain(record, get)
    if kind is None:
        return None
    reading = read_as(record, DIALECT, kind)
    if reading is None:
        return None
    reading.agent, reading.step = owner_from_metadata(prefixed(get, _OWNER))
    reading.conversation_id = reading.conversation_id or first_text(get, _CONVERSATION)
    if kind == TOOL:
        reading.name = text(get("gen_ai.tool.name")) or record.name
    else:
        _mend(reading, get)
    return reading


def _mend(reading: Reading, get: Get) -> None:
    if reading.provider is None:
        reading.provider = canonical_provider(text(get(_METADATA + "ls_provider")))
    if reading.request_model is None:
        reading.request_model = text(get(_METADATA + "ls_model_name"))
    told = _told(reading, get)
    reading.response_id = reading.response_id or told.response_id
    reading.response_model = reading.response_model or told.model
    reading.service_tier = reading.service_tier or told.service_tier
    usage, more = reading.usage, told.usage
    if more.input_tokens is not None and usage.input_tokens in (None, more.input_tokens):
        reading.usage = more
        reading.cache_hit = told.cache_hit
        reading.fees = told.fees
        note_sides(reading, told)
    elif more.input_tokens is not None:
        reading.problems = (*reading.problems, "inconsistent_usage")


def _told(reading: Reading, get: Get) -> Extracted:
    """The exported answer tells most; without content there is still `usage_metadata`, then the details."""
    answer = get("gen_ai.completion")
    if type(answer) is str:
        told = told_in_result(answer)
        if told.usage.input_tokens is not None:
            return told
    return usage_langchain.from_usage(_mapping(get(_METADATA + "usage_metadata")) or _details(reading, get))


def _details(reading: Reading, get: Get) -> dict[str, object] | None:
    given, made = reading.usage.input_tokens, reading.usage.output_tokens
    inside, outside = (_mapping(get(f"gen_ai.usage.{side}_token_details")) for side in ("input", "output"))
    if given is None or made is None or (inside is None and outside is None):
        return None
    return {
        "input_tokens": given,
        "output_tokens": made,
        "input_token_details": inside or {},
        "output_token_details": outside or {},
    }


def _mapping(value: object) -> dict[str, object] | None:
    """A mapping written as JSON, or as Python writes it (`str(dict)`)."""
    found = parsed(value)
    if found is None and type(value) is str and len(value) <= _TEXT_MAX:
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _chain(record: SpanRecord, get: Get) -> Reading | None:
    found = place(record.name, prefixed(get, _OWNER), is_root=not record.parent_id)
    if found is None:
        return None
    reading = read_as(record, DIALECT, found.kind)
    if reading is None:
        return None
    reading.name = found.name
    reading.agent = found.agent
    reading.conversation_id = reading.conversation_id or first_text(get, _CONVERSATION)
    return reading
