"""A request that is sent again word for word is known by a number, which says nothing of its words."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from costspan.instrument.request_hash import VALUES_MAX, message_hash, request_hash


def ask(text="hello", **more):
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": text}], **more}]


def test_equal_words_have_equal_numbers_and_other_words_others():
    assert request_hash("m", ask()) == request_hash("m", ask()) != request_hash("m", ask("hallo"))
    assert request_hash("m", ask()) != request_hash("n", ask())
    assert request_hash("m", ask()) != request_hash("m", ask(name="x"))


def test_the_number_does_not_hold_the_words():
    assert len(request_hash("m", ask("private"))) == 16


@pytest.mark.parametrize("odd", [iter(["x"]), object(), {"a": {1, 2}}, [0] * (VALUES_MAX + 1)])
def test_what_is_not_plain_or_too_long_has_no_number_and_is_left_alone(odd):
    assert request_hash("m", odd) is None
    if hasattr(odd, "__next__"):
        assert next(odd) == "x"


def test_a_list_that_holds_itself_has_no_number():
    loop: list[object] = []
    loop.append(loop)
    assert request_hash(loop) is None


def test_langchain_messages_are_told_apart_by_words_and_tool_calls():
    call = {"name": "search", "args": {"q": "x"}, "id": "1"}
    asked = [HumanMessage("hello"), AIMessage("", tool_calls=[call])]
    assert message_hash("m", asked) == message_hash("m", [HumanMessage("hello"), AIMessage("", tool_calls=[call])])
    assert message_hash("m", asked) != message_hash("m", [HumanMessage("hello"), AIMessage("", tool_calls=[call | {"args": {}}])])
