"""Tokens of a call whose provider told none, from the texts that went over the wire. Off unless `COSTSPAN_ESTIMATE=on`.

Counted with OpenAI's `o200k_base` vocabulary (package toktok-rs: offline, exact for OpenAI), then multiplied by the family's
factor. Factors are medians over 1,492 recorded request and response pairs of providers (pydantic-ai's cassettes), where a
text of 50 tokens or more lies within -11 % and +7 % (10th to 90th percentile); they say nothing about tools, whose schemas
providers count in ways of their own: an estimate with tools has low confidence, and so has one of an answer that was cut
short or of a family nobody has measured. Cached and reasoning tokens are never estimated.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costspan.records import ESTIMATED, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

ENCODING: Final = "o200k_base"
INSTALL: Final = "COSTSPAN_ESTIMATE=on needs a tokenizer, so nothing is estimated: pip install 'costspan[tokens]'"
PER_MESSAGE: Final = 3
"""Tokens by which OpenAI frames each message, and the answer."""
_CLAUDE_NEW: Final = (4, 7)
"""The first Claude with the vocabulary that makes more tokens of a text."""
_CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?!\d)")
_FAMILIES: Final[tuple[tuple[re.Pattern[str], float], ...]] = (
    (re.compile(r"gpt-|^o[1-9]|chatgpt|text-embedding|davinci|babbage|codex"), 1.00),
    (re.compile(r"gemini|gemma"), 1.03),
    (re.compile(r"mistral|mixtral|ministral|codestral|magistral|devstral|pixtral"), 1.05),
    (re.compile(r"llama|deepseek"), 1.03),
)
_OLD_CLAUDE: Final = 1.13
_NEW_CLAUDE: Final = 1.44


@dataclass(frozen=True, slots=True)
class Texts:
    """What is known of a call: the texts of its request and how many messages they were, and of its answer.

    `tools`: it declared, called or answered tools. `whole`: the answer was seen to its end.
    """

    asked: Sequence[str]
    messages: int
    answered: Sequence[str]
    tools: bool = False
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """Counts with the evidence `estimated`, and who made them: `toktok o200k_base x1.13 (low confidence)`."""

    usage: Usage
    estimator: str


def available() -> bool:
    """Whether the tokenizer is installed."""
    return importlib.util.find_spec("toktok") is not None


def preload() -> None:
    """Load the vocabulary (0.2 s), so that no call waits for it."""
    count(["costspan"])


def count(texts: Sequence[str]) -> int:
    """Tokens of texts in `o200k_base`. Half characters (lone surrogates) count as one replacement each."""
    import toktok

    clean = [text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8") for text in texts if text]
    return sum(toktok.batch_count(clean, ENCODING, 1)) if clean else 0


def factor(model: str | None) -> tuple[float, bool]:
    """(tokens of this model's family per token of `o200k_base`, whether the family was measured)."""
    name = (model or "").lower().rpartition("/")[2]
    claude = _CLAUDE.search(name)
    if claude is not None:
        version = int(claude[1]), int(claude[2] or 0)
        return (_NEW_CLAUDE if version >= _CLAUDE_NEW else _OLD_CLAUDE), True
    if "claude" in name:
        return _OLD_CLAUDE, True
    for pattern, times in _FAMILIES:
        if pattern.search(name):
            return times, True
    return 1.0, False


def estimate(texts: Texts, *, model: str | None, told: Usage | None = None) -> Estimate:
    """Input and output tokens of a call. What the provider `told` of either is kept; the sum is an estimate all the same."""
    times, measured = factor(model)
    framed = PER_MESSAGE * (texts.messages + 1) if texts.messages else 0
    given = None if told is None else told.input_tokens
    made = None if told is None else told.output_tokens
    usage = Usage(
        input_tokens=round(count(texts.asked) * times) + framed if given is None else given,
        output_tokens=round(count(texts.answered) * times) if made is None else made,
        cache_read_tokens=None if given is None or told is None else told.cache_read_tokens,
        cache_write_tokens=None if given is None or told is None else told.cache_write_tokens,
        cache_write_1h_tokens=None if given is None or told is None else told.cache_write_1h_tokens,
        source=ESTIMATED,
    )
    sure = measured and texts.whole and not texts.tools
    return Estimate(usage, f"toktok {ENCODING} x{times:.2f}{'' if sure else ' (low confidence)'}")
