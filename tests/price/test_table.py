"""Where genai-prices is the source, our compiled rates and its own calculation never differ."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from costspan.price import table
from costspan.price.book import PriceBook
from costspan.price.cost import cost_of
from costspan.price.rates import Rates
from costspan.price.schedule import to_ns
from costspan.records import Unpriced, Usage

IDS = {ours: theirs for ours, theirs in table._IDS.items() if ours not in ("azure.ai.inference", "gcp.vertex_ai", "gcp.gen_ai")}
NAMES = {theirs: ours for ours, theirs in IDS.items()}


@functools.cache
def _models():
    found = []
    for provider in providers:
        for model in provider.models:
            name = NAMES.get(provider.id, provider.id)
            hit = table.find(name, model.id)
            if hit is not None and hit.info is model:
                found.append((provider, model, hit))
    return found


@st.composite
def _usages(draw):
    read, write = draw(st.integers(0, 300_000)), draw(st.integers(0, 60_000))
    fresh = draw(st.sampled_from([0, 1, 7, 1000, 32_001, 99_999, 100_000, 199_999, 200_000, 200_001, 272_001, 1_000_000]))
    out, reasoning = draw(st.integers(0, 100_000)), draw(st.integers(0, 50_000))
    return Usage(
        input_tokens=fresh + read + write,
        output_tokens=out + reasoning,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=draw(st.integers(0, write)),
        reasoning_tokens=reasoning,
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pick=st.integers(0, 10**6),
    usage=_usages(),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    tier=st.sampled_from([None, None, "batch", "flex", "priority"]),
)
def test_compiled_rates_equal_the_librarys_own_price(pick, usage, at, tier):
    models = _models()
    provider, model, found = models[pick % len(models)]
    rates, of_tier = table.rates(found, to_ns(at), tier)
    assume(rates is not None)
    assume(tier is None or _active_variant(model, at, tier))
    assert of_tier == (tier is not None)
    theirs = model.calc_price(
        TheirUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        provider,
        genai_request_timestamp=at,
        price_context=table._CONTEXTS[tier] if tier else None,
    )
    assert abs(cost_of(rates, usage).amount_usd - theirs.total_price) <= Decimal("1e-20")


def _active_variant(model, at, tier):
    return any(
        variant.when.items() <= table._CONTEXTS[tier].items()
        and (variant.constraint is None or variant.constraint.active(at))
        and any(value is not None for value in vars(variant.prices).values())
        for variant in model.price_variants or ()
    )


def test_audio_is_priced_as_the_library_prices_it():
    found = table.find("openai", "gpt-realtime")
    assert found is not None
    at = datetime(2026, 11, 20, tzinfo=UTC)
    rates, _ = table.rates(found, to_ns(at), None)
    assert rates is not None
    ours = cost_of(rates, Usage(1000, 500, input_audio_tokens=600, output_audio_tokens=300))
    theirs = found.info.get_prices(at).calc_price(
        TheirUsage(input_tokens=1000, output_tokens=500, input_audio_tokens=600, output_audio_tokens=300)
    )
    assert ours.amount_usd == theirs["total_price"]


def test_most_of_the_table_is_reached_under_its_own_names():
    assert len(_models()) > 2000


def test_a_tier_recorded_from_a_later_day_holds_before_it_while_the_standard_price_is_the_same():
    found = table.find("openai", "gpt-4o")
    assert found is not None
    rates, of_tier = table.rates(found, to_ns(datetime(2026, 3, 1, tzinfo=UTC)), "batch")
    assert of_tier
    assert rates is not None
    assert rates.base.input == Decimal("0.00000125")


def test_models_billed_by_the_hour_or_the_character_have_no_token_price():
    found = table.find("openai", "gpt-realtime-whisper")
    assert found is not None
    assert table.rates(found, 0, None) == (None, False)


def test_models_whose_images_or_videos_cost_more_than_their_text_have_no_price():
    for provider, _, found in _models():
        prices = found.info.prices if isinstance(found.info.prices, list) else [found.info]
        if any({"output_image_mtok", "output_video_mtok"} & _keys(price.prices) for price in prices):
            assert table.rates(found, 0, None) == table.rates(found, 0, "batch") == (None, False), (provider.id, found.id)
            assert PriceBook().price(Usage(10, 1290), provider=NAMES.get(provider.id, provider.id), model=found.id, at_ns=0) == (
                Unpriced(
                    "unknown_model",
                    f"{NAMES.get(provider.id, provider.id)}/{found.id} is not billed by tokens of text alone; "
                    "add it to the file that COSTSPAN_PRICES names (docs/prices.md)",
                )
            )


def _keys(prices):
    return {key for key, value in vars(prices).items() if value is not None}


def test_a_free_model_costs_nothing_and_is_known():
    free = next(hit for _, model, hit in _models() if not isinstance(model.prices, list) and not vars(model.prices))
    rates, _ = table.rates(free, 0, None)
    assert rates is not None
    assert cost_of(rates, Usage(1000, 1000)).amount_usd == 0


def test_no_model_takes_the_price_of_another_whose_name_it_contains():
    book = PriceBook()
    listed = {
        (NAMES.get(provider.id, provider.id), name)
        for provider, _, hit in _models()
        for name in _told(hit)
        if not name.endswith(":free")
    }
    taken = [
        (who, longer)
        for who, name in sorted(listed)
        for longer in (f"{name}-ultra", f"my-{name}", f"acme.my-{name}")
        if (who, longer) not in listed and isinstance(book.rates(who, longer, 0), Rates)
    ]
    assert taken == []
    assert len(listed) > 2000


def _told(hit):
    return {name.rstrip("-@") for how, name in table.names(hit, "") if how != "whole"}


@pytest.mark.parametrize("name", ["nobody", "openai-but-not-really", ""])
def test_a_provider_is_found_by_its_exact_name_only(name):
    assert table.find(name, "gpt-4o") is None
    assert not table.knows(name)
