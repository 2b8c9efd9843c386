"""Find the few fields that tell usage in a JSON answer, without parsing the answer.

Answers hold content and may be long; parsing all of it for every span would cost more than everything else. Inside a
JSON string every quote is escaped, so a key found with a bare quote before it is a real key, never a piece of content.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from costspan.normalise import usage_anthropic, usage_langchain, usage_openai
from costspan.normalise.extracted import OTHER_ITERATIONS
from costspan.normalise.usage import extract

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.normalise.extracted import Extracted
    from costspan.readings import Reading

_DECODER: Final = json.JSONDecoder()
_PIECE_MAX: Final = 20_000
"""Characters that an object we look for may have: usage and response metadata are short."""
_ID_FIRST: Final = re.compile(r'\s*\{\s*"id"\s*:\s*"([^"\\]{1,200})"')
_TIER: Final = re.compile(r'"service_tier"\s*:\s*"([^"\\]{1,50})"')
_READERS: Final[dict[str, Callable[[object], Extracted]]] = {
    "openai": usage_openai.from_response,
    "azure.ai.openai": usage_openai.from_response,
    "anthropic": usage_anthropic.from_response,
}
"""Whose response it is, is known here, so there is no need to find it out from its fields."""


def object_after(string: str, key: str) -> dict[str, object] | None:
    """The last JSON object that is the value of `key`; None when there is none."""
    mark = f'"{key}"'
    end = len(string)
    while (at := string.rfind(mark, 0, end)) >= 0:
        end = at
        if at and string[at - 1] == "\\":
            continue
        brace = string.find("{", at + len(mark), at + len(mark) + 4)
        if brace < 0:
            continue
        try:
            found, _ = _DECODER.raw_decode(string[brace : brace + _PIECE_MAX])
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def told_in_result(string: str) -> Extracted:
    """What LangChain's result (an `LLMResult` as JSON) tells: the message's own usage, and the provider's beside it."""
    return usage_langchain.from_message(
        {
            "usage_metadata": object_after(string, "usage_metadata"),
            "response_metadata": object_after(string, "response_metadata"),
        }
    )


def told_in_response(string: str, provider: str | None) -> Extracted:
    """What a provider's response (as JSON) tells."""
    first = _ID_FIRST.match(string)
    response = {
        "id": first.group(1) if first else None,
        "usage": object_after(string, "usage"),
        "service_tier": _last_tier(string),
    }
    return told_of(response, provider)


def told_of(response: dict[str, object], provider: str | None) -> Extracted:
    """What the known fields of a response (`usage` above all) tell, by the rules of the provider it came from."""
    read = _READERS.get(provider or "")
    return extract(response, provider=provider) if read is None or response["usage"] is None else read(response)


def note_sides(reading: Reading, told: Extracted) -> None:
    """Mark a call beside which the provider billed further passes: a span has room for the counts of one only."""
    if told.side_usages:
        reading.problems = (*reading.problems, OTHER_ITERATIONS)


def _last_tier(string: str) -> str | None:
    at = string.rfind('"service_tier"')
    found = _TIER.match(string, at) if at > 0 and string[at - 1] != "\\" else None
    return found.group(1) if found else None
