"""Every recorded payload comes out with its expected counts, in each form in which it may arrive."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from costspan import guard
from costspan.normalise.usage import extract
from costspan.records import MISSING, REPORTED

CASES = Path(__file__).parent / "usage"
PROVIDERS = [
    "anthropic",
    "bedrock_converse",
    "cohere",
    "deepseek",
    "gemini",
    "mistral",
    "openai",
    "openai_responses",
    "openrouter",
]


@pytest.fixture(autouse=True)
def _strict():
    guard.raise_in_tests(True)
    yield
    guard.raise_in_tests(False)


def cases(*names: str):
    return [
        pytest.param(case, id=f"{name}-{case['id']}")
        for name in names
        for case in json.loads((CASES / f"{name}.json").read_text())["cases"]
    ]


def counts(got) -> dict[str, object]:
    """What was found, under the names of the recorded cases; zeros and unknowns are left out, as they are there."""
    usage = got.usage
    found = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "cache_write_1h": usage.cache_write_1h_tokens,
        "reasoning": usage.reasoning_tokens,
        "input_audio": usage.input_audio_tokens,
        "output_audio": usage.output_audio_tokens,
        "provider_cost": float(got.stated_cost_usd) if got.stated_cost_usd is not None else None,
        "web_searches": (got.fees or {}).get("web_search"),
    }
    return {key: value for key, value in found.items() if value}


def wanted(expected: dict[str, object]) -> dict[str, object]:
    """The expected counts without those that are no part of a usage record."""
    beside = {"cache_write_5m", "billed_input_tokens", "billed_output_tokens", "tool_use_prompt", "output_image", "service_tier"}
    return {key: value for key, value in expected.items() if value and key not in beside}


def as_object(value: object) -> object:
    """The same payload as an SDK's object: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(inner) for key, inner in value.items()})
    return [as_object(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", cases(*PROVIDERS))
def test_a_providers_payload_gives_the_expected_counts(case):
    got = extract(case["raw"])
    assert counts(got) == wanted(case["expected"])
    assert got.model == case["model"]
    assert got.usage.source == REPORTED


@pytest.mark.parametrize("case", cases(*PROVIDERS))
def test_an_sdk_object_gives_the_same_as_its_json(case):
    assert counts(extract(as_object(case["raw"]))) == wanted(case["expected"])


@pytest.mark.parametrize("case", cases(*PROVIDERS))
def test_a_bare_usage_object_gives_the_same_as_the_response_around_it(case):
    bare = next(value for key, value in case["raw"].items() if key in ("usage", "usageMetadata"))
    assert counts(extract(bare)) == wanted(case["expected"])


@pytest.mark.parametrize("case", cases("langchain"))
def test_a_langchain_message_gives_the_expected_counts(case):
    got = extract(case["ai_message"])
    if case["expected"] is None:
        assert got.usage.source == MISSING
        assert got.usage.total_tokens is None
    elif case["ai_message"]["usage_metadata"]["input_tokens"] == 0:
        # The integration lost the input: unknown, and said so, instead of a call that read nothing.
        assert (got.usage.input_tokens, got.usage.source) == (None, MISSING)
        assert got.usage.output_tokens == case["expected"]["output_tokens"]
        assert "zero_input" in got.problems
    else:
        assert counts(got) == wanted(case["expected"])
        assert got.usage.source == REPORTED
        assert got.model == case["ai_message"]["response_metadata"]["model_name"]
    if case["expected"] and "service_tier" in case["expected"]:
        assert got.service_tier == case["expected"]["service_tier"]


@pytest.mark.parametrize("case", [param for param in cases("langchain") if param.values[0]["provider_usage_served"]])
def test_what_the_provider_served_to_langchain_gives_the_expected_counts(case):
    served = case["provider_usage_served"]
    if "message_start" in served:
        served = [
            {"type": "message_start", "message": {"usage": served["message_start"]}},
            {"type": "message_delta", "usage": served["message_delta"]},
        ]
        assert extract(served).usage.cache_write_1h_tokens == 23  # the message_start has the lifetimes, the delta has not
    elif case["id"] == "anthropic-stream-merged":
        served = [
            {"type": "message_start", "message": {"usage": served}},
            {"type": "message_delta", "usage": {"output_tokens": served["output_tokens"]}},
        ]
    got = counts(extract(served))
    if "cache_write_1h" not in case["expected"]:
        got.pop("cache_write_1h", None)
    assert got == wanted(case["expected"])


@pytest.mark.parametrize("case", [p for p in cases("langchain") if (p.values[0].get("llm_output") or {}).get("token_usage")])
def test_the_legacy_llm_output_gives_the_expected_counts(case):
    result = {"generations": [[{"text": "…", "generation_info": case["generation_info"]}]], "llm_output": case["llm_output"]}
    got = extract({**result, "type": "LLMResult"})
    assert counts(got) == wanted(case["expected"])
    assert got.model == case["llm_output"]["model_name"]


@pytest.mark.parametrize("case", cases("crewai"))
def test_crewais_metrics_give_the_expected_counts(case):
    given = extract(case["given_to_UsageMetrics.from_provider_dict"])
    if case["expected"] is None:
        assert given.usage.total_tokens is None
        assert extract(case["usage_metrics"]).usage.source == MISSING
        return
    assert counts(given).items() >= case["expected"].items()
    metrics = extract(case["usage_metrics"])
    if case["usage_metrics"]["total_tokens"]:
        assert counts(metrics).items() >= case["expected"].items()
    else:
        assert metrics.usage.source == MISSING
