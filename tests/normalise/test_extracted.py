"""Absurd counts become unknown and are named; nothing raises."""

from __future__ import annotations

import math
from decimal import Decimal
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costspan import guard
from costspan.normalise.partition import partition
from costspan.normalise.usage import extract
from costspan.records import MISSING, REPORTED, Usage


@pytest.fixture(autouse=True, scope="module")
def _strict():
    guard.raise_in_tests(True)
    yield
    guard.raise_in_tests(False)


def chat(given: object = 10, made: object = 5, **usage: object) -> dict[str, object]:
    return {"model": "gpt-5-mini", "usage": {"prompt_tokens": given, "completion_tokens": made, **usage}}


@pytest.mark.parametrize("absurd", [-1, True, "12", 1.5, math.nan, math.inf, [], {}, 10**30], ids=repr)
def test_an_absurd_count_is_unknown_and_named_and_the_other_count_is_kept(absurd):
    got = extract(chat(made=absurd))
    assert got.usage == Usage(input_tokens=10, source=MISSING)
    assert got.problems == ("invalid_output_tokens",)
    got = extract(chat(given=absurd))
    assert got.usage == Usage(output_tokens=5, source=MISSING)
    assert got.problems == ("invalid_input_tokens",)


def test_more_cached_than_input_leaves_the_cache_unknown():
    got = extract(chat(prompt_tokens_details={"cached_tokens": 11}))
    assert got.usage == Usage(10, 5)
    assert got.problems == ("inconsistent_usage",)


def test_more_reasoning_than_output_leaves_the_reasoning_unknown():
    got = extract(chat(completion_tokens_details={"reasoning_tokens": 6}))
    assert got.usage == Usage(10, 5)
    assert got.problems == ("inconsistent_usage",)


def test_more_one_hour_writes_than_writes_leaves_them_unknown():
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_write": 2, "cache_write_1h": 3}
    got = extract(usage)
    assert (got.usage.cache_write_tokens, got.usage.cache_write_1h_tokens) == (2, None)
    assert got.problems == ("inconsistent_usage",)


def test_an_absurd_cache_count_of_an_exclusive_payload_makes_the_input_unknown():
    got = extract({"usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": -7}})
    assert got.usage == Usage(output_tokens=5, source=MISSING)
    assert got.problems == ("invalid_cache_read_tokens",)


def test_nulls_everywhere_are_unknown_and_no_problem():
    got = extract(chat(prompt_tokens_details=None, completion_tokens_details=None, total_tokens=None, cost=None))
    assert (got.usage, got.problems) == (Usage(10, 5), ())


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        [],
        "text",
        7,
        object(),
        {"usage": None},
        {"usage": "many"},
        {"usage": {"prompt_tokens": None, "completion_tokens": None}},
        {"usage": {"total_tokens": 0}},
        chat(0, 0),
        {"response_metadata": None, "usage_metadata": None},
        {"response_metadata": {}, "usage_metadata": "?"},
        {"raw": {"raw": {"raw": {"raw": {"raw": {"raw": None}}}}}},
    ],
    ids=lambda payload: "object" if type(payload) is object else repr(payload),
)
def test_a_payload_without_usage_is_missing_and_says_so(payload):
    got = extract(payload)
    assert got.usage.source == MISSING
    assert got.usage.total_tokens is None
    assert got.problems


def test_a_mock_in_a_users_test_is_missing_usage():
    assert extract(MagicMock()).usage.source == MISSING


def test_an_object_that_breaks_when_read_is_unreadable_and_does_not_raise():
    class Broken:
        @property
        def usage(self):
            raise RuntimeError

    guard.raise_in_tests(False)
    try:
        assert extract(Broken()).problems == ("unreadable_payload",)
    finally:
        guard.raise_in_tests(True)


def test_audio_is_told_of_the_whole_prompt_cached_or_not():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 95,
        "candidatesTokenCount": 1,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
    }
    got = extract(usage)
    assert (got.usage.cache_read_tokens, got.usage.input_audio_tokens, got.problems) == (95, 50, ())
    heard = [{"modality": "AUDIO", "tokenCount": 101}]
    got = extract({**usage, "promptTokensDetails": heard})
    assert (got.usage.cache_read_tokens, got.usage.input_audio_tokens, got.problems) == (95, None, ("inconsistent_usage",))


def test_parts_of_an_unknown_whole_are_dropped():
    got = extract(chat(given=None, prompt_tokens_details={"cached_tokens": 4}))
    assert got.usage == Usage(None, 5, source=MISSING)


@pytest.mark.parametrize("stated", ["a lot", -1, math.nan, True, [], 0.5, "0.25", 0, Decimal(2)], ids=repr)
def test_a_stated_cost_is_an_amount_or_unknown(stated):
    got = extract(chat(cost=stated))
    fine = not isinstance(stated, bool) and stated in (0.5, "0.25", 0, Decimal(2))
    assert got.stated_cost_usd == (Decimal(str(stated)) if fine else None)
    assert got.problems == (() if fine else ("invalid_cost",))
    assert got.usage == Usage(10, 5, source=REPORTED)


_LEAF = st.one_of(st.none(), st.booleans(), st.integers(-5, 50), st.text(max_size=3), st.floats())
# fmt: off
_NAMES = st.sampled_from(
    [
        "usage", "usage_metadata", "response_metadata", "prompt_tokens", "completion_tokens", "input_tokens",
        "output_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens", "cache_read_input_tokens",
        "cache_creation", "cache_creation_input_tokens", "iterations", "ephemeral_1h_input_tokens",
        "ephemeral_5m_input_tokens", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
        "promptTokensDetails", "inputTokens", "outputTokens", "cacheReadInputTokens", "cacheDetails", "tokens",
        "billed_units", "prompt_eval_count", "eval_count", "generations", "llm_output", "token_usage", "message",
        "raw", "type", "input_token_details", "cache_read", "cost", "choices", "output", "content", "candidates",
        "meta", "metadata", "ResponseMetadata", "x_groq", "results", "inputTextTokenCount",
    ]
)
# fmt: on
_PAYLOAD = st.recursive(
    _LEAF, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=5)), max_leaves=12
)


@given(_PAYLOAD)
def test_whatever_arrives_can_be_split_into_parts_that_add_up(payload):
    usage = extract(payload).usage
    parts = partition(usage)
    assert sum(tokens for _, tokens in parts) == (usage.total_tokens or 0)
    assert (usage.source == REPORTED) == (usage.input_tokens is not None and usage.output_tokens is not None)
