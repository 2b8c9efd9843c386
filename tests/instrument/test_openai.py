"""OpenAI's SDK against the fake provider's own log: every billed token, however the call is made and however it ends."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel, ValidationError

import costspan
from costspan.records import Usage
from costspan.testing import Reply, measure
from sdk_cases import balanced, calls, collect, hello, needs, only_call, open_units
from sdk_hosts import http as httpx2
from sdk_hosts import streamed

pytestmark = pytest.mark.usefixtures("quick_collections")
MODEL = "gpt-4o"
TELL = {"stream_options": {"include_usage": True}}
SLOW = Reply(text="a b c d e f g h", chunks=8, chunk_delay=0.03)


@pytest.fixture
def client(provider):
    return OpenAI(base_url=provider.openai_url, api_key="none")


@pytest.fixture
def aclient(provider):
    return AsyncOpenAI(base_url=provider.openai_url, api_key="none")


def helpers(client):
    """The resource with `parse` and `stream`, which older versions call beta."""
    return client.chat.completions if hasattr(client.chat.completions, "parse") else client.beta.chat.completions


def chat(client, **more):
    return client.chat.completions.create(model=MODEL, messages=hello(), **more)


# --- what is told ---------------------------------------------------------------------------------------
def test_a_chat_completion_is_counted_and_priced(seen, provider, client):
    answer = chat(client)
    balanced(seen, provider)
    call = only_call(seen)
    assert call["gen_ai.request.model"] == MODEL
    assert call["gen_ai.response.model"] == answer.model
    assert call["gen_ai.response.id"] == answer.id
    assert call["gen_ai.provider.name"] == "openai"
    assert call["gen_ai.response.finish_reasons"] == ("stop",)


async def test_an_awaited_chat_completion_is_counted(seen, provider, aclient):
    await chat(aclient)
    balanced(seen, provider)


@pytest.mark.parametrize("more", [{}, TELL])
def test_a_stream_is_counted_where_it_tells_its_usage(seen, provider, client, more):
    assert len(list(chat(client, stream=True, **more))) > 2
    balanced(seen, provider)
    call = only_call(seen)
    assert call["gen_ai.request.stream"] is True
    assert call["gen_ai.response.time_to_first_chunk"] > 0
    if not more:
        assert seen.metric("costspan_unreported_calls_total", reason="stream_without_usage") == 1


@pytest.mark.parametrize("more", [{}, TELL])
async def test_an_async_stream_is_counted(seen, provider, aclient, more):
    async for _ in await chat(aclient, stream=True, **more):
        pass
    balanced(seen, provider)


@needs(OpenAI, "responses")
def test_responses_are_counted_with_and_without_a_stream(seen, provider, client):
    client.responses.create(model=MODEL, input=hello())
    list(client.responses.create(model=MODEL, input="hello", stream=True))
    balanced(seen, provider)
    assert [call["gen_ai.operation.name"] for call in calls(seen)] == ["chat", "chat"]


@needs(OpenAI, "responses")
async def test_async_responses_are_counted(seen, provider, aclient):
    await aclient.responses.create(model=MODEL, input="hello")
    async with aclient.responses.stream(model=MODEL, input="hello") as stream:
        await stream.get_final_response()
    balanced(seen, provider)


def test_embeddings_have_no_output(seen, provider, client):
    client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    balanced(seen, provider)
    assert only_call(seen)["gen_ai.operation.name"] == "embeddings"


@pytest.mark.parametrize("stream", [False, True])
def test_legacy_completions_are_counted(seen, provider, client, stream):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", stream=stream, **(TELL if stream else {}))
    if stream:
        list(answer)
    balanced(seen, provider)
    assert only_call(seen)["gen_ai.operation.name"] == "text_completion"


def test_cached_reasoning_and_audio_tokens_are_told_apart(seen, provider, client):
    usage = Usage(1000, 500, cache_read_tokens=400, reasoning_tokens=200, input_audio_tokens=100, output_audio_tokens=50)
    provider.script(Reply(usage=usage))
    chat(client)
    assert seen.metric("costspan_tokens_total", token_type="input_cache_read") == 400
    assert seen.metric("costspan_tokens_total", token_type="input_audio") == 100
    assert seen.metric("costspan_tokens_total", token_type="output_reasoning") == 200
    assert seen.metric("costspan_tokens_total", token_type="output_audio") == 50


def test_the_tier_that_answered_is_kept(seen, provider, client):
    provider.script(Reply(service_tier="flex"), Reply(service_tier="priority"))
    chat(client, service_tier="auto")
    list(chat(client, stream=True, **TELL))
    assert [call["openai.response.service_tier"] for call in calls(seen)] == ["flex", "priority"]


@needs(OpenAI, "responses")
def test_paid_searches_are_fees(seen, provider, client):
    provider.script(Reply(web_searches=3))
    client.responses.create(model=MODEL, input="hello")
    assert only_call(seen)["costspan.fees"] == '{"web_search": 3}'


def test_a_cost_that_a_gateway_states_is_taken(seen, provider, client):
    provider.script(Reply(stated_cost_usd=0.125))
    chat(client)
    assert float(seen.metric("costspan_cost_usd_total", price_source="provider")) == 0.125


# --- ways of calling ------------------------------------------------------------------------------------
def test_raw_responses_are_counted_whether_parsed_or_not(seen, provider, client):
    chat(client.with_raw_response).parse()
    raw = chat(client.with_raw_response)
    assert raw.http_response.json()["usage"]
    assert len(list(chat(client.with_raw_response, stream=True, **TELL).parse())) > 2
    balanced(seen, provider)


async def test_async_raw_responses_are_counted(seen, provider, aclient):
    (await chat(aclient.with_raw_response)).parse()
    stream = (await chat(aclient.with_raw_response, stream=True, **TELL)).parse()
    assert [chunk async for chunk in stream]
    balanced(seen, provider)


@pytest.mark.parametrize("read", ["parse", "read", "json", "text", "iter_bytes", "iter_lines"])
def test_streamed_responses_are_counted_however_they_are_read(seen, provider, client, read):
    with chat(client.with_streaming_response) as response:
        found = getattr(response, read)()
        if read.startswith("iter"):
            list(found)
    with chat(client.with_streaming_response, stream=True, **TELL) as response:
        list(response.iter_lines())
    balanced(seen, provider)


async def test_async_streamed_responses_are_counted(seen, provider, aclient):
    async with aclient.with_streaming_response.chat.completions.create(model=MODEL, messages=hello()) as response:
        await response.parse()
    async with aclient.with_streaming_response.chat.completions.create(
        model=MODEL, messages=hello(), stream=True, **TELL
    ) as response:
        assert [line async for line in response.iter_lines()]
    balanced(seen, provider)


def test_a_compressed_raw_stream_is_read_too(seen):
    import gzip

    body = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n'

    class Body(httpx2.SyncByteStream):
        def __iter__(self):
            yield gzip.compress(body)

    def answer(request):
        headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
        return httpx2.Response(200, headers=headers, stream=Body())

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = OpenAI(api_key="none", http_client=http)
    with chat(client.with_streaming_response, stream=True) as response:
        assert b"".join(response.iter_bytes()) == body
    assert seen.tokens() == 9


def test_with_options_and_copies_count_like_the_client(seen, provider, client):
    chat(client.with_options(timeout=5, max_retries=0))
    chat(client.copy(default_headers={"X-Team": "one"}))
    balanced(seen, provider)
    assert len(calls(seen)) == 2


def test_a_subclassed_client_counts_once(seen, provider):
    class Mine(OpenAI):
        def request(self, *args, **kwargs):
            return super().request(*args, **kwargs)

    chat(Mine(base_url=provider.openai_url, api_key="none"))
    balanced(seen, provider)


def test_the_module_level_client_counts(seen, provider, monkeypatch):
    monkeypatch.setattr(openai, "base_url", provider.openai_url)
    monkeypatch.setattr(openai, "api_key", "none")
    monkeypatch.setattr(openai, "_client", None, raising=False)
    openai.chat.completions.create(model=MODEL, messages=hello())
    balanced(seen, provider)
    openai._client.close()


@pytest.mark.parametrize("kind", [AzureOpenAI, AsyncAzureOpenAI])
async def test_azure_clients_are_named_azure_and_priced_by_the_model_behind_the_deployment(seen, provider, kind):
    provider.script(Reply(model="gpt-4o-2024-08-06"), Reply(model="gpt-4o-2024-08-06"))
    client = kind(azure_endpoint=provider.azure_url, api_key="none", api_version="2024-10-21")
    answer = client.chat.completions.create(model="our-deployment", messages=hello())
    stream = client.chat.completions.create(model="our-deployment", messages=hello(), stream=True, **TELL)
    if kind is AzureOpenAI:
        assert list(stream)
    else:
        await answer
        assert [chunk async for chunk in await stream]
    balanced(seen, provider)
    assert {call["gen_ai.provider.name"] for call in calls(seen)} == {"azure.ai.openai"}
    assert seen.metric("costspan_unpriced_calls_total") == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://mine.openai.azure.com/openai/v1/", "azure.ai.openai"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", "aws.bedrock"),
        ("http://localhost:11434/v1", "ollama"),
        ("https://llm.example.com/v1", "openai"),
        ("https://api.x.ai.example.com/v1", "openai"),
    ],
)
def test_who_answers_follows_from_the_address(seen, address, name):
    def answer(request):
        return httpx2.Response(200, json={"id": "1", "model": "m", "choices": [], "usage": {"prompt_tokens": 3}})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    chat(OpenAI(base_url=address, api_key="none", http_client=http))
    assert only_call(seen)["gen_ai.provider.name"] == name


def test_a_gateway_that_tells_no_usage_of_streams_is_unreported(seen, provider):
    client = OpenAI(base_url=provider.gateway_url, api_key="none")
    chat(client)
    list(chat(client, stream=True, **TELL))
    balanced(seen, provider)
    assert seen.metric("costspan_unreported_calls_total", reason="stream_without_usage") == 1


def test_what_costs_nothing_opens_no_span(seen, client):
    client.models.list()
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="hello")
    assert seen.spans == ()


def test_a_batch_is_one_call_however_often_it_is_looked_at(seen):
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    state = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "model": "gpt-4o-mini"}
    states = [
        {**state, "status": "in_progress"},
        {**state, "status": "completed", "completed_at": 1, "usage": usage},
        {**state, "status": "completed", "completed_at": 1, "usage": usage},
    ]
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=states.pop(0))))
    client = OpenAI(api_key="none", http_client=http)
    for _ in range(3):
        client.batches.retrieve("batch_1")
    call = only_call(seen)
    assert call["costspan.batch"] is True
    assert seen.tokens() == 1100


def background(status, **more):
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "background": True,
        "output": [],
        "tools": [],
    }
    return {**answer, "status": status, **more}


@needs(OpenAI, "responses")
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_made_in_the_background_is_one_call_however_often_it_is_looked_at(seen, stream):
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    done = background("completed", usage=usage)
    plain = {**done, "id": "resp_2", "background": False}
    pieces = [{"type": "response.created", "response": background("queued")}, {"type": "response.completed", "response": done}]
    answers = [streamed(pieces) if stream else background("queued"), background("in_progress"), done, done, plain]

    def answer(request):
        found = answers.pop(0)
        return found if isinstance(found, httpx2.Response) else httpx2.Response(200, json=found)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = OpenAI(api_key="none", http_client=http)
    made = client.responses.create(model=MODEL, input="hello", background=True, stream=stream)
    if stream:
        assert len(list(made)) == 2
    for _ in range(4):
        client.responses.retrieve("resp_1")
    assert "costspan.batch" not in only_call(seen)
    assert (seen.tokens(), seen.metric("costspan_unreported_calls_total"), open_units()) == (1100, 0, [])


# --- retries --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("statuses", [(429,), (500,), (429, 500)])
def test_retries_after_a_refusal_are_counted_on_the_call(seen, provider, client, statuses):
    provider.script(*(Reply(status=status) for status in statuses), Reply(text="fine"))
    chat(client)
    balanced(seen, provider)
    assert only_call(seen)["costspan.retry.count"] == len(statuses)


async def test_async_retries_are_counted(seen, provider, aclient):
    provider.script(Reply(status=429), Reply(status=503), Reply(text="fine"))
    async for _ in await chat(aclient, stream=True, **TELL):
        pass
    balanced(seen, provider)
    assert only_call(seen)["costspan.retry.count"] == 2


def test_an_attempt_whose_answer_was_lost_is_a_call_that_nobody_reported(seen, provider, client):
    provider.script(Reply(cut_after=1), Reply(text="fine"))
    chat(client)
    balanced(seen, provider)
    lost, kept = calls(seen)
    assert lost["error.type"].endswith("RemoteProtocolError")
    assert kept["costspan.retry.count"] == 1


def test_an_attempt_that_timed_out_is_a_call_that_nobody_reported(seen, provider, client):
    provider.script(Reply(delay=1.0), Reply(text="fine"))
    chat(client.with_options(timeout=0.3))
    balanced(seen, provider)
    assert len(calls(seen)) == 2


# --- the unhappy path -----------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_refused_request_is_not_billed_and_the_hosts_error_is_its_own(seen, provider, client, status):
    provider.script(Reply(status=status))
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client.with_options(max_retries=0))
    assert caught.value.status_code == status
    balanced(seen, provider)
    call = only_call(seen)
    assert call["http.response.status_code"] == status
    assert seen.metric("costspan_calls_total", outcome="error") == 1


class Answer(BaseModel):
    number: int


def test_an_answer_that_does_not_parse_was_billed(seen, provider, client):
    provider.script(Reply(text="{"))
    with pytest.raises(ValidationError):
        helpers(client).parse(model=MODEL, messages=hello(), response_format=Answer)
    balanced(seen, provider)
    assert only_call(seen)["costspan.waste"] == "failed_parse"
    assert seen.metric("costspan_wasted_tokens_total", reason="failed_parse") == seen.tokens()


def test_an_answer_that_was_cut_short_was_billed(seen, provider, client):
    provider.script(Reply(text='{"number": 1}', finish="length"))
    with pytest.raises(openai.LengthFinishReasonError):
        helpers(client).parse(model=MODEL, messages=hello(), response_format=Answer)
    balanced(seen, provider)
    assert only_call(seen)["costspan.waste"] == "truncated"


@needs(OpenAI, "responses")
async def test_a_responses_answer_that_does_not_parse_was_billed(seen, provider, aclient):
    provider.script(Reply(text="{"))
    with pytest.raises(ValidationError):
        await aclient.responses.parse(model=MODEL, input="hello", text_format=Answer)
    balanced(seen, provider)


def test_a_body_that_is_no_json_is_unreported(seen, provider, client):
    provider.script(Reply(raw_body="<html>proxy</html>"))
    assert chat(client) == "<html>proxy</html>"
    assert seen.metric("costspan_unreported_calls_total", reason="unknown") == 1


def test_usage_that_is_no_usage_is_unreported(seen, provider, client):
    provider.script(Reply(raw_usage=["odd"]), Reply(raw_usage={"prompt_tokens": "many"}), Reply(omit_usage=True))
    for _ in range(3):
        chat(client)
    assert seen.metric("costspan_unreported_calls_total") == 3
    assert seen.tokens() == 0


def test_a_stream_that_is_left_early_is_aborted(seen, provider, client):
    provider.script(SLOW)
    for _ in chat(client, stream=True, **TELL):
        break
    # The stream object was the loop's alone: nothing has to be collected for it to end.
    assert not open_units()
    collect()
    balanced(seen, provider)
    call = only_call(seen)
    assert call["costspan.usage.missing_reason"] == "aborted"
    assert seen.metric("costspan_calls_total", outcome="cancelled") == 1


def test_a_stream_may_be_left_and_taken_up_again(seen, provider, client):
    stream = chat(client, stream=True, **TELL)
    for _ in stream:
        break
    assert list(stream)[-1].usage
    balanced(seen, provider)
    assert only_call(seen)["costspan.usage.source"] == "reported"


@pytest.mark.parametrize("how", ["close", "with", "error", "response", "helper", "drop", "unread"])
def test_every_way_to_leave_a_stream_ends_its_span_once(seen, provider, client, how):
    provider.script(SLOW)
    if how == "helper":
        with helpers(client).stream(model=MODEL, messages=hello()) as events:
            next(iter(events))
    else:
        stream = chat(client, stream=True)
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
        async for chunk in await chat(aclient, stream=True):
            yield chunk

    generator = words()
    await anext(generator)
    await generator.aclose()
    collect()
    balanced(seen, provider)
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_task_ends_its_span(seen, provider, aclient, stream):
    provider.script(Reply(text="a b c d", delay=0.0 if stream else 0.6, chunk_delay=0.2))

    async def ask():
        answer = await chat(aclient, stream=stream)
        async for _ in answer:
            pass

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only_call(seen)["error.type"].endswith("CancelledError")
    assert seen.metric("costspan_calls_total", outcome="cancelled") == 1
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


def test_a_connection_that_is_cut_mid_stream_is_an_error_of_unknown_cost(seen, provider, client):
    provider.script(Reply(text="a b c d", cut_after=3))
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(chat(client, stream=True, **TELL))
    balanced(seen, provider)
    assert seen.metric("costspan_unreported_calls_total", reason="error") == 1


async def test_an_error_that_the_provider_sends_mid_stream_is_not_a_refusal(seen, provider, aclient):
    provider.script(Reply(text="a b c d", error_after=3))
    with pytest.raises(openai.APIError):
        async for _ in await chat(aclient, stream=True, **TELL):
            pass
    assert only_call(seen)["error.type"] == "openai.APIError"
    assert seen.metric("costspan_unreported_calls_total", reason="error") == 1


# --- many at once ---------------------------------------------------------------------------------------
def test_threads_count_every_call(seen, provider, client):
    threads = [threading.Thread(target=chat, args=(client,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: list(chat(client, stream=True, **TELL)), range(4)))
    balanced(seen, provider)
    assert len(calls(seen)) == 12


async def test_fifty_at_once_count_fifty_times(seen, provider, aclient):
    with costspan.run("fifty"), costspan.agent("PM"):
        await asyncio.gather(*(chat(aclient) for _ in range(50)))
    balanced(seen, provider)
    assert seen.metric("costspan_calls_total", agent="PM") == 50
    assert seen.runs[0].totals.calls == 50


def test_calls_belong_to_the_agent_step_and_tool_that_enclose_them(seen, provider, client):
    with costspan.run("report"), costspan.agent("writer"), costspan.step("draft"), costspan.tool("look up"):
        chat(client)
    call = only_call(seen)
    assert (call["gen_ai.agent.name"], call["costspan.step"], call["costspan.tool"]) == ("writer", "draft", "look up")
    assert seen.runs[0].tools[0].nested.calls == 1


def test_the_shape_of_a_request_is_noted_without_a_word_of_it(seen, client):
    asked = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}
    messages = [
        {"role": "system", "content": "secret"},
        {"role": "user", "content": [{"type": "text", "text": "secret"}, {"type": "text", "text": "word"}]},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call_1", "content": "secret found"},
    ]
    client.chat.completions.create(model=MODEL, messages=messages)
    shape = '[["system","",6,""],["user","",10,""],["assistant","",12,""],["tool","",12,"call_1"]]'
    assert only_call(seen)["costspan.request.lengths"] == shape
    assert "secret" not in str(seen.spans[0].attributes)


def test_identical_streams_in_an_interleaved_loop_keep_their_counts(seen, provider, client):
    streams = [chat(client, stream=True, **TELL) for _ in range(3)]
    while streams:
        streams = [stream for stream in streams if next(stream, None) is not None]
    balanced(seen, provider)
    assert len(calls(seen)) == 3


# --- asking for usage -----------------------------------------------------------------------------------
def bodies(chunks):
    """Chunks without what differs between any two calls: the words, ids and times."""
    return [(chunk.object, len(chunk.choices), sorted(chunk.model_fields_set)) for chunk in chunks]


@pytest.fixture
def bare_chunks(provider, client):
    provider.script(Reply(text="a b c d"))
    found = bodies(chat(client, stream=True))
    provider.clear()
    return found


def test_usage_that_was_asked_for_by_us_is_hidden_from_the_host(provider, client, bare_chunks):
    with measure(ask_stream_usage=True) as seen:
        provider.script(Reply(text="a b c d"))
        options = {"include_obfuscation": False}
        chunks = list(chat(client, stream=True, stream_options=options))
        assert options == {"include_obfuscation": False}
        assert bodies(chunks) == bare_chunks
        assert all(chunk.usage is None for chunk in chunks)
        balanced(seen, provider)
        assert seen.metric("costspan_unreported_calls_total") == 0


async def test_usage_is_asked_for_and_hidden_in_async_streams_and_helpers_too(provider, client, aclient, bare_chunks):
    with measure(ask_stream_usage=True) as seen:
        provider.always(Reply(text="a b c d"))
        assert bodies([chunk async for chunk in await chat(aclient, stream=True)]) == bare_chunks
        with helpers(client).stream(model=MODEL, messages=hello()) as events:
            assert [event for event in events if event.type == "chunk"]
            assert events.get_final_completion().usage is None
        balanced(seen, provider)


def test_usage_is_not_asked_for_where_the_host_has_decided_or_reads_bytes(provider, client):
    with measure(ask_stream_usage=True) as seen:
        list(chat(client, stream=True, stream_options={"include_usage": False}))
        list(chat(client.with_raw_response, stream=True).parse())
        assert [entry.include_usage for entry in provider.log] == [False, False]
        assert list(chat(client, stream=True, **TELL))[-1].usage
        balanced(seen, provider)


def test_usage_is_asked_for_by_the_environments_setting(provider, client, monkeypatch):
    monkeypatch.setenv("COSTSPAN_ASK_STREAM_USAGE", "on")
    with measure() as seen:
        list(chat(client, stream=True))
        balanced(seen, provider)


# --- switching off --------------------------------------------------------------------------------------
def test_disabling_restores_every_method_by_identity(provider):
    from openai import _base_client, _legacy_response, _response

    places = [
        (_base_client.SyncAPIClient, "request"),
        (_base_client.AsyncAPIClient, "request"),
        (_base_client.BaseClient, "_process_response_data"),
        (_base_client.BaseClient, "_calculate_retry_timeout"),
        (_response.APIResponse, "parse"),
        (_response.AsyncAPIResponse, "parse"),
        (_legacy_response.LegacyAPIResponse, "parse"),
    ]
    before = [vars(kind)[name] for kind, name in places]
    with measure():
        assert all(vars(kind)[name] is not was for (kind, name), was in zip(places, before, strict=True))
    assert [vars(kind)[name] for kind, name in places] == before


def test_a_stream_that_outlives_costspan_reads_on(provider, client):
    with measure() as seen:
        stream = chat(client, stream=True, **TELL)
        next(stream)
    assert list(stream)[-1].usage
    assert [span.attributes["error.type"] for span in seen.exporter.get_finished_spans()] == [
        "costspan.instrument.spans.Interrupted"
    ]


def test_answers_may_be_pickled(seen, provider, client):
    assert pickle.loads(pickle.dumps(chat(client))).usage
    raw = chat(client.with_raw_response)
    assert pickle.loads(pickle.dumps(raw.http_response)).json()["usage"]
