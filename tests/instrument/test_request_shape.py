"""The shape of requests: which messages are there and how long, in the words of every API."""

from __future__ import annotations

import json

import pytest

from costspan.instrument.request_shape import lengths
from costspan.normalise.request_lengths import MESSAGES_MAX


def shape(messages=None, items=None, system=None):
    found = lengths(messages, items, system)
    return None if found is None else [tuple(each) for each in json.loads(found)]


def test_anthropics_tool_results_are_messages_of_their_own():
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"q": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "more"}]},
                {"type": "text", "text": "go on"},
            ],
        },
    ]
    assert shape(messages, system="be brief") == [
        ("system", "", 8, ""),
        ("user", "", 2, ""),
        ("assistant", "", 12, ""),
        ("tool", "", 5, "t1"),
        ("tool", "", 4, "t2"),
        ("user", "", 5, ""),
    ]


def test_items_of_the_responses_api_are_messages():
    items = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
    ]
    assert shape(None, items, "rules") == [
        ("system", "", 5, ""),
        ("user", "", 2, ""),
        ("assistant", "", 6, ""),
        ("tool", "", 5, "c1"),
    ]


@pytest.mark.parametrize("messages", [None, "hello", (message for message in ()), [object()], ["hi"]])
def test_what_is_no_list_of_plain_messages_has_no_shape(messages):
    assert shape(messages) is None


def test_odd_contents_have_no_length():
    assert shape([{"role": "user", "content": 7}, {"role": None}, {}]) == [("user", "", 0, ""), ("", "", 0, ""), ("", "", 0, "")]


def test_a_conversation_that_is_too_long_has_no_shape():
    assert shape([{"role": "user", "content": "x"}] * (MESSAGES_MAX + 1)) is None
