from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costspan import guard
from costspan.errors import SettingsError
from costspan.price.book import CACHED_MAX, PriceBook
from costspan.price.schedule import to_ns
from costspan.records import Cost, Unpriced, Usage

NOON = to_ns(datetime(2026, 11, 20, 12, tzinfo=UTC))
BOOK = PriceBook()
SMALL = Usage(1000, 100)


def cost(provider, model, usage=SMALL, *, book=BOOK, at=NOON, **more):
    priced = book.price(usage, provider=provider, model=model, at_ns=at, **more)
    return priced.amount_usd if isinstance(priced, Cost) else priced.reason


def on(*when):
    return to_ns(datetime(*when, tzinfo=UTC))


@pytest.fixture
def overridden(tmp_path):
    def write(*rows, strict=True):
        path = tmp_path / "prices.json"
        path.write_text(json.dumps({"prices": rows}), encoding="utf-8")
        return PriceBook(path, strict=strict)

    return write


def test_what_the_provider_stated_is_the_price_and_stays_in_one_piece():
    priced = BOOK.price(SMALL, provider="openrouter", model="openai/gpt-4o", at_ns=NOON, stated_cost_usd=Decimal("0.0042"))
    assert priced == Cost(Decimal("0.0042"), {"unsplit": Decimal("0.0042")}, "provider", "openrouter/openai/gpt-4o@stated")


@pytest.mark.parametrize("stated", [Decimal("NaN"), Decimal(-1), Decimal("Infinity"), 0.5, "0.5"])
def test_a_stated_cost_that_is_no_money_is_passed_over(stated):
    assert cost("openai", "gpt-4o", stated_cost_usd=stated) == Decimal("0.0035")


def test_the_parts_of_a_cost_add_up_to_it_whatever_the_hosts_decimal_precision():
    book, usage = PriceBook(), Usage(300_001, 12_345, 290_007, reasoning_tokens=999)
    with localcontext() as host:
        host.prec = 3
        priced = book.price(usage, provider="openai", model="gpt-6.1-sol", at_ns=NOON)
    assert isinstance(priced, Cost)
    assert sum(priced.by_type.values()) == priced.amount_usd == Decimal("0.2831524")


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 500_000), min_size=5, max_size=5),
    model=st.sampled_from(
        [("openai", "gpt-5"), ("anthropic", "claude-opus-5-5"), ("alibaba", "qwen3-max"), ("perplexity", "sonar-deep-research"),
         ("x_ai", "grok-4.7"), ("gcp.gemini", "gemini-2.5-pro")]
    ),
)  # fmt: skip
def test_parts_are_exact_for_any_usage(counts, model):
    fresh, read, write, visible, reasoning = counts
    usage = Usage(fresh + read + write, visible + reasoning, read, write, write // 3, reasoning)
    priced = BOOK.price(usage, provider=model[0], model=model[1], at_ns=NOON, fees={"web_search": 3})
    assert isinstance(priced, Cost)
    assert sum(priced.by_type.values(), Decimal(0)) == priced.amount_usd


def test_unknown_models_are_never_zero_and_say_what_to_do():
    priced = BOOK.price(SMALL, provider="openai", model="gpt-77", at_ns=NOON)
    assert priced == Unpriced(
        "unknown_model", "openai has no price for 'gpt-77'; add it to the file that COSTSPAN_PRICES names (docs/prices.md)"
    )


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        (None, "deepseek-r1:8b", "unknown_provider"),
        (None, "gpt-oss-20b", "unknown_provider"),
        ("langchain", "llama3", "unknown_provider"),
        ("acme", "gpt-4o", "unknown_provider"),
        ("my-openai-proxy", "gpt-4o", "unknown_provider"),
        ("azure", "my-prod-deployment", "unknown_model"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "unknown_model"),
        ("openai", "ft:gpt-77:acme::abc", "unknown_model"),
        ("openai", "claude-opus-5-5", "unknown_model"),
        ("openai", None, "unknown_model"),
        ("openai", "", "unknown_model"),
        (None, None, "unknown_model"),
        ("anthropic", "claude-opus-9", "unknown_model"),
        ("ollama", "gpt-oss:120b-cloud", "unknown_model"),
        ("deepseek", "deepseek-r1:8b", "unknown_model"),
        ("deepseek", "deepseek-chat-v9", "unknown_model"),
        ("openai", "gpt-oss-20b", "unknown_model"),
        ("google", "gemini-2.5-pro-ultra", "unknown_model"),
        ("azure_ai", "DeepSeek-R1", "unknown_model"),
        ("azure", "my-o4-mini-deployment", "unknown_model"),
        ("azure", "o4-mini-deep-research", "unknown_model"),
        ("azure_ai", "claude-sonnet-4-5-prod", "unknown_model"),
        ("moonshot", "kimi-k2.5-mega", "unknown_model"),
        ("deepseek", "deepseek-v4-flash-turbo", "unknown_model"),
        ("vertex_ai", "claude-opus-4-5-mega", "unknown_model"),
        ("aws.bedrock", "us.amazon.nova-pro-mega-v1:0", "unknown_model"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:custom-model/amazon.nova-lite-v1:0/abc", "unknown_model"),
        ("openai", "whisper-1", "unknown_model"),
    ],
)
def test_what_nobody_prices_stays_unknown(provider, model, reason):
    assert cost(provider, model) == reason


@pytest.mark.parametrize("provider", ["ollama", "vllm", "lm_studio", "llamacpp", "tgi", "ollama_chat"])
def test_models_on_own_hardware_cost_nothing_and_the_price_row_says_local(provider):
    priced = BOOK.price(Usage(None, 12), provider=provider, model="llama3.1:8b", at_ns=NOON)
    assert isinstance(priced, Cost)
    assert (priced.amount_usd, priced.source) == (0, "table")
    assert priced.ref.endswith("/llama3.1:8b@local")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 5, cache_read_tokens=11),
        Usage(-1, 5),
        Usage(True, 5),
        Usage("10", 5),  # type: ignore[arg-type]
        Usage(10.5, 5),  # type: ignore[arg-type]
        Usage(10, 5, reasoning_tokens=6),
        Usage(10, 5, cache_write_1h_tokens=3),
        Usage(),
        Usage(None, 5),
        Usage(5, None),
    ],
    ids=str,
)
def test_absurd_usage_is_named_and_not_priced(usage):
    assert cost("openai", "gpt-4o", usage) == "invalid_usage"


def test_absurd_arguments_never_raise():
    assert cost("openai", ["gpt-4o"]) == "invalid_usage"
    assert cost({}, "gpt-4o") == "invalid_usage"
    assert cost("openai", "gpt-4o", at=None) == "invalid_usage"
    for fees in ({"web_search": -1}, "web_search", [1], 3):
        assert cost("openai", "gpt-4o", fees=fees) == "invalid_usage"
    assert cost("openai", "gpt-4o", service_tier=7) == Decimal("0.0035")
    assert cost("openai", 7) == "unknown_model"
    assert BOOK.canonical([], {}) == (None, None)
    assert isinstance(cost("openai", "gpt-4o", at=-(1 << 70)), Decimal)
    assert isinstance(cost("openai", "gpt-4o", at=1 << 70), Decimal)


def test_an_embedding_has_no_output_to_count():
    assert cost("openai", "text-embedding-3-small", Usage(1_000_000, None)) == Decimal("0.02")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "openai/gpt-4o"),
        (None, "openai/gpt-4o"),
        (None, "gpt-4o-2024-08-06"),
        ("litellm", "openai/gpt-4o"),
        ("azure", "gpt-4o"),
        ("az.ai.openai", "azure/gpt-4o-2024-11-20"),
        ("azure.ai.inference", "gpt-4o"),
        ("openrouter", "openai/gpt-4o"),
    ],
)
def test_every_spelling_has_one_price(provider, model):
    assert cost(provider, model) == Decimal("0.0035")


GOOGLE = pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("google_genai", "models/gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro"),
        ("google_vertexai", "projects/p/locations/eu/publishers/google/models/gemini-2.5-pro"),
        (None, "vertex_ai/gemini-2.5-pro"),
        (None, "google-gla:gemini-2.5-pro"),
    ],
)


def test_variants_of_a_name_that_the_table_lists_are_the_model():
    assert cost("google", "gemini-2.5-pro-preview-05-06") == cost("google", "gemini-2.5-pro")
    assert cost("openai", "gpt-5-chat-latest") == cost("openai", "gpt-5")
    assert cost("anthropic", "claude-4-5-sonnet") == cost("anthropic", "claude-sonnet-4-5-20250929")


@GOOGLE
def test_googles_spellings_have_one_price(provider, model):
    assert cost(provider, model) == Decimal("0.00225")


def test_the_table_lists_some_models_by_a_part_of_their_names():
    assert cost("cohere", "c4ai-aya-expanse-32b") == Decimal("0.00065")
    assert cost("vertex_ai", "anthropic/claude-opus-4-5@20251101") == cost("anthropic", "claude-opus-4-5")
    assert cost("bedrock", "amazon.titan-text-express-v1:0:8k") == cost("bedrock", "eu-west-1/amazon.titan-text-express-v1")
    assert cost("bedrock", "us.amazon.nova-pro-v1:0:300k") == cost("bedrock", "amazon.nova-pro-v1:0")
    assert cost("bedrock", "qwen.qwen3-coder-30b-a3b-instruct") == cost("bedrock", "qwen.qwen3-coder-30b-a3b-v1:0")
    assert cost("openrouter", "openai/gpt-6.1-sol-pro-20261010") == cost("openrouter", "openai/gpt-6.1-sol")
    assert cost("openai", "omni-moderation-latest") == 0


def test_regional_profiles_cost_more_than_global_ones():
    name = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    everywhere = cost("bedrock", f"global.{name}")
    assert cost("bedrock", f"eu.{name}") == everywhere * Decimal("1.1")
    assert cost("bedrock", f"arn:aws:bedrock:eu-west-1:1:inference-profile/eu.{name}") == everywhere * Decimal("1.1")
    nova = cost("bedrock", "us.amazon.nova-pro-v1:0")
    assert cost("bedrock", "eu.amazon.nova-pro-v1:0") == nova * Decimal("1.15")


def test_the_tier_comes_from_the_response_and_standard_words_change_nothing():
    standard = cost("openai", "gpt-6.1-sol")
    for word in ("default", "auto", "standard", "", None):
        assert cost("openai", "gpt-6.1-sol", service_tier=word) == standard
    assert cost("openai", "gpt-6.1-sol", service_tier="priority") == 2 * standard
    assert cost("openai", "gpt-6.1-sol", service_tier="flex") == standard / 2
    assert cost("openai", "gpt-6.1-sol", batch=True) == standard / 2
    assert cost("anthropic", "claude-opus-5-5", service_tier="batch") == cost("anthropic", "claude-opus-5-5") / 2
    assert cost("anthropic", "claude-opus-5-5", service_tier="priority") == cost("anthropic", "claude-opus-5-5")
    assert cost("azure", "gpt-4o", batch=True) == cost("openai", "gpt-4o") / 2
    assert cost("xai", "grok-4.7", batch=True) == cost("xai", "grok-4.7") * Decimal("0.8")


def test_geminis_tiers_cost_what_google_lists():
    cached = Usage(10_000, 1000, 8000)
    standard = cost("gemini", "gemini-2.5-pro", cached)
    assert standard == Decimal("0.0135")
    for provider, word in (("gemini", "priority"), ("vertex_ai", "ON_DEMAND_PRIORITY")):
        assert cost(provider, "gemini-2.5-pro", cached, service_tier=word) == standard * Decimal("1.8")
    assert cost("gemini", "gemini-2.5-pro", cached, at=on(2026, 4, 1), service_tier="priority") == standard
    for model in ("gemini-2.5-pro", "gemini-3.8-flash"):
        batch = cost("gemini", model, cached, batch=True)
        assert cost("gemini", model, cached, service_tier="flex") == batch
        assert cost("vertex_ai", model, cached, service_tier="ON_DEMAND_FLEX") == batch
    assert cost("gemini", "gemini-2.5-pro", cached, batch=True) == Decimal("0.00725"), "reads from the cache are not halved"
    assert cost("vertex_ai", "claude-opus-5", service_tier="priority") == cost("vertex_ai", "claude-opus-5")


def test_azure_sells_openais_tiers_at_openais_prices():
    for tier in ("flex", "priority"):
        priced = BOOK.price(SMALL, provider="azure", model="gpt-5", at_ns=NOON, service_tier=tier)
        assert isinstance(priced, Cost)
        assert priced.amount_usd == cost("openai", "gpt-5", service_tier=tier)
        assert priced.ref.endswith(f"+{tier}")


def test_a_tier_that_the_list_has_at_the_standard_price_is_no_cheaper():
    for at in (NOON, on(2026, 3, 1)):
        assert cost("openai", "gpt-3.5-turbo-1106", at=at, batch=True) == cost("openai", "gpt-3.5-turbo-1106")


def test_fine_tuned_models_have_batch_prices_of_their_own():
    usage = Usage(10_000, 1000, 8000)
    assert cost("openai", "ft:gpt-4o-2024-08-06:acme::a", usage, batch=True) == Decimal("0.02415")
    assert cost("openai", "ft:gpt-4.1-2025-04-14:acme::a", usage, batch=True) == Decimal("0.013")
    assert cost("openai", "ft:gpt-4o-mini-2024-07-18:acme::a", usage, batch=True) == Decimal("0.0015")


def test_the_price_row_names_the_tier_that_was_applied():
    priced = BOOK.price(SMALL, provider="openai", model="gpt-4o", at_ns=NOON, batch=True)
    assert isinstance(priced, Cost)
    assert priced.ref.startswith("openai/gpt-4o@")
    assert priced.ref.endswith("+batch")


def test_a_threshold_moves_every_token_of_that_call():
    below, above = cost("xai", "grok-4.7", Usage(199_999, 1000)), cost("xai", "grok-4.7", Usage(200_000, 1000))
    assert below == Decimal("0.405998")
    assert above == Decimal("0.812")


@pytest.mark.parametrize(
    ("provider", "model", "factor"),
    [
        ("anthropic", "claude-sonnet-4-20250514", "1"),
        ("anthropic", "claude-sonnet-4-5-20250929", "1"),
        ("vertex_ai", "claude-sonnet-4@20250514", "1"),
        ("vertex_ai", "claude-sonnet-4-5@20250929", "1"),
        ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", "1"),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "1"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "1.1"),
    ],
)
def test_sonnet_4s_long_context_costs_twice_wherever_it_is_sold(provider, model, factor):
    at = on(2026, 1, 10)
    for tokens, price in ((200_000, "0.615"), (200_001, "1.222506")):
        assert cost(provider, model, Usage(tokens, 1000), at=at) == Decimal(price) * Decimal(factor)
    assert cost(provider, model, Usage(200_001, 0, 200_001), at=at) == Decimal("0.1200006") * Decimal(factor)


@pytest.mark.parametrize(
    ("model", "below", "above"), [("openai.gpt-5.4", "0.7645", "1.52075"), ("openai.gpt-5.5", "1.529", "3.0415")]
)
def test_openais_models_have_their_threshold_on_bedrock_too(model, below, above):
    assert cost("bedrock", model, Usage(272_000, 1000)) == Decimal(below)
    assert cost("bedrock", model, Usage(272_001, 1000)) - Decimal(above) < Decimal("0.0001")


def test_what_one_cloud_sells_at_a_price_of_its_own_is_not_anothers():
    assert cost("google", "gemini-2.0-flash-001") == Decimal("0.00014")
    assert cost("vertex_ai", "gemini-2.0-flash-001") == Decimal("0.00021")
    assert cost("google", "gemma-3-27b-it") == 0
    assert cost("vertex_ai", "gemma-3-27b-it") == "unknown_model"
    assert cost("vertex_ai", "gemma-4-26b-a4b-it") == "unknown_model"
    assert cost("azure_ai", "gpt-oss-120b") == cost("azure", "gpt-oss-120b") == "unknown_model"
    assert cost("azure_ai", "grok-3-mini") == "unknown_model"
    assert cost("bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0") == "unknown_model"
    assert cost("bedrock", "us-gov-west-1/amazon.nova-pro-v1:0") == "unknown_model"


def test_five_minute_and_one_hour_cache_writes_have_their_own_prices():
    usage = Usage(10_000, 0, cache_write_tokens=8000, cache_write_1h_tokens=3000)
    priced = BOOK.price(usage, provider="anthropic", model="claude-sonnet-4-5", at_ns=NOON)
    assert isinstance(priced, Cost)
    assert priced.by_type == {"input_uncached": Decimal("0.006"), "input_cache_write": Decimal("0.03675")}


def test_reasoning_has_its_own_price_where_the_list_has_one():
    assert cost("perplexity", "sonar-deep-research", Usage(0, 1000, reasoning_tokens=1000)) == Decimal("0.003")
    assert cost("openai", "o3", Usage(0, 1000, reasoning_tokens=1000)) == Decimal("0.008")


def test_qwen_sells_thinking_at_another_list():
    assert cost("dashscope", "qwen-plus", Usage(1000, 1000)) == Decimal("0.0016")
    assert cost("dashscope", "qwen-plus", Usage(1000, 1000, reasoning_tokens=400)) == Decimal("0.0044")


def test_fees_are_priced_where_the_list_has_them():
    priced = BOOK.price(SMALL, provider="anthropic", model="claude-opus-5-5", at_ns=NOON, fees={"web_search": 3, "massage": 1})
    assert isinstance(priced, Cost)
    assert priced.by_type["fee"] == Decimal("0.03")
    assert cost("perplexity", "sonar", Usage(0, 0)) == Decimal("0.012")


@pytest.mark.parametrize(
    ("at", "peak"),
    [
        (on(2026, 11, 20, 0, 59, 59), False),
        (on(2026, 11, 20, 1), True),
        (on(2026, 11, 20, 3, 59, 59), True),
        (on(2026, 11, 20, 4), False),
        (on(2026, 11, 20, 9, 59, 59), True),
        (on(2026, 11, 20, 10), False),
        (on(2026, 11, 21, 2), False),
        (on(2026, 11, 22, 7), False),
        (on(2026, 10, 1, 2), False),
        (on(2026, 10, 8, 2), True),
        (on(2026, 9, 25, 7), False),
    ],
)
def test_deepseek_is_dear_in_beijings_working_hours_only(at, peak):
    assert cost("deepseek", "deepseek-flash", at=at) == Decimal("0.00021") * (2 if peak else 1)


@pytest.mark.parametrize(("at", "peak"), [(on(2026, 8, 22, 2), True), (on(2026, 8, 22, 5), False), (on(2026, 8, 23, 2), False)])
def test_deepseeks_first_weekend_of_peak_hours_was_no_cheaper(at, peak):
    for model, off_peak in (("deepseek-v4-flash", "0.000286"), ("deepseek-v4-pro", "0.000858")):
        assert cost("deepseek", model, at=at) == Decimal(off_peak) * (2 if peak else 1)


def test_a_cached_price_ends_with_its_period():
    book = PriceBook()
    moments = [on(2026, 11, 20, 2), on(2026, 11, 20, 5), on(2026, 11, 20, 7), on(2026, 11, 21, 7), on(2026, 11, 23, 7)]
    expected = [cost("deepseek", "deepseek-flash", book=PriceBook(), at=at) for at in moments]
    for _ in range(3):
        assert [cost("deepseek", "deepseek-flash", book=book, at=at) for at in moments] == expected
        assert [cost("deepseek", "deepseek-flash", book=book, at=at) for at in reversed(moments)] == expected[::-1]
    assert cost("openai", "o3", book=book, at=on(2025, 6, 1)) == 5 * cost("openai", "o3", book=book, at=on(2025, 7, 1))


def test_retired_spellings_keep_their_dated_prices():
    million = Usage(1_000_000, 0)
    assert [
        cost("deepseek", "deepseek-chat", million, at=at)
        for at in (on(2025, 1, 5), on(2025, 3, 1, 12), on(2025, 3, 1, 20), on(2025, 9, 10), on(2025, 10, 15), on(2026, 6, 1))
    ] == [Decimal(text) for text in ("0.14", "0.27", "0.135", "0.56", "0.28", "0.14")]


def test_an_alias_that_moves_from_model_to_model_has_the_price_of_its_day_or_none():
    million = Usage(1_000_000, 0)
    moments = (on(2025, 9, 24), on(2025, 10, 15), on(2026, 1, 20, 23), on(2026, 1, 21), on(2026, 7, 1), NOON, on(2027, 1, 1))
    expected = ("unknown_model", "0.3", "0.3", "0.5", "unknown_model", "0.75", "1.5")
    got = [cost("gemini", "gemini-flash-latest", million, at=at) for at in moments]
    assert got == [text if text == "unknown_model" else Decimal(text) for text in expected]
    assert cost("gemini", "gemini-flash-lite-latest", at=on(2026, 6, 1)) == "unknown_model"
    assert cost("gemini", "gemini-pro-latest", at=on(2026, 1, 20)) == cost("gemini", "gemini-2.5-pro")
    assert cost("gemini", "gemini-pro-latest") == cost("gemini", "gemini-3.1-pro-preview")


def test_a_name_that_its_provider_gave_to_another_model_has_that_ones_price_from_then_on():
    assert cost("xai", "grok-code-fast-1", at=on(2026, 5, 15, 18, 59)) == Decimal("0.00035")
    assert cost("xai", "grok-code-fast-1", at=on(2026, 5, 15, 19)) == cost("xai", "grok-build-0.1") == Decimal("0.0012")
    long = Usage(200_000, 0)
    assert cost("xai", "grok-code-fast", long) == cost("xai", "grok-build-0.1", long) == Decimal("0.4")
    assert cost("mistral", "mistral-medium", at=on(2026, 6, 1)) == cost("mistral", "mistral-medium-2508")
    assert cost("mistral", "mistral-medium") == cost("mistral", "mistral-medium-2604")


def test_the_aliases_of_grok_420_have_its_price():
    for at in (on(2026, 4, 1), NOON):
        for usage in (SMALL, Usage(200_000, 1000, 100_000)):
            for name in ("grok-4.20-non-reasoning", "grok-4.20-reasoning-latest", "grok-4.20-beta"):
                assert cost("xai", name, usage, at=at) == cost("xai", "grok-4.20", usage, at=at)
                assert cost("xai", name, usage, at=at, batch=True) == cost("xai", "grok-4.20", usage, at=at, batch=True)
    assert BOOK.canonical("xai", "grok-4.20-non-reasoning") == BOOK.canonical("xai", "grok-4.20")


def test_a_name_that_its_provider_took_back_has_no_price_after_that():
    for model in ("deepseek-chat", "deepseek-reasoner"):
        assert cost("deepseek", model, at=on(2026, 7, 24, 15, 58)) == Decimal("0.000168")
        assert cost("deepseek", model, at=on(2026, 7, 24, 15, 59)) == "unknown_model"


def test_cached_input_has_its_price_of_before_the_cut_too():
    all_cached = Usage(1_000_000, 0, 1_000_000)
    assert [cost("openai", "o3", all_cached, at=on(2025, 6, day)) for day in (9, 10)] == [Decimal("2.5"), Decimal("0.5")]


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("anthropic", "claude-mythos-5", "0.015"),
        ("anthropic", "claude-mythos-5-1-20261001", "0.015"),
        ("mistral", "devstral-medium-2507", "0.0006"),
        ("mistral", "magistral-small", "0.00065"),
        ("gemini", "gemini-2.5-computer-use-preview-10-2025", "0.00225"),
        ("cohere", "embed-english-v3.0", "0.0001"),
        ("zai", "glm-5-turbo", "0.0016"),
        ("zai", "glm-4.7-flash", "0"),
    ],
)
def test_models_that_the_table_lacks(provider, model, expected):
    assert cost(provider, model) == Decimal(expected)


def test_a_snapshot_shares_its_aliass_id_only_where_the_price_is_the_same():
    assert BOOK.canonical("openai", "gpt-4o-2024-08-06") == BOOK.canonical("ChatOpenAI", "openai/gpt-4o") == ("openai", "gpt-4o")
    assert BOOK.canonical("openai", "gpt-4o-2024-05-13") != BOOK.canonical("openai", "gpt-4o")
    assert BOOK.canonical("mistral", "mistral-large-latest") == BOOK.canonical("mistral", "mistral-large-2512")
    assert BOOK.canonical("mistral", "mistral-large-2411") != BOOK.canonical("mistral", "mistral-large-latest")
    assert BOOK.canonical("bedrock", "eu.amazon.nova-pro-v1:0") != BOOK.canonical("bedrock", "us.amazon.nova-pro-v1:0")


def test_names_nobody_knows_come_back_clean():
    assert BOOK.canonical("Azure", " My-Deployment ") == ("azure.ai.openai", "my-deployment")
    assert BOOK.canonical(None, "llama3:latest") == (None, "llama3:latest")
    assert BOOK.canonical("ollama", "llama3:latest") == ("ollama", "llama3:latest")
    assert BOOK.canonical(None, "claude-opus-5-5") == ("anthropic", "claude-opus-5-5")
    assert BOOK.canonical("openai", None) == ("openai", None)
    assert BOOK.canonical("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc") == ("openai", "ft:gpt-4o-mini-2024-07-18")


def test_the_context_window_is_the_whole_window():
    assert BOOK.context_window("openai", "gpt-5-2025-08-07") == 400_000
    assert BOOK.context_window("anthropic", "claude-opus-4-1-20250805") == 200_000
    assert BOOK.context_window("google", "gemini-2.5-pro-preview-05-06") == 1_048_576
    assert BOOK.context_window("openai", "gpt-77") is None
    assert BOOK.context_window(None, None) is None


def test_the_table_knows_how_fresh_it_is():
    assert on(2026, 11, 1) / 1e9 < BOOK.table_timestamp < datetime.now(UTC).timestamp() + 86_400 * 365


def test_an_override_wins_over_the_table_for_its_time_only(overridden):
    book = overridden(
        {"provider": "openai", "model": "gpt-4o*", "input": 1, "output": "2.5", "from": "2026-01-01", "until": "2026-12-01"}
    )
    assert cost("openai", "openai/gpt-4o-2024-08-06", book=book) == Decimal("0.00125")
    priced = book.price(SMALL, provider="openai", model="gpt-4o", at_ns=NOON)
    assert isinstance(priced, Cost)
    assert (priced.source, priced.ref) == ("override", "openai/gpt-4o@2026-01-01")
    assert cost("openai", "gpt-4o", book=book, at=on(2025, 12, 31)) == Decimal("0.0035")
    assert cost("openai", "gpt-4o", book=book, at=on(2026, 12, 1)) == Decimal("0.0035")
    assert cost("anthropic", "claude-opus-5-5", book=book) == cost("anthropic", "claude-opus-5-5")


@pytest.mark.parametrize(
    ("names", "told", "requested", "dollars"),
    [
        (["gpt-5-mini"], "gpt-5-mini-2025-08-07", None, "0.0011"),
        (["gpt-5-mini"], "gpt-5-mini-2025-08-07", "gpt-5-mini", "0.0011"),
        (["openai/gpt-5-mini"], "gpt-5-mini-2025-08-07", "openai/gpt-5-mini", "0.0011"),
        (["gpt-5*", "gpt-5-mini"], "gpt-5-mini-2025-08-07", None, "0.0022"),
        (["gpt-5-mini-2025-08-07", "gpt-5-mini"], "gpt-5-mini-2025-08-07", "gpt-5-mini", "0.0011"),
        (["house", "gpt-5-mini"], "gpt-5-mini-2025-08-07", "house", "0.0022"),
        (["gpt-5-mini-2*", "house"], "gpt-5-mini-2025-08-07", "house", "0.0022"),
        (["house", "gpt-5-mini-2*"], "house-2026-01-01", "house", "0.0011"),
        (["gpt-4o"], "gpt-4o-2024-05-13", "gpt-4o", "0.0011"),
        (["gpt-4o"], "gpt-4o-2024-05-13", None, "0.0065"),
        (["gpt-5-mini"], "gpt-5-nano-2025-08-07", "gpt-5-nano", "0.00009"),
    ],
)  # fmt: skip
def test_an_override_is_found_under_the_told_the_canonical_and_the_requested_name(overridden, names, told, requested, dollars):
    rows = [{"provider": "openai", "model": name, "input": n, "output": n} for n, name in enumerate(names, start=1)]
    assert cost("openai", told, book=overridden(*rows), requested=requested) == Decimal(dollars)


def test_a_deployments_row_counts_for_the_model_that_answers_under_its_name(overridden):
    book = overridden({"provider": "azure", "model": "my-prod", "same_as": "gpt-4o", "factor": 2})
    assert cost("azure", "gpt-4o-2024-08-06", book=book, requested="my-prod") == Decimal("0.007")
    assert cost("azure", "gpt-4o-2024-08-06", book=book, requested="other") == Decimal("0.0035")
    assert book.canonical("azure", "gpt-4o-2024-08-06", "my-prod") == ("azure.ai.openai", "gpt-4o")


def test_an_override_that_starts_later_is_not_missed_after_an_unknown_answer(overridden):
    book = overridden({"model": "house-model", "input": 1, "output": 1, "from": "2026-11-21"})
    assert cost("acme", "house-model", book=book) == "unknown_provider"
    assert cost("acme", "house-model", book=book, at=on(2026, 11, 21)) == Decimal("0.0011")


def test_a_deployment_is_another_models_name(overridden):
    book = overridden({"provider": "azure", "model": "my-prod-deployment", "same_as": "gpt-4o", "factor": 1.1})
    assert cost("azure", "my-prod-deployment", book=book) == Decimal("0.00385")
    assert cost("azure", "my-prod-deployment", book=book, batch=True) == Decimal("0.001925")
    assert book.canonical("azure", "my-prod-deployment") == ("azure.ai.openai", "gpt-4o")
    assert book.context_window("azure", "my-prod-deployment") == 128_000


def test_a_discount_on_a_model_itself_is_no_endless_loop(overridden):
    book = overridden(
        {"provider": "openai", "model": "gpt-4o", "same_as": "gpt-4o", "factor": 0.5},
        {"model": "a", "same_as": "b"},
        {"model": "b", "same_as": "a"},
    )
    assert cost("openai", "gpt-4o", book=book) == Decimal("0.00175")
    assert cost("acme", "a", book=book) == "unknown_model"


def test_local_models_can_be_given_a_price(overridden):
    book = overridden({"provider": "vllm", "model": "*", "input": 0.1, "output": 0.2})
    assert cost("vllm", "anything", book=book) == Decimal("0.00012")
    assert cost("ollama", "anything", book=book) == 0


def test_an_override_can_hold_tiers_cliffs_fees_and_a_request_price(overridden):
    book = overridden(
        {"provider": "acme", "model": ["big", "big-2"], "input": 1, "output": 2, "cache_read": 0.1, "request": 0.5,
         "above": [{"input_tokens": 100, "input": 10}], "fees": {"web_search": 0.25}, "context_window": 9000},
        {"provider": "acme", "model": "big", "tier": "batch", "input": 0.5, "output": 1},
    )  # fmt: skip
    assert cost("acme", "big", Usage(100, 0), book=book) == Decimal("0.5001")
    assert cost("acme", "big-2", Usage(101, 0, cache_read_tokens=1), book=book, fees={"web_search": 2}) == Decimal("1.0010001")
    assert cost("acme", "big", Usage(100, 0), book=book, batch=True) == Decimal("0.00005")
    assert book.context_window("acme", "big") == 9000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1 column 2: not JSON"),
        ('{"price": []}', "has no list of prices"),
        ('[{"model": "a", "input": ' + "9" * 5_000 + "}]", "a number of more digits"),
        ("[1]", "price 1: must be an object"),
        ('[{"model": "a"}]', "has no price"),
        ('[{"model": "a", "input": "cheap", "output": 1}]', "'input' is 'cheap', not a price"),
        ('[{"model": "a", "input": -1, "output": 1}]', "'input' is -1"),
        ('[{"model": "a", "input": true, "output": 1}]', "'input' is True"),
        ('[{"model": "a", "input": NaN, "output": 1}]', "'input' is nan"),
        ('[{"model": "a", "imput": 1, "output": 1}]', "unknown key 'imput'"),
        ('[{"model": 7, "input": 1, "output": 1}]', '"model" must be a name'),
        ('[{"model": "a", "input": 1, "from": "soon"}]', "'from' is 'soon', not a date"),
        ('[{"model": "a", "input": 1, "from": "2026-02-01", "until": "2026-01-01"}]', '"until" is not after "from"'),
        ('[{"model": "a", "input": 1, "above": {"input_tokens": 5}}]', '"above" must be a list'),
        ('[{"model": "a", "input": 1, "tier": "gold"}]', "'tier' is 'gold'"),
        ('[{"model": "a", "input": 1, "same_as": "b"}]', "keep one of them"),
    ],
)
def test_a_broken_price_file_is_told_in_one_line_and_the_rest_counts(tmp_path, caplog, text, says):
    path = tmp_path / "prices.json"
    path.write_text(text, encoding="utf-8")
    guard.reset()
    told = _told(path)
    guard.reset()
    caplog.clear()
    assert says in told
    assert f"price file {path}" in told
    assert "\n" not in told
    with caplog.at_level(logging.WARNING, "costspan"):
        book = PriceBook(path)
        PriceBook(path)
    assert [says in record.getMessage() for record in caplog.records] == [True]
    assert cost("openai", "gpt-4o", book=book) == Decimal("0.0035")


def _told(path):
    try:
        (problem,) = PriceBook(path, strict=True).problems
    except SettingsError as error:
        return str(error)
    return problem


def test_a_price_file_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        PriceBook(tmp_path / "none.json", strict=True)
    assert cost("openai", "gpt-4o", book=PriceBook(tmp_path / "none.json")) == Decimal("0.0035")


def test_good_rows_beside_a_bad_one_are_kept(overridden):
    book = overridden({"model": "bad"}, {"provider": "openai", "model": "gpt-4o", "input": 1, "output": 1}, strict=False)
    assert cost("openai", "gpt-4o", book=book) == Decimal("0.0011")


def test_arbitrary_names_do_not_grow_the_caches_nor_the_tables():
    from genai_prices.data_snapshot import get_snapshot

    book = PriceBook()
    for number in range(CACHED_MAX + 500):
        book.price(SMALL, provider="openai", model=f"made-up-{number}", at_ns=NOON)
        book.canonical("openai", f"made-up-{number}")
    snapshot = get_snapshot()
    assert max(len(cache) for cache in (book._rates, book._older, book._matches, book._names)) == CACHED_MAX
    assert not snapshot._provider_misses
    assert not snapshot._lookup_cache
    assert not snapshot._provider_cache


def test_threads_share_one_book():
    book = PriceBook()
    found: list[set[object]] = []

    def work():
        seen = set()
        for number in range(300):
            seen.add(cost("openai", ("gpt-4o", "gpt-4.1", f"x{number % 7}")[number % 3], book=book))
        found.append(seen)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{Decimal("0.0035"), Decimal("0.0028"), "unknown_model"}] * 8


def test_the_table_loads_with_the_first_price_and_not_before():
    code = (
        "import sys, costspan, costspan.price.book as book\n"
        "b = book.PriceBook()\n"
        "assert not any(m.startswith(('genai_prices', 'pydantic')) for m in sys.modules)\n"
        "b.preload()\n"
        "assert 'genai_prices.data' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
