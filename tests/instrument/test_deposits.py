"""Requests of a provider's SDK inside a framework's call: one call, every token, however many requests, threads and late answers."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from openai import OpenAI

import costspan
from costspan.conventions import UNREPORTED_CALLS
from costspan.instrument.spans import Unit
from costspan.testing import Reply, Usage
from sdk_cases import balanced, calls, hello, open_units
from sdk_hosts import body, events, http, streamed

PAID = Usage(1000, 100)


class Model(BaseChatModel):
    """A model of somebody's own, which asks OpenAI's client as it likes and tells LangChain no usage."""

    work: object

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.work()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])

    @property
    def _llm_type(self):
        return "own"


@pytest.fixture
def client(provider):
    provider.always(Reply(text="hello", usage=PAID))
    return OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0)


def ask(client):
    client.chat.completions.create(model="gpt-4o", messages=hello())


def invoke(work):
    with costspan.run("nightly"), costspan.agent("PM"):
        return Model(work=work).invoke("hi")


def test_two_requests_one_after_the_other_are_one_call_with_the_tokens_of_both(seen, provider, client):
    invoke(lambda: (ask(client), ask(client)))
    balanced(seen, provider)
    assert (seen.tokens(agent="PM"), len(calls(seen))) == (2200, 1)


def test_requests_in_threads_are_one_call_with_the_tokens_of_all(seen, provider, client):
    def work():
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: ask(client), range(12)))

    invoke(work)
    balanced(seen, provider)
    assert (seen.tokens(agent="PM"), len(calls(seen))) == (13200, 1)


def test_a_second_request_that_fails_leaves_the_first_ones_tokens_and_is_unreported(seen, provider, client):
    provider.script(Reply(usage=PAID), Reply(cut_after=0))
    with pytest.raises(Exception, match="Connection error"):
        invoke(lambda: (ask(client), ask(client)))
    assert [entry.billed for entry in provider.log] == [True, True]
    assert (seen.tokens(), len(calls(seen)), open_units()) == (1100, 1, [])
    assert seen.metric(UNREPORTED_CALLS, reason="error") == 1


@pytest.fixture
def gated():
    """A client whose requests are answered once the gate is open, but for those that say that they are quick."""
    gate, asked = threading.Event(), threading.Event()

    def answer(request):
        if b"quick" not in request.read():
            asked.set()
            assert gate.wait(30)
        if b'"stream":true' in request.content.replace(b" ", b""):
            return streamed(events("openai"))
        return http.Response(200, json=body("openai"))

    client = OpenAI(api_key="none", http_client=http.Client(transport=http.MockTransport(answer)), max_retries=0)
    client.gate, client.asked = gate, asked
    yield client
    client.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_goes_on_when_the_call_has_ended_is_a_call_of_its_own(seen, gated, stream):
    """A hedged request: two are sent, the first answer is taken."""

    def slow():
        answer = gated.chat.completions.create(model="gpt-4o", messages=hello(), stream=stream)
        if stream:
            list(answer)

    thread = threading.Thread(target=slow)

    def work():
        thread.start()
        assert gated.asked.wait(30)
        gated.chat.completions.create(model="gpt-4o", messages=hello(text="quick"))

    invoke(work)
    assert seen.tokens(agent="PM") == 18
    gated.gate.set()
    thread.join()
    assert (seen.tokens(agent="PM"), len(calls(seen)), open_units()) == (36, 2, [])


async def test_a_request_in_an_executor_whose_task_was_cancelled_keeps_its_tokens(seen, gated):
    done = threading.Event()

    def work():
        ask(gated)
        done.set()

    with costspan.run("nightly"), costspan.agent("PM"):
        task = asyncio.create_task(Model(work=work).ainvoke("hi"))
        assert await asyncio.to_thread(gated.asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gated.gate.set()
        assert await asyncio.to_thread(done.wait, 30)
    assert (seen.tokens(agent="PM"), open_units()) == (18, [])


def test_a_request_that_begins_after_the_call_has_ended_is_a_call_like_any_other(seen, provider, client):
    kept = []

    def work():
        ask(client)
        kept.append(contextvars.copy_context())

    invoke(work)
    kept[0].run(ask, client)
    balanced(seen, provider)
    assert (seen.tokens(agent="PM"), len(calls(seen))) == (2200, 2)


@pytest.mark.parametrize(
    ("address", "known", "provider"),
    [
        ("https://openrouter.ai/api/v1", None, "openrouter"),
        ("https://api.deepseek.com/v1", None, "deepseek"),
        ("https://gateway.test/v1", None, "openai"),
        ("https://gateway.test/v1", "xai", "x_ai"),
    ],
)
def test_who_was_asked_is_what_the_client_says_unless_only_the_framework_knows(seen, address, known, provider):
    class Mine(ChatOpenAI):
        def _get_ls_params(self, *args, **more):
            return {**super()._get_ls_params(*args, **more), **({"ls_provider": known} if known else {})}

    transport = http.MockTransport(lambda request: http.Response(200, json=body("openai")))
    with http.Client(transport=transport) as http_client:
        Mine(model="m", base_url=address, api_key="none", http_client=http_client).invoke("hi")
    (call,) = calls(seen)
    assert call["gen_ai.provider.name"] == provider


def test_every_deposit_is_taken_once_or_turned_away():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(150):
            unit = Unit("call", None, None, {})
            unit.told = []
            refused, begin = [], threading.Barrier(4)
            deposits = [[object() for _ in range(20)] for _ in range(3)]

            def leave(mine, unit=unit, refused=refused, begin=begin):
                begin.wait()
                refused.extend(each for each in mine if not unit.leave(each))

            threads = [threading.Thread(target=leave, args=(mine,)) for mine in deposits]
            for thread in threads:
                thread.start()
            begin.wait()
            taken = unit.take()
            for thread in threads:
                thread.join()
            assert len(taken) + len(refused) == len({*taken, *refused}) == 60
            assert unit.take() == []
    finally:
        sys.setswitchinterval(interval)
