"""Estimates in a living process: only where asked for, only where nothing was told, and marked wherever they show."""

from __future__ import annotations

import gc
import importlib.util
import re

import openai
import pytest
from anthropic import Anthropic
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import costspan
from costspan.conventions import AGENT_CALL_TOKENS_MAX, CALL_TOKENS, COST_USD, TOKENS, UNREPORTED_CALLS, WASTED_TOKENS
from costspan.instrument.heard import CHARACTERS_MAX, Heard
from costspan.intake.report_files import report_files
from costspan.intake.report_tables import group_rows, overall_lines
from costspan.normalise.estimate import count
from costspan.price.book import PriceBook
from costspan.report.console import render
from costspan.report.figures import dollars
from costspan.report.html import page
from costspan.testing import Reply, Usage, measure
from sdk_cases import open_units

ANSWER = "The committee met on Tuesday and decided to rebuild the bridge in stone, which nobody had expected. " * 3
QUESTION = "What did the committee decide about the bridge, and who was asked? " * 5


@pytest.fixture
def estimated(monkeypatch):
    monkeypatch.setenv("COSTSPAN_ESTIMATE", "on")
    with measure() as seen:
        yield seen


@pytest.fixture
def client(provider):
    provider.always(Reply(text=ANSWER, omit_usage=True, chunks=30))
    return openai.OpenAI(base_url=provider.gateway_url, api_key="none")


def ask():
    return [{"role": "user", "content": QUESTION}]


def call_of(seen):
    (run,) = seen.runs
    (call,) = run.calls
    return call


def in_run(work):
    with costspan.run("nightly"), costspan.agent("writer"):
        return work()


def test_a_stream_that_told_nothing_is_estimated_and_marked(estimated, client):
    in_run(lambda: list(client.chat.completions.create(model="gpt-4o", messages=ask(), stream=True)))
    call = call_of(estimated)
    assert (call.usage.source, call.estimator) == ("estimated", "toktok o200k_base x1.00")
    assert call.usage.input_tokens == count([QUESTION]) + 6
    assert call.usage.output_tokens == pytest.approx(count([ANSWER]), rel=0.2)  # in pieces, as it came
    assert estimated.metric(TOKENS, usage_source="estimated") == call.usage.total_tokens == estimated.metric(TOKENS)
    assert estimated.metric(COST_USD, price_source="estimated") == estimated.metric(COST_USD) > 0
    assert estimated.metric(UNREPORTED_CALLS) == 0
    (span,) = [each for each in estimated.spans if each.attributes["costspan.kind"] == "call"]
    assert span.attributes["costspan.usage.source"] == "estimated"
    assert span.attributes["costspan.usage.estimator"] == call.estimator
    text = render(estimated.runs[0])
    assert "~" in text
    assert "estimated by toktok" in text


def test_off_by_default_nothing_is_estimated_and_no_text_is_kept(seen, client):
    in_run(lambda: list(client.chat.completions.create(model="gpt-4o", messages=ask(), stream=True)))
    assert call_of(seen).usage.source == "missing"
    assert seen.metric(UNREPORTED_CALLS, reason="stream_without_usage") == 1


def test_a_whole_answer_without_usage_is_estimated(estimated, client):
    in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask()))
    assert call_of(estimated).usage == Usage(count([QUESTION]) + 6, count([ANSWER]), source="estimated")


def test_what_is_reported_is_never_estimated(estimated, provider):
    provider.always(Reply(text=ANSWER, usage=Usage(7, 3)))
    ours = openai.OpenAI(base_url=provider.openai_url, api_key="none")
    in_run(lambda: ours.chat.completions.create(model="gpt-4o", messages=ask()))
    call = call_of(estimated)
    assert (call.usage.total_tokens, call.usage.source, call.estimator) == (10, "reported", None)


def test_a_stream_that_is_left_is_estimated_from_what_was_heard_with_low_confidence(estimated, provider, client):
    provider.always(Reply(text=ANSWER, omit_usage=True, chunks=30, chunk_delay=0.01))

    def leave():
        stream = client.chat.completions.create(model="gpt-4o", messages=ask(), stream=True)
        for _, _ in zip(range(5), stream, strict=False):
            pass
        stream.close()

    in_run(leave)
    call = call_of(estimated)
    assert (call.outcome, call.usage.source) == ("cancelled", "estimated")
    assert 0 < call.usage.output_tokens < count([ANSWER])
    assert call.estimator.endswith("(low confidence)")
    assert [(row.reason, row.calls) for row in estimated.runs[0].waste] == [("aborted", 1)]
    assert estimated.metric(WASTED_TOKENS) == 0  # its series has no label that could mark it


def test_what_anthropic_had_told_before_it_was_left_is_kept(estimated, provider):
    provider.always(Reply(text=ANSWER, usage=Usage(4321, 100), chunks=30, chunk_delay=0.01))
    ours = Anthropic(base_url=provider.anthropic_url, api_key="none")

    def leave():
        stream = ours.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=ask(), stream=True)
        for _, _ in zip(range(6), stream, strict=False):
            pass
        stream.close()

    in_run(leave)
    usage = call_of(estimated).usage
    assert (usage.input_tokens, usage.source) == (4321, "estimated")
    assert 0 < usage.output_tokens < 100


def test_tools_make_low_confidence(estimated, provider, client):
    provider.always(Reply(tool_calls=(("search", {"query": "bridge"}),), omit_usage=True))
    tool = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
    in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask(), tools=[tool]))
    call = call_of(estimated)
    assert call.estimator.endswith("(low confidence)")
    assert call.usage.output_tokens > 0


def test_a_request_that_was_turned_down_is_not_estimated(estimated, provider, client):
    provider.always(Reply(status=401))
    with pytest.raises(openai.AuthenticationError):
        in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask()))
    assert call_of(estimated).usage.source == "missing"
    assert estimated.metric(TOKENS) == 0


def test_langchains_stream_without_usage_is_estimated(estimated, provider, client):
    model = ChatOpenAI(model="gpt-4o", base_url=provider.gateway_url, api_key="none", stream_usage=False)
    in_run(lambda: list(model.stream([HumanMessage(QUESTION)])))
    call = call_of(estimated)
    assert (call.usage.source, call.usage.input_tokens) == ("estimated", count([QUESTION]) + 6)
    assert call.estimator == "toktok o200k_base x1.00"


def test_a_langchain_model_whose_client_has_no_hook_is_estimated(estimated):
    model = GenericFakeChatModel(messages=iter([AIMessage(ANSWER)]))
    in_run(lambda: model.invoke([HumanMessage(QUESTION)]))
    assert call_of(estimated).usage == Usage(count([QUESTION]) + 6, count([ANSWER]), source="estimated")


def test_estimates_are_marked_in_the_histogram_of_sizes_and_are_no_largest_call(estimated, client):
    in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask()))
    found = {metric.spec.name: metric.series for metric in estimated.handle.pipeline.meters.collect()}
    assert {series.labels[2] for series in found[CALL_TOKENS]} == {"estimated"}
    assert not found.get(AGENT_CALL_TOKENS_MAX)


def test_without_the_tokenizer_one_line_says_what_to_install(monkeypatch, caplog, client):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "toktok" else find(name, *more))
    monkeypatch.setenv("COSTSPAN_ESTIMATE", "on")
    with measure() as seen:
        in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask()))
        assert call_of(seen).usage.source == "missing"
    (line,) = [record.message for record in caplog.records if "tokenizer" in record.message]
    assert "pip install 'costspan[tokens]'" in line


def test_content_is_still_never_kept(estimated, client):
    in_run(lambda: client.chat.completions.create(model="gpt-4o", messages=ask()))
    assert "committee" not in str([dict(span.attributes) for span in estimated.spans]) + str(estimated.runs)


def words(html):
    """The text of a page, without what only machines read."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(script|style|svg)\b.*?</\1>", " ", html))


def test_every_figure_that_holds_an_estimate_is_marked_in_the_summary_the_report_and_the_page(estimated, client, tmp_path):
    def work():
        with costspan.tool("search"):
            list(client.chat.completions.create(model="gpt-4o", messages=ask(), stream=True))

    in_run(work)
    (run,) = estimated.runs
    path = tmp_path / "spans.bin"
    path.write_bytes(encode_spans(estimated.spans).SerializeToString())
    report = report_files([path], PriceBook(), lambda run: None, by=("agent",))
    tokens, cost = run.totals.usage.total_tokens, dollars(run.totals.cost_usd)
    tables = "\n".join([*overall_lines(report), *map(" ".join, group_rows(report, ascii_only=True))])
    shown, _, of_the_call = words(page([run])).partition("Call 1:")
    assert "Usage is estimated by" in of_the_call
    for text in (render(run), tables, shown):
        assert f"~{cost}" in text
        assert f"~{run.totals.usage.input_tokens}" in text
        assert not re.search(rf"(?<![~\d.,]){tokens}(?![\d.])", text), text
        assert not re.search(rf"(?<!~){re.escape(cost)}(?!\d)", text), text


def test_the_texts_that_are_kept_of_a_call_are_bounded():
    heard = Heard()
    heard.request({"messages": [{"role": "user", "content": "x" * (CHARACTERS_MAX - 10)}]})
    for _ in range(1000):
        heard.answer({"choices": [{"delta": {"content": "y" * 1000}}]})
    assert sum(map(len, (*heard.asked, *heard.answered))) <= CHARACTERS_MAX


def test_nothing_is_kept_of_a_call_that_has_ended(estimated, client):
    for _ in range(3):
        in_run(lambda: list(client.chat.completions.create(model="gpt-4o", messages=ask(), stream=True)))
    gc.collect()
    assert not open_units()
    assert [each for each in gc.get_objects() if type(each) is Heard] == []
