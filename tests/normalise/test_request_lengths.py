from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costspan.normalise.request_lengths import MESSAGES_MAX, decode, encode

MESSAGES = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.integers(0, 10**9), st.text(max_size=9)))


@given(MESSAGES)
def test_what_is_encoded_is_decoded(messages: list[tuple[str, str, int, str]]) -> None:
    assert decode(encode(messages)) == tuple(messages)


def test_the_text_is_compact_json_without_content() -> None:
    assert encode([("human", "1f", 12, ""), ("tool", "", 400, "call_1")]) == '[["human","1f",12,""],["tool","",400,"call_1"]]'


@pytest.mark.parametrize(
    "text", [None, "", "{", "{}", "[1]", '[["a","b",-1,""]]', '[["a","b",true,""]]', '[["a","b",1]]', "[[1,2,3,4]]"]
)
def test_anything_else_tells_nothing(text: str | None) -> None:
    assert decode(text) is None


def test_a_conversation_too_long_to_list_is_not_listed_in_part() -> None:
    assert encode([("human", "", 1, "")] * (MESSAGES_MAX + 1)) == ""
