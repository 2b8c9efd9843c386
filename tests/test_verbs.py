"""The four public verbs, as somebody without spans uses them."""

from __future__ import annotations

import doctest
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from langchain_core.messages import AIMessage

import costspan
from costspan import verbs
from costspan.errors import UsageError
from costspan.intake.report_files import report_files
from costspan.price.book import PriceBook
from costspan.records import MISSING, Cost, Unpriced, Usage
from costspan.report.run_json import to_record, write
from made_runs import PIPELINE, made_call

NOON = "2026-11-20T12:00:00Z"
HAIKU = {
    "model": "claude-haiku-4-5",
    "type": "message",
    "usage": {"input_tokens": 5000, "cache_read_input_tokens": 5000, "output_tokens": 1000},
}


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch):
    monkeypatch.delenv("COSTSPAN_PRICES", raising=False)


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(verbs).failed == 0
    assert doctest.testmod(verbs).attempted >= 8


def test_the_public_names_are_these_functions():
    assert costspan.extract_usage is verbs.extract_usage
    assert costspan.calculate_cost is verbs.calculate_cost
    assert costspan.aggregate is verbs.aggregate
    assert costspan.format_summary is verbs.format_summary


def test_a_response_is_priced_by_what_it_says_of_itself():
    cost = costspan.calculate_cost(HAIKU, at=NOON)
    assert isinstance(cost, Cost)
    assert cost.amount_usd == Decimal("0.0105")
    assert sum(cost.by_type.values()) == cost.amount_usd


def test_a_langchain_message_is_priced_like_its_provider_answer():
    usage = {"input_tokens": 10000, "output_tokens": 1000, "total_tokens": 11000, "input_token_details": {"cache_read": 5000}}
    told = {"model_provider": "anthropic", "model_name": "claude-haiku-4-5"}
    cost = costspan.calculate_cost(AIMessage("x", usage_metadata=usage, response_metadata=told), at=NOON)
    assert cost.amount_usd == Decimal("0.0105")


def test_a_stated_cost_is_the_cost_whatever_else_is_known():
    cost = costspan.calculate_cost({"model": "nobody/knows", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.02}})
    assert (cost.amount_usd, cost.source) == (Decimal("0.02"), "provider")


def test_cohere_is_priced_by_its_billed_units_and_counted_by_its_tokens():
    units, tokens = {"input_tokens": 431.0, "output_tokens": 661.0}, {"input_tokens": 2190.0, "output_tokens": 1257.0}
    answer = {"id": "1", "usage": {"billed_units": units, "tokens": tokens}}
    named = {"model": "command-r-08-2024", "provider": "cohere", "at": NOON}
    billed = costspan.calculate_cost({"prompt_tokens": 431, "completion_tokens": 661}, **named)
    for form in (answer, answer["usage"]):
        assert costspan.calculate_cost(form, **named) == billed
        assert costspan.extract_usage(form) == Usage(2190, 1257)
    run = costspan.aggregate({"PM": answer}, model="command-r-08-2024", at=NOON)
    assert (run.totals.usage.total_tokens, run.totals.cost_usd) == (2190 + 1257, billed.amount_usd)
    unbilled = {"id": "1", "usage": {"tokens": tokens}}
    assert costspan.calculate_cost(unbilled, **named).amount_usd > billed.amount_usd


def test_a_line_of_a_batch_file_is_priced_by_the_batch_list():
    body = {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}}
    assert costspan.calculate_cost(line, at=NOON) == costspan.calculate_cost(body, at=NOON, batch=True)
    assert 2 * costspan.calculate_cost(line, at=NOON).amount_usd == costspan.calculate_cost(body, at=NOON).amount_usd


def test_passes_billed_beside_the_answer_are_in_its_cost():
    alone = {"input_tokens": 1000, "output_tokens": 100}
    beside = {"type": "compaction", "input_tokens": 1000, "output_tokens": 100}
    response = {"type": "message", "model": "claude-haiku-4-5", "usage": {**alone, "iterations": [beside]}}
    one = costspan.calculate_cost(alone, model="claude-haiku-4-5", at=NOON)
    both = costspan.calculate_cost(response, at=NOON)
    assert both.amount_usd == 2 * one.amount_usd == sum(both.by_type.values())
    unknown = {**beside, "model": "nobody-knows-1", "type": "advisor_message"}
    response["usage"]["iterations"] = [unknown]
    assert isinstance(costspan.calculate_cost(response, at=NOON), Unpriced)


@pytest.mark.parametrize(
    "payload",
    [None, {}, {"usage": {"prompt_tokens": 5}}, {"usage": {"prompt_tokens": 5, "completion_tokens": -1}}, Usage(source=MISSING)],
    ids=repr,
)
def test_unknown_usage_has_no_cost_and_says_why(payload):
    cost = costspan.calculate_cost(payload, model="gpt-4o-mini")
    assert isinstance(cost, Unpriced)
    assert cost.amount_usd is None
    assert cost.reason == "invalid_usage"
    assert cost.detail


def test_a_contradicting_usage_is_not_priced_as_if_its_cache_were_empty():
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}
    assert costspan.calculate_cost(usage, model="gpt-4o-mini").reason == "invalid_usage"


def test_the_price_is_that_of_the_day_in_every_way_to_say_it():
    def cost(at):
        return costspan.calculate_cost(Usage(1000, 200), model="o3", provider="openai", at=at).amount_usd

    before, after = "2025-05-01", "2026-05-01"
    assert cost(before) > cost(after)
    assert cost(before) == cost(date(2025, 5, 1)) == cost(datetime(2025, 5, 1, 12))  # noqa: DTZ001 - no time zone means UTC
    assert cost(before) == cost(datetime(2025, 5, 1, tzinfo=UTC))
    assert cost(datetime(2025, 5, 1, tzinfo=timezone(timedelta(hours=5)))) == cost("2025-05-01T00:00:00+05:00")
    assert cost(None) == cost(datetime.now(UTC))


@pytest.mark.parametrize("at", ["yesterday", 5, "2025-13-01"])
def test_a_time_that_is_none_is_refused_with_an_example(at):
    with pytest.raises(UsageError, match="2026-11-21"):
        costspan.calculate_cost(Usage(1, 1), model="o3", at=at)


def test_tier_and_batch_change_the_price():
    def cost(**more):
        return costspan.calculate_cost(Usage(1000, 200), model="gpt-5-mini", provider="openai", at=NOON, **more).amount_usd

    assert cost(batch=True) == cost() / 2
    assert cost(service_tier="flex") < cost()


def test_the_users_price_file_wins(tmp_path, monkeypatch):
    file = tmp_path / "prices.json"
    file.write_text('{"prices": [{"provider": "openai", "model": "gpt-4o-mini", "input": 1000, "output": 0}]}')
    monkeypatch.setenv("COSTSPAN_PRICES", str(file))
    cost = costspan.calculate_cost(Usage(1_000_000, 1), model="gpt-4o-mini", provider="openai")
    assert (cost.amount_usd, cost.source) == (Decimal(1000), "override")


def test_the_pipeline_gives_its_known_figures_in_summary_and_record():
    usages = {name: Usage(given, made) for name, given, made in PIPELINE}
    run = costspan.aggregate(usages, model="claude-haiku-4-5", workflow="pipeline")
    text = costspan.format_summary(run)
    assert re.search(r"total 5,469 \+ 8,257 = 13,726 \(\$", text)
    assert "average 4,575.33 tokens, most 6,912 (Dev)" in text
    assert "context window peak 3.46 %, input/output 0.662" in text
    usage = to_record(run)["metadata"]["token_usage"]
    assert (usage["total_input_tokens"], usage["total_output_tokens"], usage["total_tokens"]) == (5469, 8257, 13726)
    assert usage["efficiency_metrics"] == {
        "average_tokens_per_agent": 4575.33,
        "max_agent_tokens": 6912,
        "estimated_context_window_usage_percent": 3.46,
        "input_output_ratio": 0.662,
    }


def test_every_way_in_gives_the_same_sums():
    ways = [
        {"PM": [HAIKU, HAIKU], "QA": HAIKU},
        [("PM", HAIKU), ("PM", HAIKU), ("QA", HAIKU)],
        (pair for pair in [("PM", HAIKU), ("QA", HAIKU), ("PM", HAIKU)]),
    ]
    for way in ways:
        run = costspan.aggregate(way, at=NOON)
        assert [(agent.name, agent.self_totals.calls, agent.self_totals.cost_usd) for agent in run.agents] == [
            ("PM", 2, Decimal("0.0210")),
            ("QA", 1, Decimal("0.0105")),
        ]
        assert run.totals.cost_usd == Decimal("0.0315")
        assert run.models[0].model == "claude-haiku-4-5"


def test_responses_of_nobody_are_unattributed_and_calls_keep_their_own_cost():
    run = costspan.aggregate([HAIKU, made_call("PM", cost="0.5")], at=NOON)
    assert run.unattributed.cost_usd == Decimal("0.0105")
    assert run.agents[0].self_totals.cost_usd == Decimal("0.5")
    assert run.totals.cost_usd == Decimal("0.5105")
    assert costspan.aggregate(HAIKU, at=NOON).unattributed.calls == 1


def test_what_has_no_usage_or_no_price_stays_unknown_in_the_sum():
    run = costspan.aggregate({"PM": HAIKU, "QA": {"choices": []}, "Dev": {**HAIKU, "model": "nobody-knows-1"}}, at=NOON)
    coverage = run.totals.coverage
    assert (coverage.missing_calls, coverage.priced_calls) == (1, 1)
    text = " ".join(costspan.format_summary(run).split())
    assert "1 call answered without usage (unnamed model in QA)" in text
    assert "1 call without a known price (nobody-knows-1 in Dev)" in text
    assert "$0.0105+?" in text


@pytest.mark.parametrize("items", [5, "text", None, object()], ids=["number", "text", "none", "object"])
def test_what_cannot_be_summed_is_refused_with_the_ways_in(items):
    with pytest.raises(UsageError, match="mapping of agent to response"):
        costspan.aggregate(items)


def test_a_summary_of_nothing_says_so():
    assert costspan.format_summary([]).endswith("no billed model calls\n")


def test_two_sums_are_two_records_and_both_count(tmp_path):
    paths = [
        write(costspan.aggregate({"A": Usage(10 * night, 1)}, workflow="nightly", model="gpt-4o-mini"), tmp_path)
        for night in (1, 2)
    ]
    assert report_files(paths, PriceBook(), lambda _: None).totals.usage.input_tokens == 30


@pytest.mark.parametrize(
    ("counts", "lacks"),
    [((5, None), "no output tokens"), ((None, 5), "no input tokens"), ((None, None), "no counts"), ((-5, True), "no counts")],
)
def test_a_usage_that_is_not_whole_has_no_cost_and_says_what_it_lacks(counts, lacks):
    usage = costspan.extract_usage({"usage": {"prompt_tokens": counts[0], "completion_tokens": counts[1]}})
    priced = costspan.calculate_cost(usage, model="gpt-4o", provider="openai")
    assert (priced.reason, priced.detail) == ("invalid_usage", f"the usage is not fully known ({lacks})")
