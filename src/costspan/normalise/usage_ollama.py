"""Ollama: `prompt_eval_count` and `eval_count`.

A prompt that was cached has no `prompt_eval_count`: then the input is unknown, not 0. Embeddings have no `eval_count`.
Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Final

from costspan.normalise.extracted import Extracted, count, extracted, first, peek
from costspan.records import Usage

PROVIDER: Final = "ollama"


def is_response(response: object) -> bool:
    """Counts of Ollama, or the timings that it always writes beside them."""
    if first(response, "prompt_eval_count", "eval_count") is not None:
        return True
    return isinstance(peek(response, "total_duration"), int) and peek(response, "usage") is None


def from_response(response: object, *, provider: str | None = PROVIDER) -> Extracted:
    """A chat, generation or embedding; of a stream, its last chunk."""
    problems: list[str] = []
    given = count(peek(response, "prompt_eval_count"), "input_tokens", problems)
    made = count(peek(response, "eval_count"), "output_tokens", problems)
    if made is None and peek(response, "embeddings") is not None:
        made = 0
    return extracted(
        Usage(given, made),
        problems,
        provider=provider,
        source=response,
        finish_reason=peek(response, "done_reason"),
    )
