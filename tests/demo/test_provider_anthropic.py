"""The fake provider as the real Anthropic client sees it."""

from __future__ import annotations

import anthropic
import pytest

from costspan.testing import Reply, Usage

MODEL = "claude-haiku-4-5"
ASK = {"model": MODEL, "max_tokens": 500, "system": "[[agent:QA]] Judge.", "messages": [{"role": "user", "content": "Go."}]}
CACHED = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}}}


@pytest.fixture
def client(provider):
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key="none") as client:
        yield client


def test_a_message_tells_the_usage_that_the_log_has(provider, client):
    usage = client.messages.create(**ASK).usage
    [entry] = provider.log
    assert (entry.agent, entry.model_returned) == ("QA", "claude-haiku-4-5-20251001")
    assert (usage.input_tokens, usage.output_tokens) == (entry.usage.input_tokens, entry.usage.output_tokens)


def test_input_on_the_wire_excludes_the_cache_and_writes_are_split_by_life(provider, client):
    billed = Usage(input_tokens=1000, output_tokens=10, cache_read_tokens=300, cache_write_tokens=200, cache_write_1h_tokens=50)
    provider.script(Reply(usage=billed))
    usage = client.messages.create(**ASK).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (500, 300, 200)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 150
    assert usage.cache_creation.ephemeral_1h_input_tokens == 50


def test_cache_control_writes_first_and_reads_the_second_time(provider, client):
    system = [{"type": "text", "text": "[[agent:QA]] " + "Judge. " * 800, "cache_control": CACHED}]
    for _ in range(2):
        client.messages.create(**{**ASK, "system": system})
    first, second = provider.log
    assert first.usage.cache_write_1h_tokens == first.usage.cache_write_tokens > 0
    assert second.usage.cache_read_tokens >= 1024


def test_a_stream_tells_input_at_its_start_and_output_at_its_end(provider, client):
    events = list(client.messages.create(**ASK, stream=True))
    [entry] = provider.log
    assert events[0].message.usage.input_tokens == entry.usage.input_tokens
    assert events[-2].usage.output_tokens == entry.usage.output_tokens
    assert entry.told


def test_a_cut_stream_has_told_its_input_only(provider, client):
    provider.script(Reply(cut_after=3))
    with pytest.raises(Exception, match=r"(?i)connection|body|peer"):
        list(client.messages.create(**ASK, stream=True))
    [entry] = provider.log
    assert not entry.told
    assert entry.told_usage.input_tokens == entry.usage.input_tokens
    assert entry.told_usage.output_tokens == 1


def test_thinking_is_a_block_and_counted(provider, client):
    with client.messages.stream(**ASK, thinking={"type": "enabled", "budget_tokens": 1024}) as stream:
        message = stream.get_final_message()
    assert message.content[0].type == "thinking"
    assert message.usage.output_tokens_details.thinking_tokens == provider.log[0].usage.reasoning_tokens > 0


def test_tools_are_asked_for_whole_and_streamed(provider, client):
    provider.always(Reply(tool_calls=(("look", {"what": "one"}), ("look", {"what": "two"}))))
    whole = client.messages.create(**ASK, tools=[TOOL])
    with client.messages.stream(**ASK, tools=[TOOL]) as stream:
        streamed = stream.get_final_message()
    assert [block.input for block in whole.content] == [{"what": "one"}, {"what": "two"}]
    assert [block.input for block in streamed.content] == [{"what": "one"}, {"what": "two"}]
    assert provider.log[1].tools_asked == ("look", "look")


def test_a_tool_result_is_counted_as_the_growth_of_the_conversation(provider, client):
    provider.script(Reply(text="Let me look.", tool_calls=(("look", {"what": "here"}),)))
    asked = client.messages.create(**ASK, tools=[TOOL])
    result = {"type": "tool_result", "tool_use_id": asked.content[1].id, "content": "x" * 40}
    history = [*ASK["messages"], {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    client.messages.create(**{**ASK, "messages": history}, tools=[TOOL])
    first, second = provider.log
    assert second.results == (("look", 14),)
    assert second.usage.input_tokens - first.usage.input_tokens - first.usage.output_tokens == 14


def test_a_forced_tool_is_called(provider, client):
    message = client.messages.create(**ASK, tools=[TOOL], tool_choice={"type": "tool", "name": "look"})
    assert message.content[0].input == {"what": "fine"}


def test_overload_and_rate_limit_are_retried_by_the_client(provider, client):
    provider.script(Reply(status=529), Reply(status=429), agent="QA")
    client.messages.create(**ASK)
    assert [entry.status for entry in provider.log] == [529, 429, 200]


def test_beta_messages_and_token_counting_answer(provider, client):
    client.beta.messages.create(**ASK)
    counted = client.messages.count_tokens(**{key: ASK[key] for key in ("model", "system", "messages")})
    used, free = provider.log
    assert counted.input_tokens == used.usage.input_tokens
    assert (free.api, free.billed, free.usage) == ("anthropic.count_tokens", False, None)


async def test_the_async_client_streams(provider):
    client = anthropic.AsyncAnthropic(base_url=provider.anthropic_url, api_key="none")
    async with client, client.messages.stream(**ASK) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert message.content[0].text == text
    assert provider.log[0].told


def test_vertex_has_the_model_in_its_path(provider):
    client = anthropic.AnthropicVertex(base_url=provider.vertex_url, region="us-east5", project_id="none", access_token="none")
    ask = {**ASK, "model": "claude-haiku-4-5@20251001"}
    usage = client.messages.create(**ask).usage
    events = list(client.messages.create(**ask, stream=True))
    first, second = provider.log
    assert (first.model_asked, first.model_returned) == ("claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001")
    assert usage.output_tokens == first.usage.output_tokens
    assert events[-2].usage.output_tokens == second.usage.output_tokens


def test_bedrock_has_the_model_in_its_path(provider):
    client = anthropic.AnthropicBedrock(base_url=provider.bedrock_url, api_key="none", aws_region="us-east-1")
    client.messages.create(**{**ASK, "model": "us.anthropic.claude-haiku-4-5-20251001-v1:0"})
    [entry] = provider.log
    assert (entry.agent, entry.model_returned, entry.told) == ("QA", "claude-haiku-4-5-20251001", True)


def test_bedrock_streams_in_amazons_frames(provider):
    pytest.importorskip("botocore")
    client = anthropic.AnthropicBedrock(base_url=provider.bedrock_url, api_key="none", aws_region="us-east-1")
    events = list(client.messages.create(**{**ASK, "model": "anthropic.claude-haiku-4-5-20251001-v1:0"}, stream=True))
    assert events[-2].usage.output_tokens == provider.log[0].usage.output_tokens


def test_web_searches_are_told(provider, client):
    provider.script(Reply(web_searches=2))
    assert client.messages.create(**ASK).usage.server_tool_use.web_search_requests == 2
    assert provider.log[0].web_searches == 2


def test_token_counting_takes_no_scripted_reply(provider, client):
    provider.script(Reply(text="mine"))
    client.messages.count_tokens(**{key: ASK[key] for key in ("model", "messages")})
    assert client.messages.create(**ASK).content[0].text == "mine"


def test_a_batch_tells_its_usage_when_its_results_are_read(provider, client):
    provider.script(Reply(status=500), Reply(text="done"))
    params = {"custom_id": "one", "params": ASK}
    batch = client.messages.batches.create(requests=[params, {**params, "custom_id": "two"}])
    assert client.messages.batches.retrieve(batch.id).request_counts.succeeded == 1
    assert not any(entry.told for entry in provider.log)
    failed, done = client.messages.batches.results(batch.id)
    assert failed.result.type == "errored"
    assert done.result.message.usage.service_tier == "batch"
    assert [(entry.batch, entry.billed, entry.told) for entry in provider.log] == [(True, False, False), (True, True, True)]
