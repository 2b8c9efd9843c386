"""Passes that Anthropic bills beside an answer (compaction, an advisor model) are billed here too, however the call is made."""

from __future__ import annotations

import pytest
from anthropic import Anthropic, AsyncAnthropic
from langchain_anthropic import ChatAnthropic

import costspan
from costspan.testing import Reply
from sdk_cases import calls, hello, open_units

ASK = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": hello()}
COMPACTION = {"type": "compaction", "input_tokens": 100, "output_tokens": 20}
ADVICE = {"type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 50, "output_tokens": 5}
USAGE = {
    "input_tokens": 10, "output_tokens": 2, "service_tier": "batch",
    "iterations": [COMPACTION, ADVICE, {"type": "message", "input_tokens": 10, "output_tokens": 2}],
}  # fmt: skip


async def create(url):
    Anthropic(base_url=url, api_key="none").messages.create(**ASK)


async def create_async(url):
    await AsyncAnthropic(base_url=url, api_key="none").messages.create(**ASK)


async def stream(url):
    list(Anthropic(base_url=url, api_key="none").messages.create(**ASK, stream=True))


async def stream_async(url):
    async for _ in await AsyncAnthropic(base_url=url, api_key="none").messages.create(**ASK, stream=True):
        pass


async def helper(url):
    with Anthropic(base_url=url, api_key="none").beta.messages.stream(**ASK) as events:
        events.until_done()


async def raw(url):
    assert Anthropic(base_url=url, api_key="none").messages.with_raw_response.create(**ASK).http_response.json()


async def streamed_response(url):
    with Anthropic(base_url=url, api_key="none").messages.with_streaming_response.create(**ASK, stream=True) as response:
        list(response.iter_lines())


async def batch(url):
    client = Anthropic(base_url=url, api_key="none")
    made = client.messages.batches.create(requests=[{"custom_id": "1", "params": ASK}])
    for _ in range(2):
        list(client.messages.batches.results(made.id))


async def langchain(url):
    ChatAnthropic(model=ASK["model"], base_url=url, api_key="none").invoke(hello())


async def langchain_stream(url):
    list(ChatAnthropic(model=ASK["model"], base_url=url, api_key="none").stream(hello()))


async def langchain_astream(url):
    assert [piece async for piece in ChatAnthropic(model=ASK["model"], base_url=url, api_key="none").astream(hello())]


WAYS = [
    create, create_async, stream, stream_async, helper, raw, streamed_response, batch, langchain, langchain_stream, langchain_astream
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_passes_beside_the_answer_are_calls_of_their_own(seen, provider, way):
    provider.always(Reply(raw_usage=USAGE, service_tier="batch"))
    with costspan.run("beside"), costspan.agent("PM"):
        await way(provider.anthropic_url)
    assert seen.tokens(agent="PM") == seen.tokens() == 12 + 120 + 55
    assert sorted(call["gen_ai.request.model"][:12] for call in calls(seen)) == ["claude-haiku"] * 2 + ["claude-opus-"]
    (run,) = seen.runs
    assert (run.totals.calls, run.waste, len({call.id for call in run.calls})) == (3, (), 3)
    assert {call.service_tier for call in run.calls} == {"batch"}
    assert seen.metric("costspan_unreported_calls_total") == 0
    assert float(seen.metric("costspan_cost_usd_total")) == float(run.totals.cost_usd) > 0
    assert not open_units()


@pytest.mark.parametrize("way", [create, stream, langchain, langchain_stream], ids=lambda way: way.__name__)
async def test_an_answer_by_a_fallback_model_is_one_call_of_that_model_beside_what_the_refusing_one_wrote(seen, provider, way):
    refused = {"type": "message", "model": "claude-haiku-4-5", "input_tokens": 100, "output_tokens": 20}
    served = {"type": "fallback_message", "model": "claude-opus-4-5", "input_tokens": 10, "output_tokens": 2}
    usage = {"input_tokens": 10, "output_tokens": 2, "iterations": [refused, served]}
    # A stream begins under the name of the model that was asked; a whole answer bears that of the one which served it.
    streams = way in (stream, langchain_stream)
    provider.always(Reply(raw_usage=usage, model="claude-haiku-4-5" if streams else "claude-opus-4-5"))
    with costspan.run("fallback"), costspan.agent("PM"):
        await way(provider.anthropic_url)
    (run,) = seen.runs
    assert sorted((call.model, call.usage.total_tokens) for call in run.calls) == [
        ("claude-haiku-4-5", 120),
        ("claude-opus-4-5", 12),
    ]
