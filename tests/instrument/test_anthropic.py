"""Anthropic's SDK against the fake provider's own log: every billed token, however the call is made and however it ends."""

from __future__ import annotations

import abc
import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
from anthropic import Anthropic, AnthropicBedrock, AnthropicVertex, AsyncAnthropic, AsyncAnthropicBedrock, AsyncAnthropicVertex
from pydantic import BaseModel, ValidationError

import costspan
from costspan.records import Usage
from costspan.testing import Reply, measure
from sdk_cases import balanced, calls, collect, hello, needs, only_call, open_units
from sdk_hosts import http as httpx2

pytestmark = pytest.mark.usefixtures("quick_collections")
ASK = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": hello()}
SLOW = Reply(text="a b c d e f g h", chunks=8, chunk_delay=0.03)


@pytest.fixture
def client(provider):
    return Anthropic(base_url=provider.anthropic_url, api_key="none")


@pytest.fixture
def aclient(provider):
    return AsyncAnthropic(base_url=provider.anthropic_url, api_key="none")


# --- what is told ---------------------------------------------------------------------------------------
def test_a_message_is_counted_and_priced(seen, provider, client):
    answer = client.messages.create(**ASK)
    balanced(seen, provider)
    call = only_call(seen)
    assert call["gen_ai.request.model"] == ASK["model"]
    assert call["gen_ai.response.model"] == answer.model
    assert call["gen_ai.response.id"] == answer.id
    assert call["gen_ai.provider.name"] == "anthropic"
    assert call["gen_ai.response.finish_reasons"] == ("end_turn",)


async def test_an_awaited_message_is_counted(seen, provider, aclient):
    await aclient.messages.create(**ASK)
    balanced(seen, provider)


def test_a_stream_is_counted_with_the_time_of_its_first_event(seen, provider, client):
    assert len(list(client.messages.create(**ASK, stream=True))) > 4
    balanced(seen, provider)
    call = only_call(seen)
    assert call["gen_ai.request.stream"] is True
    assert call["gen_ai.response.time_to_first_chunk"] > 0


async def test_an_async_stream_is_counted(seen, provider, aclient):
    async for _ in await aclient.messages.create(**ASK, stream=True):
        pass
    balanced(seen, provider)


def test_the_stream_helper_is_counted_however_it_is_read(seen, provider, client):
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_message().usage.output_tokens
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream)
    with client.messages.stream(**ASK) as stream:
        for _ in stream:
            pass
    balanced(seen, provider)
    assert len(calls(seen)) == 3


async def test_the_async_stream_helper_is_counted(seen, provider, aclient):
    async with aclient.messages.stream(**ASK) as stream:
        assert (await stream.get_final_message()).usage.output_tokens
    balanced(seen, provider)


def test_beta_messages_and_their_streams_are_counted(seen, provider, client):
    client.beta.messages.create(**ASK, betas=["context-1m-2025-08-07"])
    with client.beta.messages.stream(**ASK) as stream:
        stream.until_done()
    balanced(seen, provider)
    assert len(calls(seen)) == 2


def test_the_split_of_cache_writes_is_kept(seen, provider, client):
    usage = Usage(3000, 500, cache_read_tokens=1000, cache_write_tokens=900, cache_write_1h_tokens=300)
    provider.script(Reply(usage=usage), Reply(usage=usage))
    client.messages.create(**ASK)
    list(client.messages.create(**ASK, stream=True))
    balanced(seen, provider)
    for call in calls(seen):
        assert call["gen_ai.usage.input_tokens"] == 3000
        assert call["gen_ai.usage.cache_read.input_tokens"] == 1000
        assert call["gen_ai.usage.cache_write.input_tokens"] == 900
        assert call["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"] == 300


def test_the_tier_and_paid_searches_are_kept(seen, provider, client):
    provider.script(Reply(service_tier="priority", web_searches=2), Reply(service_tier="priority", web_searches=2))
    client.messages.create(**ASK)
    list(client.messages.create(**ASK, stream=True))
    for call in calls(seen):
        assert call["anthropic.response.service_tier"] == "priority"
        assert call["costspan.fees"] == '{"web_search": 2}'


# --- ways of calling ------------------------------------------------------------------------------------
def test_raw_responses_are_counted_whether_parsed_or_not(seen, provider, client):
    client.messages.with_raw_response.create(**ASK).parse()
    assert client.messages.with_raw_response.create(**ASK).http_response.json()["usage"]
    assert len(list(client.messages.with_raw_response.create(**ASK, stream=True).parse())) > 4
    balanced(seen, provider)


async def test_async_raw_responses_are_counted(seen, provider, aclient):
    raw = await aclient.messages.with_raw_response.create(**ASK)
    parsed = raw.parse()
    assert (await parsed if hasattr(parsed, "__await__") else parsed).usage
    balanced(seen, provider)


@pytest.mark.parametrize("read", ["parse", "read", "json", "text", "iter_bytes", "iter_lines"])
def test_streamed_responses_are_counted_however_they_are_read(seen, provider, client, read):
    with client.messages.with_streaming_response.create(**ASK) as response:
        found = getattr(response, read)()
        if read.startswith("iter"):
            list(found)
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        list(response.iter_lines())
    balanced(seen, provider)


async def test_async_streamed_responses_are_counted(seen, provider, aclient):
    async with aclient.messages.with_streaming_response.create(**ASK, stream=True) as response:
        assert [line async for line in response.iter_lines()]
    balanced(seen, provider)


def test_a_raw_stream_that_is_left_keeps_what_its_bytes_said(seen, provider, client):
    provider.script(SLOW)
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        lines = response.iter_lines()
        for line in lines:
            if "content_block_delta" in line:
                break
    balanced(seen, provider)
    assert seen.tokens("input") > 0
    assert only_call(seen)["costspan.usage.missing_reason"] == "aborted"


def test_with_options_copies_and_subclasses_count_once_each(seen, provider, client):
    class Mine(Anthropic):
        pass

    client.with_options(timeout=5, max_retries=0).messages.create(**ASK)
    client.copy(default_headers={"X-Team": "one"}).messages.create(**ASK)
    Mine(base_url=provider.anthropic_url, api_key="none").messages.create(**ASK)
    balanced(seen, provider)
    assert len(calls(seen)) == 3


def bedrock_clients(provider):
    keys = {"api_key": "none"}
    if "api_key" not in inspect.signature(AnthropicBedrock).parameters:
        keys = {"aws_access_key": "none", "aws_secret_key": "none"}
    for kind in (AnthropicBedrock, AsyncAnthropicBedrock):
        yield kind(**keys, aws_region="eu-west-1", base_url=provider.bedrock_url)


async def test_bedrock_clients_are_named_bedrock(seen, provider):
    for client in bedrock_clients(provider):
        for stream in (False, True):
            answer = client.messages.create(**{**ASK, "model": "anthropic.claude-haiku-4-5-v1:0"}, stream=stream)
            if hasattr(answer, "__await__"):
                answer = await answer
            if hasattr(answer, "__aiter__"):
                assert [event async for event in answer]
            elif stream:
                assert list(answer)
    balanced(seen, provider)
    assert [call["gen_ai.provider.name"] for call in calls(seen)] == ["aws.bedrock"] * 4


@pytest.mark.parametrize("kind", [AnthropicVertex, AsyncAnthropicVertex])
@pytest.mark.parametrize("stream", [False, True])
async def test_vertex_clients_are_named_vertex(seen, provider, kind, stream):
    client = kind(region="europe-west1", project_id="p", access_token="none", base_url=provider.vertex_url)
    answer = client.messages.create(**{**ASK, "model": "claude-haiku-4-5@20251001"}, stream=stream)
    if kind is AsyncAnthropicVertex:
        answer = await answer
        if stream:
            assert [event async for event in answer]
    elif stream:
        assert list(answer)
    balanced(seen, provider)
    assert only_call(seen)["gen_ai.provider.name"] == "gcp.vertex_ai"


def test_counting_tokens_is_no_call(seen, client):
    client.messages.count_tokens(model=ASK["model"], messages=hello())
    assert seen.spans == ()


def batch_of(client, n):
    requests = [{"custom_id": str(at), "params": {**ASK, "messages": hello(f"A{at}")}} for at in range(n)]
    return client.messages.batches.create(requests=requests)


def test_the_results_of_a_batch_are_calls_at_the_price_of_batches_once(seen, provider, client):
    batch = batch_of(client, 3)
    assert seen.spans == ()
    client.messages.batches.retrieve(batch.id)
    with costspan.run("collect"):
        assert len(list(client.messages.batches.results(batch.id))) == 3
        list(client.messages.batches.results(batch.id))
    balanced(seen, provider)
    assert [call["costspan.batch"] for call in calls(seen)] == [True] * 3
    assert seen.runs[0].totals.calls == 3
    assert all(call.cost.amount_usd > 0 for call in seen.runs[0].calls)


async def test_the_results_of_an_async_batch_are_calls(seen, provider, client, aclient):
    batch = batch_of(client, 2)
    assert [result async for result in await aclient.messages.batches.results(batch.id)]
    balanced(seen, provider)
    assert len(calls(seen)) == 2


# --- retries --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("statuses", [(429,), (500,), (529, 500)])
def test_retries_after_a_refusal_are_counted_on_the_call(seen, provider, client, statuses):
    provider.script(*(Reply(status=status) for status in statuses), Reply(text="fine"))
    client.messages.create(**ASK)
    balanced(seen, provider)
    assert only_call(seen)["costspan.retry.count"] == len(statuses)


async def test_async_retries_are_counted(seen, provider, aclient):
    provider.script(Reply(status=429), Reply(status=503), Reply(text="fine"))
    async with aclient.messages.stream(**ASK) as stream:
        await stream.until_done()
    balanced(seen, provider)
    assert only_call(seen)["costspan.retry.count"] == 2


def test_an_attempt_whose_answer_was_lost_is_a_call_that_nobody_reported(seen, provider, client):
    provider.script(Reply(cut_after=1), Reply(text="fine"))
    client.messages.create(**ASK)
    balanced(seen, provider)
    lost, kept = calls(seen)
    assert lost["error.type"].endswith("RemoteProtocolError")
    assert kept["costspan.retry.count"] == 1


async def test_an_attempt_that_timed_out_is_a_call_that_nobody_reported(seen, provider, aclient):
    provider.script(Reply(delay=1.0), Reply(text="fine"))
    await aclient.with_options(timeout=0.3).messages.create(**ASK)
    balanced(seen, provider)
    assert len(calls(seen)) == 2


# --- the unhappy path -----------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
def test_a_refused_request_is_not_billed_and_the_hosts_error_is_its_own(seen, provider, client, status):
    provider.script(Reply(status=status))
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.with_options(max_retries=0).messages.create(**ASK)
    assert caught.value.status_code == status
    balanced(seen, provider)
    assert only_call(seen)["http.response.status_code"] == status


class Answer(BaseModel):
    number: int


@needs(anthropic.resources.Messages, "parse")
def test_an_answer_that_does_not_parse_was_billed(seen, provider, client):
    provider.script(Reply(text="{"))
    with pytest.raises(ValidationError):
        client.messages.parse(**ASK, output_format=Answer)
    balanced(seen, provider)
    assert only_call(seen)["costspan.waste"] == "failed_parse"


@needs(anthropic.types, "CacheCreation")
async def test_an_answer_that_strict_validation_refuses_was_billed(seen, provider):
    provider.script(Reply(model="claude-haiku-4-5", raw_usage={"input_tokens": 11, "output_tokens": 7, "cache_creation": "odd"}))
    client = AsyncAnthropic(base_url=provider.anthropic_url, api_key="none", _strict_response_validation=True)
    with pytest.raises(anthropic.APIResponseValidationError):
        await client.messages.create(**ASK)
    assert seen.tokens() == 18
    assert only_call(seen)["costspan.waste"] == "failed_parse"


def test_a_body_that_is_no_json_is_unreported(seen, provider, client):
    provider.script(Reply(raw_body="<html>proxy</html>"))
    assert client.messages.create(**ASK) == "<html>proxy</html>"
    assert seen.metric("costspan_unreported_calls_total", reason="unknown") == 1


def test_usage_that_is_no_usage_is_unreported(seen, provider, client):
    provider.script(Reply(raw_usage=["odd"]), Reply(raw_usage={"input_tokens": "many"}), Reply(omit_usage=True))
    for _ in range(3):
        client.messages.create(**ASK)
    assert seen.metric("costspan_unreported_calls_total") == 3
    assert seen.tokens() == 0


def test_an_aborted_stream_keeps_its_input_and_says_that_the_rest_is_unknown(seen, provider, client):
    provider.script(SLOW)
    for event in client.messages.create(**ASK, stream=True):
        if event.type == "content_block_delta":
            break
    if isinstance(anthropic.Stream, abc.ABCMeta):
        collect()  # an old version, whose streams cannot be stood in for
    assert not open_units()
    balanced(seen, provider)
    call = only_call(seen)
    assert call["gen_ai.usage.input_tokens"] > 0
    assert "gen_ai.usage.output_tokens" not in call
    assert call["costspan.usage.source"] == "missing"
    assert call["costspan.usage.missing_reason"] == "aborted"
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


@pytest.mark.parametrize("how", ["close", "with", "error", "response", "helper", "drop", "unread"])
def test_every_way_to_leave_a_stream_ends_its_span_once(seen, provider, client, how):
    provider.script(SLOW)
    if how == "helper":
        with client.messages.stream(**ASK) as events:
            next(iter(events))
    else:
        stream = client.messages.create(**ASK, stream=True)
        if how != "unread":
            next(stream)
        if how == "close":
            stream.close()
            stream.close()
        elif how == "with":
            with stream:
                next(stream)
        elif how == "error":
            with pytest.raises(ZeroDivisionError), stream:
                raise ZeroDivisionError
        elif how == "response":
            stream.response.close()
        if how in {"drop", "unread"}:
            del stream
            collect()
    assert not open_units()
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1
    assert len(calls(seen)) == 1


async def test_an_async_generator_that_is_abandoned_ends_its_span(seen, provider, aclient):
    provider.script(SLOW)

    async def words():
        async with aclient.messages.stream(**ASK) as stream:
            async for text in stream.text_stream:
                yield text

    generator = words()
    await anext(generator)
    await generator.aclose()
    balanced(seen, provider)
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_task_ends_its_span(seen, provider, aclient, stream):
    provider.script(Reply(text="a b c d", delay=0.0 if stream else 0.6, chunk_delay=0.2))

    async def ask():
        answer = await aclient.messages.create(**ASK, stream=stream)
        async for _ in answer:
            pass

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    balanced(seen, provider)
    assert only_call(seen)["error.type"].endswith("CancelledError")
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


def test_a_connection_that_is_cut_mid_stream_keeps_what_came_before(seen, provider, client):
    provider.script(Reply(text="a b c d", cut_after=3))
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client.messages.create(**ASK, stream=True))
    balanced(seen, provider)
    assert seen.tokens("input") > 0
    assert seen.metric("costspan_unreported_calls_total", reason="error") == 1


async def test_an_error_that_the_provider_sends_mid_stream_is_not_a_refusal(seen, provider, aclient):
    provider.script(Reply(text="a b c d", error_after=3))
    with pytest.raises(anthropic.APIStatusError):
        async for _ in await aclient.messages.create(**ASK, stream=True):
            pass
    if isinstance(anthropic.Stream, abc.ABCMeta):
        pytest.skip("an old version, whose streams cannot be stood in for: told late, as aborted")
    assert only_call(seen)["error.type"].startswith("anthropic.")
    assert seen.metric("costspan_unreported_calls_total", reason="error") == 1


# --- many at once, and other layers ---------------------------------------------------------------------
def test_threads_count_every_call(seen, provider, client):
    threads = [threading.Thread(target=client.messages.create, kwargs=ASK) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: list(client.messages.create(**ASK, stream=True)), range(4)))
    balanced(seen, provider)
    assert len(calls(seen)) == 12


async def test_fifty_at_once_count_fifty_times(seen, provider, aclient):
    with costspan.run("fifty"), costspan.agent("PM"):
        await asyncio.gather(*(aclient.messages.create(**ASK) for _ in range(50)))
    balanced(seen, provider)
    assert seen.metric("costspan_calls_total", agent="PM") == 50
    assert seen.runs[0].totals.calls == 50


def test_an_agent_of_plain_sdk_calls_owns_them(seen, provider, client):
    with costspan.run("report"), costspan.agent("PM"), costspan.tool("look up"):
        client.messages.create(**ASK)
    assert seen.tokens(agent="PM") == seen.tokens()
    assert seen.runs[0].tools[0].nested.calls == 1


@needs(anthropic, "_tracing")
@pytest.mark.parametrize("stream", [False, True])
def test_the_spans_that_the_sdk_writes_itself_are_folded(seen, provider, stream):
    client = Anthropic(base_url=provider.anthropic_url, api_key="none", open_telemetry={"tracer_provider": seen.handle.provider})
    with costspan.run("twice"):
        for _ in range(2):
            answer = client.messages.create(**ASK, stream=stream)
            if stream:
                list(answer)
    seen.handle.flush()
    scopes = [span.instrumentation_scope.name for span in seen.spans]
    assert scopes.count("com.anthropic.sdk.python") == 2
    balanced(seen, provider)
    assert seen.metric("costspan_calls_total") == 2
    assert seen.metric("costspan_duplicate_spans_total") == 2
    assert seen.runs[0].totals.calls == 2


# --- switching off --------------------------------------------------------------------------------------
def test_disabling_restores_every_method_by_identity():
    from anthropic import _base_client, _response

    places = [
        (_base_client.SyncAPIClient, "request"),
        (_base_client.AsyncAPIClient, "request"),
        (_base_client.BaseClient, "_process_response_data"),
        (_base_client.BaseClient, "_calculate_retry_timeout"),
        (_response.APIResponse, "parse"),
        (_response.AsyncAPIResponse, "parse"),
    ]
    before = [vars(kind)[name] for kind, name in places]
    with measure():
        assert all(vars(kind)[name] is not was for (kind, name), was in zip(places, before, strict=True))
    assert [vars(kind)[name] for kind, name in places] == before
