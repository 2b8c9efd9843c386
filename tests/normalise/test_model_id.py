from __future__ import annotations

import pytest

from costspan.normalise.model_id import NAME_MAX, canonical_provider, clean_model, is_variant, spellings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("ChatOpenAI", "openai"),
        ("azure", "azure.ai.openai"),
        ("azure_openai", "azure.ai.openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("azure_ai", "azure.ai.inference"),
        ("az.ai.inference", "azure.ai.inference"),
        ("amazon_bedrock", "aws.bedrock"),
        ("bedrock_converse", "aws.bedrock"),
        ("aws_bedrock", "aws.bedrock"),
        ("anthropic-bedrock", "aws.bedrock"),
        ("anthropic-mantle", "aws.bedrock"),
        ("openai-mantle", "aws.bedrock"),
        ("google_genai", "gcp.gemini"),
        ("google-gla", "gcp.gemini"),
        ("gemini", "gcp.gemini"),
        ("google_vertexai", "gcp.vertex_ai"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("anthropicvertex", "gcp.vertex_ai"),
        ("gcp.gen_ai", "gcp.gen_ai"),
        ("mistral", "mistral_ai"),
        ("mistralai", "mistral_ai"),
        ("xai", "x_ai"),
        ("x-ai", "x_ai"),
        ("watsonx", "ibm.watsonx.ai"),
        ("moonshot", "moonshot_ai"),
        ("dashscope", "alibaba"),
        ("together_ai", "together"),
        ("hosted_vllm", "vllm"),
        ("ollama_chat", "ollama"),
        ("lmstudio", "lm_studio"),
        ("openai.chat", "openai"),
        ("openai.responses", "openai"),
        ("azure-openai.responses", "azure.ai.openai"),
        ("google.generative-ai", "gcp.gemini"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("AnthropicVertex", "gcp.vertex_ai"),
        ("AnthropicBedrock", "aws.bedrock"),
        ("Acme LLM", "acme llm"),
    ],
)
def test_every_spelling_of_a_provider_becomes_one_name(given, expected):
    assert canonical_provider(given) == expected
    assert canonical_provider(expected) == expected


@pytest.mark.parametrize("name", [None, "", "  ", "unknown", "langchain", "LangGraph", "litellm", "crewai", "strands-agents", 7])
def test_frameworks_and_gateways_are_not_providers(name):
    assert canonical_provider(name) is None


def test_names_from_outside_are_cut():
    assert len(canonical_provider("x" * 10_000) or "") == NAME_MAX
    assert len(clean_model("y" * 10_000)) == NAME_MAX


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (" GPT-4o ", "gpt-4o"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("projects/p/locations/us-central1/publishers/anthropic/models/claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x-v1:0", "us.anthropic.claude-x-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-pro-v1:0", "us-gov.amazon.nova-pro-v1:0"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.x.y-v1:0", "us-gov.x.y-v1:0"),
        ("litellm_proxy/gpt-4o", "gpt-4o"),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
        ),
    ],
)
def test_resource_paths_are_taken_off_a_model(given, expected):
    assert clean_model(given) == expected


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai:gpt-4o", ("openai", "gpt-4o")),
        (None, "openai/gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("langchain", "gpt-4o", ("openai", "gpt-4o")),
        (None, "google-gla:gemini-2.5-pro", ("gcp.gemini", "gemini-2.5-pro")),
        (None, "vertex_ai/gemini-2.5-pro", ("gcp.vertex_ai", "gemini-2.5-pro")),
        ("gcp.vertex_ai", "gemini/gemini-2.5-pro", ("gcp.vertex_ai", "gemini-2.5-pro")),
        (None, "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        (None, "bedrock/us-east-1/anthropic.claude-x", ("aws.bedrock", "anthropic.claude-x")),
        (None, "bedrock/converse/eu.anthropic.claude-x", ("aws.bedrock", "eu.anthropic.claude-x")),
        (None, "eu.anthropic.claude-x-20250929-v1:0", ("aws.bedrock", "eu.anthropic.claude-x-20250929-v1:0")),
        ("azure", "azure/gpt-4o", ("azure.ai.openai", "gpt-4o")),
        ("groq", "groq/llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        (None, "groq/openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),
        (None, "claude-opus-5-5", ("anthropic", "claude-opus-5-5")),
        (None, "claude-sonnet-4-5@20250929", ("gcp.vertex_ai", "claude-sonnet-4-5@20250929")),
        (
            None,
            "accounts/fireworks/models/qwen3-8b",
            ("fireworks", "accounts/fireworks/models/qwen3-8b"),
        ),
        (None, "ollama/llama3.1:8b", ("ollama", "llama3.1:8b")),
        (None, "ft:gpt-4o-mini-2024-07-18:acme::abc", ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc")),
    ],
)
def test_a_prefix_that_names_the_provider_is_taken_off(provider, model, expected):
    assert expected in spellings(provider, model)


def test_the_literal_name_is_tried_before_the_name_without_its_prefix():
    assert [way.model for way in spellings("openrouter", "openrouter/auto")] == ["openrouter/auto", "auto"]


def test_a_prefix_that_contradicts_the_provider_stays():
    assert spellings("openai", "anthropic/claude-opus-5-5") == (("openai", "anthropic/claude-opus-5-5"),)


@pytest.mark.parametrize(
    "model",
    ["deepseek-r1:8b", "llama3:latest", "mistral:7b", "mistral:latest", "qwen3:4b-q4_K_M", "gpt-oss-20b", "gpt-oss:20b",
     "qwen3-32b", "mixtral-8x7b-instruct", "gemma3:27b-it-qat", "phi4", "llama-4-scout", "kimi-k2", "my-deployment"],
)  # fmt: skip
def test_without_a_provider_open_weights_belong_to_nobody(model):
    assert spellings(None, model) == ()


@pytest.mark.parametrize(
    ("name", "of", "expected"),
    [
        ("gemini-2.5-pro-exp-03-25", "gemini-2.5-pro", True),
        ("gemini-2.5-pro-ultra", "gemini-2.5-pro", False),
        ("claude-opus-5-5-20260901", "claude-opus-5-5", True),
        ("claude-opus-5-5[1m]", "claude-opus-5-5", True),
        ("deepseek-chat-v9", "deepseek-chat", True),
        ("us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", True),
    ],
)
def test_extra_words_tell_a_variant_from_another_model(name, of, expected):
    assert is_variant(name, of) is expected
