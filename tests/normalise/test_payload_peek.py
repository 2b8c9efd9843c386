from __future__ import annotations

import json

import pytest

from costspan.normalise.payload_peek import object_after, told_in_response

USAGE = {"prompt_tokens": 10, "completion_tokens": 2}


def test_content_that_looks_like_usage_is_not_usage() -> None:
    content = json.dumps({"usage": {"prompt_tokens": 999999, "completion_tokens": 1}})
    answer = json.dumps({"id": "chatcmpl-1", "usage": USAGE, "choices": [{"message": {"content": content}}]})
    assert object_after(answer, "usage") == USAGE


@pytest.mark.parametrize(
    "string", ["", '"usage"', '"usage": ', '"usage": {', '"usage": {"a": }', '"usage": null', '"usage": [1]']
)
def test_broken_json_tells_nothing(string: str) -> None:
    assert object_after(string, "usage") is None


def test_only_the_first_field_is_the_responses_id() -> None:
    assert told_in_response(json.dumps({"id": "a", "usage": USAGE}), "openai").response_id == "a"
    assert told_in_response(json.dumps({"usage": USAGE, "id": "b"}), "openai").response_id is None


@pytest.mark.parametrize("provider", ["openai", "groq", None])
def test_a_response_is_read_by_its_providers_rules(provider: str | None) -> None:
    told = told_in_response(json.dumps({"id": "a", "usage": USAGE, "service_tier": "flex"}), provider)
    assert (told.usage.input_tokens, told.usage.output_tokens, told.service_tier) == (10, 2, "flex")


def test_anthropics_input_comes_without_its_cache() -> None:
    usage = {"input_tokens": 41, "output_tokens": 5, "cache_read_input_tokens": 1024, "cache_creation_input_tokens": 96}
    assert told_in_response(json.dumps({"id": "msg_1", "usage": usage}), "anthropic").usage.input_tokens == 1161
