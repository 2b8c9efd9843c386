"""Which provider's spelling a bare usage object is written in: the first row whose mark it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from costspan.normalise import (
    usage_anthropic,
    usage_bedrock,
    usage_cohere,
    usage_crewai,
    usage_gemini,
    usage_openai,
    usage_plain,
)
from costspan.normalise.extracted import NO_USAGE_FOUND, Extracted, first

if TYPE_CHECKING:
    from collections.abc import Callable


class _Reader(Protocol):
    def __call__(self, usage: object, /) -> Extracted: ...


# CrewAI before OpenAI and Gemini: it mixes their names with its own. OpenAI's chat names before Anthropic's: gateways put
# Anthropic's cache counts beside inclusive prompt_tokens. Plain last but one: input and output mean the same to all.
_SHAPES: Final[tuple[tuple[Callable[[object], bool], _Reader], ...]] = (
    (usage_crewai.is_usage, usage_crewai.from_usage),
    (usage_gemini.is_usage, usage_gemini.from_usage),
    (usage_bedrock.is_usage, usage_bedrock.from_usage),
    (usage_cohere.is_usage, usage_cohere.from_usage),
    (usage_openai.is_chat, usage_openai.from_usage),
    (usage_anthropic.is_usage, usage_anthropic.from_usage),
    (usage_plain.is_usage, usage_plain.from_usage),
)
NOTHING: Final = Extracted(problems=(NO_USAGE_FOUND,))


def from_usage(usage: object) -> Extracted:
    """The counts of a bare usage object, whoever wrote it; `problems` says so when there are none to be found."""
    for fits, read in _SHAPES:
        if fits(usage):
            return read(usage)
    if first(usage, "input_tokens", "output_tokens") is not None:
        return usage_openai.from_usage(usage)
    return NOTHING
