"""Streams, side passes and searches of Anthropic."""

from __future__ import annotations

import pytest
from anthropic.types import Message, RawMessageDeltaEvent, RawMessageStartEvent
from anthropic.types import Usage as SdkUsage
from langchain_core.messages import AIMessage

from costspan.normalise.usage import extract
from costspan.normalise.usage_anthropic import from_stream, merge
from costspan.normalise.usage_langchain import from_message
from costspan.records import MISSING, Usage

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-sonnet-4-5-20250929",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 504,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23},
            "cache_creation_input_tokens": 123,
            "cache_read_input_tokens": 2000,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}


def delta(**usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}


def test_the_last_delta_replaces_the_placeholder_and_nothing_is_added_twice():
    repeated = delta(input_tokens=504, cache_read_input_tokens=2000, cache_creation_input_tokens=123, output_tokens=97)
    got = from_stream([START, delta(output_tokens=40), repeated])
    assert got.usage == Usage(2627, 97, 2000, 123, 23)
    assert (got.model, got.response_id, got.finish_reason) == ("claude-sonnet-4-5-20250929", "msg_1", "end_turn")
    assert got.service_tier == "standard"


@pytest.mark.parametrize(("speed", "tier"), [("fast", "fast"), ("standard", "standard"), (None, "standard")])
def test_the_fast_mode_is_told_as_the_tier_since_it_has_prices_of_its_own(speed, tier):
    usage = {**START["message"]["usage"], "speed": speed}
    sums = {"input_tokens": 2627, "output_tokens": 1, "total_tokens": 2628}
    start = {**START, "message": {**START["message"], "usage": usage}}
    assert from_stream([start, delta(output_tokens=40)]).service_tier == tier
    assert extract({**START["message"], "usage": usage}).service_tier == tier
    assert from_message(AIMessage("x", response_metadata={"usage": usage}, usage_metadata=sums)).service_tier == tier
    assert extract(Message.model_validate({**START["message"], "usage": SdkUsage(**usage)})).service_tier == tier


def test_a_stream_that_was_aborted_has_an_input_and_no_output():
    for got in (from_stream([START]), extract([START]), extract(START)):
        assert got.usage == Usage(2627, None, 2000, 123, 23, source=MISSING)


def test_the_sdks_events_merge_like_their_json():
    start = RawMessageStartEvent.model_validate(START)
    end = RawMessageDeltaEvent.model_validate(delta(output_tokens=97, input_tokens=None))
    assert extract([start, end]) == extract([START, delta(output_tokens=97)])
    assert merge(start.message.usage, end.usage)["input_tokens"] == 504


def test_the_sdks_message_is_read_without_dumping_it():
    message = Message.model_validate(
        {**START["message"], "usage": SdkUsage(input_tokens=7, output_tokens=3, cache_read_input_tokens=5)}
    )
    got = extract(message)
    assert got.usage == Usage(12, 3, 5)
    assert (got.provider, got.model, got.response_id) == ("anthropic", "claude-sonnet-4-5-20250929", "msg_1")


def test_passes_billed_beside_the_answer_are_returned_and_named():
    usage = {
        "input_tokens": 180,
        "output_tokens": 8,
        "iterations": [
            {"type": "compaction", "input_tokens": 100, "cache_creation_input_tokens": 55096, "output_tokens": 82},
            {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 25, "output_tokens": 2},
            {"type": "message", "input_tokens": 180, "output_tokens": 8},
        ],
    }
    got = extract({"type": "message", "usage": usage})
    assert got.usage == Usage(180, 8)
    assert got.side_usages == (
        ("compaction", None, Usage(55196, 82, None, 55096)),
        ("advisor_message", "claude-opus-4-8", Usage(25, 2)),
    )
    assert "other_iterations_billed" in got.problems


def test_fast_mode_is_a_tier_with_prices_of_its_own():
    usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "standard", "speed": "fast"}
    start = {"type": "message_start", "message": {**START["message"], "usage": {**usage, "output_tokens": 1}}}
    assert extract(Message.model_validate({**START["message"], "usage": usage})).service_tier == "fast"
    assert extract([start, delta(output_tokens=5)]).service_tier == "fast"
    assert extract({"type": "message", "usage": {**usage, "speed": "standard"}}).service_tier == "standard"


def test_an_answer_by_a_fallback_model_is_counted_once_and_what_the_refusing_model_wrote_beside_it():
    refused = {
        "type": "message",
        "model": "claude-fable-5",
        "input_tokens": 2,
        "output_tokens": 578,
        "cache_creation_input_tokens": 10421,
        "cache_read_input_tokens": 72769,
    }
    first = {"type": "message", "model": "claude-opus-4-8", "input_tokens": 1, "output_tokens": 3}
    served = {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 2, "output_tokens": 13658}
    usage = {"input_tokens": 3, "output_tokens": 13661, "iterations": [refused, first, served]}
    whole = extract({"type": "message", "model": "claude-opus-4-8", "usage": usage})
    start = {"type": "message_start", "message": {**START["message"], "model": "claude-fable-5", "usage": {"input_tokens": 2}}}
    for got in (whole, extract([start, delta(**usage)])):
        assert (got.usage, got.model) == (Usage(3, 13661), "claude-opus-4-8")
        assert got.side_usages == (("message", "claude-fable-5", Usage(83192, 578, 72769, 10421)),)


def test_a_refusal_before_the_first_word_is_not_billed():
    refused = {"type": "message", "model": "claude-fable-5", "input_tokens": 900, "output_tokens": 0}
    served = {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 900, "output_tokens": 7}
    got = extract({"usage": {"input_tokens": 900, "output_tokens": 7, "iterations": [refused, served]}})
    assert (got.usage, got.side_usages, got.problems) == (Usage(900, 7), (), ())


def test_zeros_at_the_end_of_a_stream_do_not_take_back_the_input():
    got = extract([START, delta(input_tokens=0, cache_read_input_tokens=0, cache_creation_input_tokens=0, output_tokens=97)])
    assert got.usage == Usage(2627, 97, 2000, 123, 23)
