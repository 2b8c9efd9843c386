from __future__ import annotations

import json
from decimal import Decimal

import pytest

from costspan.records import AGENT, STEP, TOOL
from made_spans import meaning

CALL = {
    "ai.operationId": "ai.streamText.doStream",
    "ai.telemetry.functionId": "support-agent",
    "ai.model.id": "gpt-5-mini",
    "ai.model.provider": "openai.responses",
    "ai.response.id": "resp_1",
    "ai.response.model": "gpt-5-mini-2025-08-07",
    "ai.response.finishReason": "stop",
    "ai.response.msToFirstChunk": 250.0,
    "ai.usage.inputTokens": 1000,
    "ai.usage.outputTokens": 200,
    "ai.usage.cachedInputTokens": 600,
    "ai.usage.reasoningTokens": 50,
    "gen_ai.usage.input_tokens": 1000,
}


def test_a_call_of_the_sdk() -> None:
    reading = meaning("ai", CALL)
    usage = reading.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens) == (1000, 200, 600, 50)
    assert (reading.provider, reading.response_model, reading.response_id) == ("openai", "gpt-5-mini-2025-08-07", "resp_1")
    assert (reading.agent, reading.stream, reading.time_to_first_token_seconds) == ("support-agent", True, 0.25)


def test_version_4_names() -> None:
    old = {"ai.operationId": "ai.generateText.doGenerate", "ai.usage.promptTokens": 12, "ai.usage.completionTokens": 3}
    assert meaning("ai", old).usage.total_tokens == 15


def test_before_version_6_anthropics_cache_stands_beside_the_input() -> None:
    metadata = json.dumps({"anthropic": {"cacheCreationInputTokens": 96}})
    claude = CALL | {
        "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": 41,
        "ai.response.providerMetadata": metadata,
    }
    usage = meaning("ai", claude).usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (41 + 600 + 96, 600, 96)


@pytest.mark.parametrize("told", [41, 1161])
def test_anthropics_own_usage_says_which_input_is_meant(told: int) -> None:
    raw = {"input_tokens": 41, "output_tokens": 260, "cache_read_input_tokens": 1024, "cache_creation_input_tokens": 96}
    attributes = {
        "ai.operationId": "ai.generateObject.doGenerate",
        "ai.model.provider": "anthropic.messages",
        "ai.usage.promptTokens": told,
        "ai.usage.completionTokens": 260,
        "ai.response.providerMetadata": json.dumps({"anthropic": {"usage": raw, "cacheCreationInputTokens": 96}}),
    }
    usage = meaning("ai", attributes).usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (1161, 1024, 96)


def test_since_version_6_it_is_part_of_it() -> None:
    details = {"noCacheTokens": 304, "cacheReadTokens": 600, "cacheWriteTokens": 96}
    claude = CALL | {"ai.model.provider": "anthropic.messages"}
    claude |= {f"ai.usage.inputTokenDetails.{key}": value for key, value in details.items()}
    usage = meaning("ai", claude).usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (1000, 600, 96)


@pytest.mark.parametrize(("total", "output"), [(1250, 250), (1200, 200), (None, 200)])
def test_googles_thoughts_are_added_when_its_total_says_so(total: int | None, output: int) -> None:
    attributes = CALL | {"ai.model.provider": "google.generative-ai", "ai.usage.totalTokens": total}
    reading = meaning("ai", attributes)
    assert (reading.usage.output_tokens, reading.provider) == (output, "gcp.gemini")


def test_openrouter_states_what_it_cost() -> None:
    metadata = json.dumps({"openrouter": {"usage": {"cost": 0.00123}}})
    reading = meaning("ai", CALL | {"ai.model.provider": "openrouter", "ai.response.providerMetadata": metadata})
    assert reading.stated_cost_usd == Decimal("0.00123")


def test_the_operation_above_repeats_the_sum() -> None:
    named = meaning("ai", CALL | {"ai.operationId": "ai.streamText"})
    unnamed = meaning(
        "ai", {key: value for key, value in CALL.items() if "functionId" not in key} | {"ai.operationId": "ai.streamText"}
    )
    assert (named.kind, named.name, named.repeats_children) == (AGENT, "support-agent", True)
    assert (unnamed.kind, unnamed.name) == (STEP, "ai.streamText")


def test_tools_and_embeddings() -> None:
    tool = meaning("ai", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search", "ai.toolCall.id": "c1"})
    embed = meaning("ai", {"ai.operationId": "ai.embedMany.doEmbed", "ai.usage.tokens": 42})
    assert (tool.kind, tool.name, tool.tool_call_id) == (TOOL, "search", "c1")
    assert (embed.operation, embed.usage.input_tokens, embed.usage.output_tokens) == ("embeddings", 42, 0)


def test_version_7_tells_an_embedding_twice() -> None:
    attributes = {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 42}
    assert meaning("gen_ai", attributes).repeats_children
    assert not meaning("any", attributes).repeats_children


def test_an_agent_named_after_its_model_has_no_name() -> None:
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-5-mini"}
    assert meaning("gen_ai", attributes, name="invoke_agent gpt-5-mini").name is None


def test_version_7_keeps_to_the_convention() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
    assert meaning("gen_ai", attributes).usage.total_tokens == 12
    assert meaning("ai", attributes).usage.total_tokens == 12
