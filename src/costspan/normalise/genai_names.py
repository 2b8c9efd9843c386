"""The names of the OpenTelemetry GenAI convention, newest first, then the older and unofficial ones of the same facts.

Sources: semantic-conventions-genai, model/gen-ai/registry.yaml; the packages' own spans for the aliases.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan import conventions as c

if TYPE_CHECKING:
    from collections.abc import Mapping

    Names = tuple[str, ...]

INPUT: Final = (c.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
OUTPUT: Final = (c.OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
CACHE_READ: Final = (
    c.CACHE_READ_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.input_tokens.cached",
)
CACHE_WRITE: Final = (
    c.CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "gen_ai.usage.input_tokens.cache_write",
)
CACHE_WRITE_1H: Final = (c.CACHE_WRITE_1H_TOKENS, "gen_ai.usage.details.ephemeral_1h_input_tokens")
REASONING: Final = (
    c.REASONING_TOKENS,
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.details.thinking_tokens",
    "gen_ai.usage.output_tokens.reasoning",
)
PROVIDER: Final = (c.PROVIDER_NAME, "gen_ai.system")
CONVERSATION: Final = (c.CONVERSATION_ID, "session.id")
TIER: Final = (
    c.OPENAI_SERVICE_TIER,
    c.ANTHROPIC_SERVICE_TIER,
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
)
FINISH: Final = (c.FINISH_REASONS, "anthropic.message.stop_reason", "gen_ai.response.finish_reason")
STREAM: Final = (c.REQUEST_STREAM, "gen_ai.is_streaming", "llm.is_streaming")
FIRST_CHUNK: Final = (c.TIME_TO_FIRST_CHUNK, "gen_ai.client.operation.time_to_first_chunk")
RESENT: Final = ("http.request.resend_count",)
STATED_COST: Final = ("gen_ai.usage.cost.amount",)
_NAMES_MAX: Final = 64
"""Spans with more attributes than this are no regular ones, and their names are not remembered."""


class Told(NamedTuple):
    """For each fact, the names by which a span tells it, newest first; empty where it does not."""

    input: Names
    output: Names
    cache_read: Names
    cache_write: Names
    cache_write_1h: Names
    reasoning: Names
    input_audio: Names
    output_audio: Names
    provider: Names
    conversation: Names
    tier: Names
    finish: Names
    stream: Names
    first_chunk: Names
    resent: Names
    stated_cost: Names


_ALL: Final = Told(
    INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, REASONING, (c.AUDIO_INPUT_TOKENS,), (c.AUDIO_OUTPUT_TOKENS,),
    PROVIDER, CONVERSATION, TIER, FINISH, STREAM, FIRST_CHUNK, RESENT, STATED_COST,
)  # fmt: skip


def told_by(attributes: Mapping[str, object]) -> Told:
    """What a span tells, from the names of its attributes alone; emitters write few different sets of them."""
    names = tuple(attributes)
    return _told(names) if len(names) <= _NAMES_MAX else _told.__wrapped__(names)


@lru_cache(maxsize=1024)
def _told(names: Names) -> Told:
    present = frozenset(names)
    return Told(*(tuple(name for name in fact if name in present) for fact in _ALL))
