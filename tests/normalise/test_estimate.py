"""Estimates: near the truth where nothing else is known, and never taken for it."""

from __future__ import annotations

import pytest

from costspan.normalise.estimate import Texts, count, estimate, factor
from costspan.records import ESTIMATED, Usage

PROSE = (
    "The committee met on Tuesday to consider whether the bridge over the river should be rebuilt in stone or in steel. "
    "Nobody had asked the ferryman, who would lose his living either way, and who sat at the back without a word. "
)


@pytest.mark.parametrize(
    ("model", "times"),
    [
        ("gpt-5-mini", 1.00),
        ("openai/gpt-4o-2024-11-20", 1.00),
        ("o3", 1.00),
        ("gemini-2.5-pro", 1.03),
        ("mistral-large-latest", 1.05),
        ("meta-llama/Llama-3.3-70B", 1.03),
        ("deepseek-chat", 1.03),
        ("claude-3-5-sonnet-20241022", 1.13),
        ("claude-sonnet-4-5", 1.13),
        ("claude-sonnet-4-20250514", 1.13),
        ("claude-opus-4-6", 1.13),
        ("claude-opus-4-7", 1.44),
        ("claude-opus-4.8-20260101", 1.44),
        ("claude-sonnet-5", 1.44),
        ("claude-haiku-5-5", 1.44),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1.13),
        ("claude-instant", 1.13),
    ],
)
def test_each_family_has_its_factor(model: str, times: float) -> None:
    assert factor(model) == (times, True)


def test_a_family_that_nobody_has_measured_is_told_with_low_confidence() -> None:
    assert factor("sparkle-9b") == factor(None) == (1.0, False)
    assert "low confidence" in estimate(Texts(["hello"], 1, ["hi"]), model="sparkle-9b").estimator


def test_prose_counts_as_openais_tokenizer_counts_it() -> None:
    assert count(["hello world"]) == 2
    assert 40 <= count([PROSE]) <= 55
    assert count([]) == count([""]) == 0


def test_half_characters_do_not_hurt() -> None:
    assert count(["a\ud83d b"]) >= 2


def test_an_estimate_is_marked_and_has_no_parts() -> None:
    made = estimate(Texts([PROSE], 1, [PROSE]), model="claude-sonnet-4-5")
    assert made.usage == Usage(round(count([PROSE]) * 1.13) + 6, round(count([PROSE]) * 1.13), source=ESTIMATED)
    assert made.estimator == "toktok o200k_base x1.13"


@pytest.mark.parametrize("texts", [Texts(["a"], 1, ["b"], tools=True), Texts(["a"], 1, ["b"], whole=False)])
def test_tools_and_answers_cut_short_lower_the_confidence(texts: Texts) -> None:
    assert estimate(texts, model="gpt-4o").estimator.endswith("(low confidence)")


def test_what_the_provider_told_is_kept_and_only_the_rest_estimated() -> None:
    told = Usage(1000, None, cache_read_tokens=600, source="missing")
    made = estimate(Texts(["a" * 100], 1, ["hello world"], whole=False), model="claude-opus-4-7", told=told)
    assert made.usage == Usage(1000, 3, cache_read_tokens=600, source=ESTIMATED)


def test_a_hostile_text_takes_no_time() -> None:
    assert count(["a" * 50_000]) > 1000
