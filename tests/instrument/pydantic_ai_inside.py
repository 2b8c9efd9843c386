"""Run by test_agent_frameworks.py: what goes wrong, streams, threads and other providers in Pydantic AI."""

from __future__ import annotations

import asyncio
import threading

import pydantic_ai
import pytest
from pydantic import BaseModel
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.usage import UsageLimits

import costspan
from agents_on_fake import PAID, agrees, closed, pa_agent, pa_model, paid_provider, told, tree  # noqa: F401 - a fixture
from costspan.testing import Reply

KINDS = pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])


class Note(BaseModel):
    title: str


def ask(tool, **arguments):
    return Reply(tool_calls=((tool, arguments),), usage=PAID)


@KINDS
@pytest.mark.parametrize("status", [429, 500])
async def test_a_request_that_is_retried_is_one_call(seen, fake, kind, status):
    fake.script(Reply(status=status), agent="PM")
    await pa_agent("PM", fake, kind).run("hello")
    agrees(seen, fake)
    assert [call.retry_count for call in seen.runs[0].calls] == [1]


@KINDS
async def test_a_structured_answer_is_counted(seen, fake, kind):
    fake.always(Reply(usage=PAID))
    await pa_agent("PM", fake, kind, output_type=pydantic_ai.ToolOutput(Note)).run("hello")
    agrees(seen, fake)


async def test_a_structured_answer_that_does_not_fit_is_asked_for_again_and_both_were_billed(seen, fake):
    fake.script(ask("final_result", title=[1]), ask("final_result", title="x"), agent="PM")
    await pa_agent("PM", fake, output_type=pydantic_ai.ToolOutput(Note)).run("hello")
    agrees(seen, fake)
    assert seen.tokens(agent="PM") == 2400


async def test_a_structured_answer_that_never_fits_keeps_what_was_paid(seen, fake):
    fake.always(ask("final_result", title=[1]))
    with pytest.raises(UnexpectedModelBehavior):
        await pa_agent("PM", fake, output_type=pydantic_ai.ToolOutput(Note)).run("hello")
    seen.handle.flush()
    assert seen.tokens(agent="PM") == told(fake) >= 2400
    assert [run.outcome for run in seen.runs] == ["error"]
    closed(seen)


async def test_a_tool_that_asks_for_another_try_pays_twice(seen, fake):
    boss = pa_agent("PM", fake)

    @boss.tool_plain(retries=2)
    def lookup(word: str) -> str:
        """Look a word up."""
        if word == "x":
            raise pydantic_ai.ModelRetry("another word")
        return "found"

    fake.script(ask("lookup", word="x"), ask("lookup", word="y"), agent="PM")
    await boss.run("hello")
    agrees(seen, fake)
    assert [(each.name, each.calls) for each in seen.runs[0].tools] == [("lookup", 2)]


async def test_a_tool_that_raises_ends_the_run_and_keeps_what_was_paid(seen, fake):
    boss = pa_agent("PM", fake)

    @boss.tool_plain
    def broken(word: str) -> str:
        """Break."""
        raise ZeroDivisionError

    fake.script(ask("broken", word="x"), agent="PM")
    with pytest.raises(ZeroDivisionError):
        await boss.run("hello")
    agrees(seen, fake)
    assert [(each.name, each.errors) for each in seen.runs[0].tools] == [("broken", 1)]
    assert [run.outcome for run in seen.runs] == ["error"]


async def test_tools_at_the_same_time_are_all_counted(seen, fake):
    boss = pa_agent("PM", fake)

    @boss.tool_plain
    async def lookup(word: str) -> str:
        """Look a word up."""
        return "found"

    fake.script(Reply(tool_calls=tuple(("lookup", {"word": str(n)}) for n in range(4)), usage=PAID), agent="PM")
    await boss.run("hello")
    agrees(seen, fake)
    assert [(each.name, each.calls) for each in seen.runs[0].tools] == [("lookup", 4)]


async def test_a_usage_limit_that_stops_a_run_keeps_what_was_paid(seen, fake):
    boss = pa_agent("PM", fake)

    @boss.tool_plain
    def lookup(word: str) -> str:
        """Look a word up."""
        return "found"

    fake.always(ask("lookup", word="x"))
    with pytest.raises(UsageLimitExceeded):
        await boss.run("hello", usage_limits=UsageLimits(request_limit=3))
    agrees(seen, fake)
    assert seen.tokens(agent="PM") == 3600


@KINDS
async def test_a_provider_that_refuses_costs_nothing(seen, fake, kind):
    fake.always(Reply(status=401))
    with pytest.raises(ModelHTTPError):
        await pa_agent("PM", fake, kind).run("hello")
    seen.handle.flush()
    assert (seen.tokens(), [run.outcome for run in seen.runs]) == (0, ["error"])
    assert seen.metric("costspan_calls_total", outcome="error") == 1
    closed(seen)


async def test_a_fallback_model_is_billed_where_the_first_was_refused(seen, fake):
    fake.script(Reply(status=400))
    model = FallbackModel(pa_model(fake), pa_model(fake, "anthropic"))
    await pydantic_ai.Agent(model, name="PM", system_prompt="[[agent:PM]]").run("hello")
    seen.handle.flush()
    assert (seen.tokens(), seen.tokens(provider="anthropic")) == (1200, 1200)
    closed(seen)


@KINDS
async def test_a_stream_is_counted(seen, fake, kind):
    async with pa_agent("PM", fake, kind).run_stream("hello") as result:
        async for _ in result.stream_text():
            pass
    agrees(seen, fake)


async def test_a_stream_that_is_left_early_is_counted_as_far_as_it_was_told(seen, fake):
    fake.always(Reply(text="word " * 40, usage=PAID, chunk_delay=0.2, chunks=20))
    async with pa_agent("PM", fake).run_stream("hello") as result:
        async for _ in result.stream_text(debounce_by=None):
            break
    seen.handle.flush()
    assert seen.tokens() == told(fake)
    closed(seen)


async def test_a_stream_that_is_cut_is_unreported(seen, fake):
    fake.always(Reply(text="word " * 40, usage=PAID, cut_after=2))
    with pytest.raises(Exception, match=r"(?s)."):
        async with pa_agent("PM", fake).run_stream("hello") as result:
            async for _ in result.stream_text():
                pass
    seen.handle.flush()
    assert seen.tokens() == told(fake) == 0
    assert seen.metric("costspan_unreported_calls_total") == len(fake.log)
    closed(seen)


async def test_a_gateway_that_tells_no_usage_of_a_stream_is_unreported(seen, fake):
    async with pa_agent("PM", fake, url=fake.gateway_url).run_stream("hello") as result:
        async for _ in result.stream_text():
            pass
    seen.handle.flush()
    assert (seen.tokens(), seen.metric("costspan_unreported_calls_total")) == (0, 1)


async def test_an_agent_that_is_iterated_is_counted(seen, fake):
    async with pa_agent("PM", fake).iter("hello") as run:
        async for _ in run:
            pass
    agrees(seen, fake)


async def test_a_run_that_is_cancelled_leaves_nothing_open(seen, fake):
    fake.always(Reply(text="done", usage=PAID, delay=2))
    work = asyncio.create_task(pa_agent("PM", fake).run("hello"))
    while not fake.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    seen.handle.flush()
    assert (seen.tokens(), seen.metric("costspan_unreported_calls_total")) == (0, 1)
    closed(seen)


async def test_fifty_runs_at_the_same_time_are_kept_apart(seen, fake):
    await asyncio.gather(*[pa_agent(f"A{n}", fake).run("hello") for n in range(50)])
    agrees(seen, fake)
    assert len(seen.runs) == 50


def test_runs_in_threads_are_kept_apart(seen, fake):
    def work(name):
        asyncio.run(pa_agent(name, fake).run("hello"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("PM", "Dev", "QA")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    agrees(seen, fake)
    assert len(seen.runs) == 3


async def test_an_output_validator_that_sends_work_back_pays_twice(seen, fake):
    boss = pa_agent("PM", fake, retries=2)
    tries = []

    @boss.output_validator
    def check(text: str) -> str:
        tries.append(text)
        if len(tries) == 1:
            raise pydantic_ai.ModelRetry("again")
        return text

    await boss.run("hello")
    agrees(seen, fake)
    assert seen.tokens(agent="PM") == 2400


async def test_an_agent_of_the_program_owns_nothing_of_the_frameworks_agents(seen, fake):
    with costspan.agent("Boss"):
        await pa_agent("PM", fake).run("hello")
    agrees(seen, fake)
    (run,) = seen.runs
    assert {each.name: each.subtree.usage.total_tokens for each in run.agents} == {"Boss": 1200, "PM": 1200}
