from __future__ import annotations

import json

import pytest

from costspan.normalise.dialects import read
from costspan.records import AGENT, CALL, MISSING
from made_spans import meaning, span

LANGCHAIN = "openlit.instrumentation.langchain"
LANGGRAPH = "openlit.instrumentation.langgraph"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.cache_read.input_tokens": 600,
    "gen_ai.usage.cache_creation.input_tokens": 0,
}
CLAUDE = CHAT | {
    "gen_ai.provider.name": "anthropic",
    "gen_ai.usage.input_tokens": 41,
    "gen_ai.usage.cache_creation.input_tokens": 96,
}


@pytest.mark.parametrize("library", ["anthropic", "bedrock"])
def test_the_providers_input_is_without_the_cache(library: str) -> None:
    usage = meaning(f"openlit.instrumentation.{library}", CLAUDE).usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (41 + 600 + 96, 600, 96)


def test_openais_input_is_with_the_cache() -> None:
    reading = meaning("openlit.instrumentation.openai", CHAT | {"gen_ai.usage.cost": 0})
    assert (reading.usage.input_tokens, reading.usage.cache_read_tokens, reading.stated_cost_usd) == (1000, 600, None)


def test_langchain_with_anthropic_has_lost_the_size_of_the_prompt() -> None:
    reading = meaning(LANGCHAIN, CLAUDE)
    assert (reading.usage.input_tokens, reading.usage.output_tokens, reading.usage.source) == (None, 200, MISSING)
    assert reading.problems == ("cache_tokens_lost",)
    stream = meaning(LANGCHAIN, CLAUDE | {"gen_ai.request.stream": True, "gen_ai.usage.input_tokens": 3710})
    assert (stream.usage.input_tokens, stream.usage.source) == (3710, "reported")


def test_a_zero_that_langchain_never_looked_for_is_unknown() -> None:
    assert meaning(LANGCHAIN, CHAT).usage.cache_write_tokens is None


def test_a_guess_is_no_report() -> None:
    guess = {key: value for key, value in CHAT.items() if "cache" not in key} | {"gen_ai.request.stream": True}
    reading = meaning("openlit.instrumentation.openai", guess)
    assert (reading.usage.source, reading.missing_reason) == (MISSING, "stream_without_usage")
    assert reading.problems == ("estimated_by_emitter",)


def test_langchains_guess_is_known_by_its_rule() -> None:
    messages = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "x" * 35}]}])
    stream = CHAT | {
        "gen_ai.request.stream": True,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.output.messages": messages,
    }
    assert meaning(LANGCHAIN, stream | {"gen_ai.usage.output_tokens": 18}).usage.source == MISSING
    assert meaning(LANGCHAIN, stream | {"gen_ai.usage.output_tokens": 19}).usage.source == "reported"


def test_a_provider_in_place_of_a_model_is_no_model() -> None:
    reading = meaning(LANGCHAIN, CLAUDE | {"gen_ai.request.model": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5"})
    assert (reading.request_model, reading.response_model) == (None, "claude-sonnet-4-5")


def test_a_call_that_failed_without_attributes_is_a_call() -> None:
    events = [("exception", 1, {"exception.type": "anthropic.RateLimitError"})]
    reading = meaning("openlit.instrumentation.anthropic", {}, name="chat claude-sonnet-4-5", error="", events=events)
    assert (reading.kind, reading.outcome, reading.error_type) == (CALL, "error", "anthropic.RateLimitError")
    assert reading.request_model == "claude-sonnet-4-5"


def test_graph_nodes_are_agents_but_not_their_plumbing() -> None:
    def node(name: str) -> object:
        reading = read(span(LANGGRAPH, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}))
        return reading and (reading.kind, reading.name)

    assert node("dev") == (AGENT, "dev")
    assert node("model") is None


@pytest.mark.parametrize(
    "attributes",
    [{}, {"gen_ai.agent.name": "x", "gen_ai.custom.data": "{}"}, {"gen_ai.agent.name": "QA", "gen_ai.agent.source": "PM"}],
)
def test_turns_and_hand_offs_are_no_agents(attributes: dict[str, object]) -> None:
    scope = "openlit.instrumentation.openai_agents"
    assert read(span(scope, {"gen_ai.operation.name": "invoke_agent"} | attributes, name="invoke_agent turn")) is None
