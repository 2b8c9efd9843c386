"""A request that never left the machine is a failed call that nobody bills, whoever made it; in doubt it may have been billed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from anthropic import Anthropic, AsyncAnthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

import costspan
from costspan.conventions import UNREPORTED_CALLS, WASTED_TOKENS
from costspan.instrument.unsent import never_left
from costspan.report.console import render
from costspan.testing import Reply
from sdk_cases import hello
from sdk_hosts import http

NOWHERE = "http://127.0.0.1:9/v1"
ANTHROPIC = {"model": "claude-haiku-4-5", "max_tokens": 9}


def openai_sync(base_url, messages, **more):
    with OpenAI(base_url=base_url, api_key="none", max_retries=0, **more) as client:
        client.chat.completions.create(model="gpt-4o", messages=messages)


def openai_stream(base_url, messages, **more):
    with OpenAI(base_url=base_url, api_key="none", max_retries=0, **more) as client:
        list(client.chat.completions.create(model="gpt-4o", messages=messages, stream=True))


def openai_async(base_url, messages, **more):
    async def ask():
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, **more) as client:
            await client.chat.completions.create(model="gpt-4o", messages=messages)

    asyncio.run(ask())


def anthropic_sync(base_url, messages, **more):
    with Anthropic(base_url=base_url, api_key="none", max_retries=0, **more) as client:
        client.messages.create(**ANTHROPIC, messages=messages)


def anthropic_async(base_url, messages, **more):
    async def ask():
        async with AsyncAnthropic(base_url=base_url, api_key="none", max_retries=0, **more) as client:
            await client.messages.create(**ANTHROPIC, messages=messages)

    asyncio.run(ask())


def chat_openai(base_url, **more):
    return ChatOpenAI(model="gpt-4o", base_url=base_url, api_key="none", max_retries=0, **more)


def langchain_invoke(base_url, messages, **more):
    chat_openai(base_url, **more).invoke(messages)


def langchain_ainvoke(base_url, messages, **more):
    asyncio.run(chat_openai(base_url, **more).ainvoke(messages))


def langchain_stream(base_url, messages, **more):
    list(chat_openai(base_url, **more).stream(messages))


def langchain_anthropic(base_url, messages, **more):
    ChatAnthropic(model="claude-haiku-4-5", base_url=base_url, api_key="none", max_retries=0, **more).invoke(messages)


ADAPTERS = (
    openai_sync, openai_stream, openai_async, anthropic_sync, anthropic_async,
    langchain_invoke, langchain_ainvoke, langchain_stream, langchain_anthropic,
)  # fmt: skip
ADDRESSES = {"refused": NOWHERE, "no protocol": "nonsense", "no host": "http://", "odd protocol": "gopher://x.test/v1"}


def not_sent(seen):
    """Every call failed before it was sent: none is unreported, and none is waste."""
    calls = [call for run in seen.runs for call in run.calls]
    assert [(call.missing_reason, call.refused) for call in calls] == [("not_sent", True)] * len(calls)
    assert seen.metric(UNREPORTED_CALLS) == seen.metric(WASTED_TOKENS) == 0
    return len(calls)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("ask", ADAPTERS, ids=lambda ask: ask.__name__)
def test_an_address_that_cannot_be_reached_bills_nothing(seen, ask, address):
    with costspan.run("nightly"), contextlib.suppress(Exception):
        ask(ADDRESSES[address], hello())
    assert not_sent(seen) == 1
    assert "unreported" not in render(seen.runs[0])


@pytest.mark.parametrize("ask", [each for each in ADAPTERS if "langchain" not in each.__name__], ids=lambda ask: ask.__name__)
def test_words_that_cannot_be_written_are_not_sent(seen, provider, ask):
    with costspan.run("nightly"), pytest.raises(TypeError):
        ask(provider.openai_url, [{"role": "user", "content": object()}])
    assert not_sent(seen) == 1
    assert provider.log == []


def test_a_closed_client_sends_nothing(seen, provider):
    client = OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0)
    client.close()
    with costspan.run("nightly"), pytest.raises(Exception, match="closed|Connection error"):
        client.chat.completions.create(model="gpt-4o", messages=hello())
    assert not_sent(seen) == 1


def test_a_program_that_is_interrupted_while_it_waits_for_a_retry_bills_nothing(seen, provider, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("openai._base_client.time.sleep", interrupted)
    provider.always(Reply(status=500))
    with (
        costspan.run("nightly"),
        OpenAI(base_url=provider.openai_url, api_key="none") as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.chat.completions.create(model="gpt-4o", messages=hello())
    monkeypatch.undo()
    assert not_sent(seen) == 1
    assert seen.runs[0].calls[0].retry_count == 1


def test_of_two_requests_in_one_call_one_that_was_sent_is_enough_to_be_unreported(seen, provider):
    class Twice(GenericFakeChatModel):
        def _generate(self, *args, **kwargs):
            with contextlib.suppress(Exception):
                openai_sync(provider.openai_url, hello())
            openai_sync(NOWHERE, hello())

    provider.always(Reply(cut_after=0))
    with costspan.run("nightly"), pytest.raises(Exception, match="Connection error"):
        Twice(messages=iter([AIMessage("x")])).invoke("hi")
    (call,) = seen.runs[0].calls
    assert (call.missing_reason, call.refused) == ("error", False)
    assert seen.metric(UNREPORTED_CALLS, reason="error") == 1


@pytest.mark.parametrize(
    "error", [http.ReadTimeout("slow"), http.ReadError("cut"), http.RemoteProtocolError("cut"), TimeoutError(), ValueError()]
)
def test_in_doubt_it_may_have_been_sent(error):
    assert not never_left(error)
    loop = ValueError()
    loop.__cause__ = loop
    assert not never_left(loop)
