"""The fake provider as the real OpenAI client sees it."""

from __future__ import annotations

import asyncio

import openai
import pytest
from pydantic import BaseModel

from costspan.testing import Reply, ToolCall, Usage

ASK = [{"role": "system", "content": "[[agent:PM]] Plan."}, {"role": "user", "content": "Go."}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}},
}
BILLED = Usage(
    input_tokens=1200,
    output_tokens=300,
    cache_read_tokens=1024,
    cache_write_tokens=0,
    cache_write_1h_tokens=0,
    reasoning_tokens=64,
    input_audio_tokens=7,
    output_audio_tokens=3,
)


class Verdict(BaseModel):
    fine: bool
    score: int


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.openai_url, api_key="none") as client:
        yield client


def test_chat_tells_the_usage_that_the_log_has(provider, client):
    usage = client.chat.completions.create(model="gpt-4o", messages=ASK).usage
    [entry] = provider.log
    assert (entry.agent, entry.model_asked, entry.model_returned) == ("PM", "gpt-4o", "gpt-4o-2024-08-06")
    assert (usage.prompt_tokens, usage.completion_tokens) == (entry.usage.input_tokens, entry.usage.output_tokens)
    assert entry.told


def test_the_same_seed_and_agent_get_the_same_usage(provider, client):
    from costspan.testing import FakeProvider

    first = client.chat.completions.create(model="gpt-4o", messages=ASK)
    with FakeProvider(seed=1) as again, openai.OpenAI(base_url=again.openai_url, api_key="none") as other:
        second = other.chat.completions.create(model="gpt-4o", messages=ASK)
    assert first.usage == second.usage
    assert first.choices[0].message.content == second.choices[0].message.content


def test_every_detail_of_the_usage_is_on_the_wire(provider, client):
    provider.script(Reply(usage=BILLED))
    usage = client.chat.completions.create(model="gpt-4o", messages=ASK).usage
    assert usage.prompt_tokens_details.cached_tokens == 1024
    assert usage.prompt_tokens_details.audio_tokens == 7
    assert usage.completion_tokens_details.reasoning_tokens == 64
    assert usage.completion_tokens_details.audio_tokens == 3


def test_a_stream_tells_its_usage_only_if_asked(provider, client):
    plain = list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True))
    asked = list(
        client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert plain[-1].usage is None
    assert asked[-1].usage.completion_tokens == provider.log[1].usage.output_tokens
    assert [entry.told for entry in provider.log] == [False, True]


def test_a_gateway_tells_no_stream_usage_even_if_asked(provider):
    client = openai.OpenAI(base_url=provider.gateway_url, api_key="none")
    stream = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in stream)
    assert provider.log[0].billed
    assert not provider.log[0].told


def test_a_tool_is_asked_for_and_its_result_is_counted(provider, client):
    provider.script(Reply(tool_calls=(("look", {"what": "here"}),)), agent="PM")
    message = client.chat.completions.create(model="gpt-4o", messages=ASK, tools=[TOOL]).choices[0].message
    answer = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "x" * 40}
    client.chat.completions.create(model="gpt-4o", messages=[*ASK, message, answer], tools=[TOOL])
    first, second = provider.log
    assert first.tools_asked == ("look",)
    assert second.results == (("look", 14),)
    assert second.usage.input_tokens - first.usage.input_tokens - first.usage.output_tokens == 14


def test_a_streamed_tool_call_comes_in_parts(provider, client):
    provider.script(Reply(tool_calls=(ToolCall("look", {"what": "here"}),)))
    with client.chat.completions.stream(model="gpt-4o", messages=ASK, tools=[TOOL]) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.arguments == '{"what": "here"}'


def test_a_rate_limit_and_a_server_error_are_retried_by_the_client(provider, client):
    provider.script(Reply(status=429), Reply(status=500), Reply(text="at last"), agent="PM")
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert answer.choices[0].message.content == "at last"
    assert [(entry.status, entry.billed, entry.retry_count) for entry in provider.log] == [
        (429, False, 0),
        (500, False, 1),
        (200, True, 2),
    ]


def test_structured_output_fits_its_schema(provider, client):
    parsed = client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=Verdict).choices[0].message.parsed
    assert isinstance(parsed, Verdict)


def test_unparsable_structured_output_is_still_billed(provider, client):
    provider.script(Reply(text='{"fine": '))
    with pytest.raises(ValueError):
        client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=Verdict)
    assert provider.log[0].told


def test_a_length_finish_raises_in_parse_and_is_still_billed(provider, client):
    provider.script(Reply(text='{"fine": ', finish="length"))
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=Verdict)
    assert provider.log[0].billed


def test_a_cut_connection_breaks_the_stream_before_its_usage(provider, client):
    provider.script(Reply(cut_after=2))
    stream = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True})
    with pytest.raises(Exception, match=r"(?i)connection|body|peer"):
        list(stream)
    [entry] = provider.log
    assert (entry.cut, entry.billed, entry.told) == (True, True, False)


def test_a_stream_left_early_is_billed_and_not_told(provider, client):
    provider.script(Reply(chunk_delay=0.02))
    with client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        next(iter(stream))
    [entry] = provider.log
    assert (entry.client_left, entry.billed, entry.told) == (True, True, False)


def test_a_stream_may_report_an_error(provider, client):
    provider.script(Reply(error_after=2))
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True))


def test_odd_usage_goes_out_as_it_was_scripted(provider, client):
    provider.script(Reply(raw_usage={"prompt_tokens": "12", "completion_tokens": None}))
    usage = client.chat.completions.create(model="gpt-4o", messages=ASK).usage
    assert usage.prompt_tokens == "12"


def test_a_body_that_is_no_json_reaches_the_client(provider, client):
    provider.script(Reply(raw_body="<html>busy</html>"))
    assert client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASK).text == "<html>busy</html>"


def test_a_provider_may_state_the_cost_itself(provider, client):
    provider.script(Reply(stated_cost_usd=0.0125))
    assert client.chat.completions.create(model="gpt-4o", messages=ASK).usage.cost == 0.0125


def test_responses_tell_usage_whole_and_streamed(provider, client):
    whole = client.responses.create(model="gpt-5-mini", instructions="[[agent:PM]] Plan.", input="Go.")
    with client.responses.stream(model="gpt-5-mini", instructions="[[agent:PM]] Plan.", input="Go.") as stream:
        streamed = stream.get_final_response()
    first, second = provider.log
    assert whole.usage.total_tokens == first.usage.total_tokens
    assert streamed.usage.output_tokens_details.reasoning_tokens == second.usage.reasoning_tokens > 0
    assert streamed.output_text
    assert second.told


def test_responses_ask_for_a_tool_and_take_its_result(provider, client):
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    provider.script(Reply(tool_calls=(("look", {}),)))
    asked = client.responses.create(model="gpt-5-mini", input="[[agent:PM]] Go.", tools=[tool])
    call = next(item for item in asked.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "found"}
    history = [{"role": "user", "content": "[[agent:PM]] Go."}, call.model_dump(), result]
    client.responses.create(model="gpt-5-mini", input=history, tools=[tool])
    assert provider.log[1].results == (("look", 6),)


def test_responses_parse_into_a_schema(provider, client):
    assert isinstance(client.responses.parse(model="gpt-5-mini", input="Go.", text_format=Verdict).output_parsed, Verdict)


def test_embeddings_and_legacy_completions_tell_their_usage(provider, client):
    embedded = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    completed = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say it.")
    first, second = provider.log
    assert len(embedded.data) == 2
    assert embedded.usage.prompt_tokens == first.usage.input_tokens
    assert completed.usage.total_tokens == second.usage.total_tokens


def test_azure_paths_answer_and_streams_start_without_choices(provider):
    client = openai.AzureOpenAI(azure_endpoint=provider.azure_url, api_key="none", api_version="2024-10-21")
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True))
    assert chunks[0].choices == []
    assert provider.log[0].path.startswith("/openai/deployments/gpt-4o/")


async def test_fifty_calls_at_once_are_fifty_entries(provider):
    async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key="none") as client:
        calls = [client.chat.completions.create(model="gpt-4o", messages=ASK) for _ in range(50)]
        answers = await asyncio.gather(*calls)
    assert sorted(answer.id for answer in answers) == sorted(entry.response_id for entry in provider.log)


async def test_a_cancelled_call_is_billed_and_not_told(provider):
    provider.script(Reply(delay=5))
    async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key="none") as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat.completions.create(model="gpt-4o", messages=ASK), 0.2)
    [entry] = provider.log
    assert (entry.client_left, entry.billed, entry.told) == (True, True, False)


def test_a_request_that_cannot_be_read_is_a_clear_400(provider, client):
    with pytest.raises(openai.BadRequestError, match="could not read the request"):
        client.chat.completions.create(model="gpt-4o", messages="oops")


def test_web_searches_are_items_of_a_response(provider, client):
    provider.script(Reply(web_searches=2))
    output = client.responses.create(model="gpt-5-mini", input="Go.").output
    assert [item.type for item in output].count("web_search_call") == 2
