"""Run by test_agent_frameworks.py: what goes wrong, streams, threads and other providers in the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
import threading

import agents
import openai
import pytest
from pydantic import BaseModel

import costspan
from agents_on_fake import PAID, agrees, closed, oa_agent, paid_provider, told, tree  # noqa: F401 - a fixture
from costspan.testing import Reply

KINDS = pytest.mark.parametrize("kind", ["chat", "responses"])
USAGE = agents.ModelSettings(include_usage=True)


class Note(BaseModel):
    title: str


@agents.function_tool
def lookup(word: str) -> str:
    """Look a word up."""
    return "found"


def ask(tool, **arguments):
    return Reply(tool_calls=((tool, arguments),), usage=PAID)


async def read(result):
    async for _ in result.stream_events():
        pass


@KINDS
@pytest.mark.parametrize("status", [429, 500])
async def test_a_request_that_is_retried_is_one_call(seen, fake, kind, status):
    fake.script(Reply(status=status), agent="PM")
    await agents.Runner.run(oa_agent("PM", fake, kind), "hello")
    agrees(seen, fake)
    assert [call.retry_count for call in seen.runs[0].calls] == [1]


@KINDS
async def test_a_structured_answer_is_counted(seen, fake, kind):
    fake.always(Reply(usage=PAID))
    await agents.Runner.run(oa_agent("PM", fake, kind, output_type=Note), "hello")
    agrees(seen, fake)


@KINDS
async def test_a_structured_answer_that_does_not_parse_was_billed(seen, fake, kind):
    fake.always(Reply(text='{"title": 1', usage=PAID))
    with pytest.raises(agents.ModelBehaviorError):
        await agents.Runner.run(oa_agent("PM", fake, kind, output_type=Note), "hello")
    assert seen.tokens(agent="PM") == told(fake) == 1200
    assert [run.outcome for run in seen.runs] == ["error"]
    closed(seen)


async def test_a_tool_that_raises_is_an_error_and_the_run_goes_on(seen, fake):
    @agents.function_tool
    def broken(word: str) -> str:
        """Break."""
        raise ValueError("private words")

    fake.script(ask("broken", word="x"), agent="PM")
    await agents.Runner.run(oa_agent("PM", fake, tools=[broken]), "hello")
    agrees(seen, fake)
    assert [(each.name, each.errors) for each in seen.runs[0].tools] == [("broken", 1)]
    assert "private words" not in str([dict(span.attributes) for span in seen.spans])


async def test_a_tool_that_does_not_exist_was_billed(seen, fake):
    fake.script(ask("nowhere", word="x"), agent="PM")
    with pytest.raises(agents.ModelBehaviorError):
        await agents.Runner.run(oa_agent("PM", fake, tools=[lookup]), "hello")
    assert seen.tokens(agent="PM") == told(fake) == 1200
    closed(seen)


async def test_tools_at_the_same_time_are_all_counted(seen, fake):
    calls = tuple(("lookup", {"word": str(n)}) for n in range(4))
    fake.script(Reply(tool_calls=calls, usage=PAID), agent="PM")
    await agents.Runner.run(oa_agent("PM", fake, tools=[lookup]), "hello")
    agrees(seen, fake)
    assert [(each.name, each.calls) for each in seen.runs[0].tools] == [("lookup", 4)]


async def test_too_many_turns_keep_what_was_paid(seen, fake):
    fake.always(ask("lookup", word="x"))
    with pytest.raises(agents.MaxTurnsExceeded):
        await agents.Runner.run(oa_agent("PM", fake, tools=[lookup]), "hello", max_turns=3)
    assert seen.tokens(agent="PM") == told(fake) == 3600
    closed(seen)


@pytest.mark.parametrize("trips", [False, True])
async def test_a_guardrail_that_asks_an_agent_pays_for_it(seen, fake, trips):
    judge = oa_agent("Judge", fake)

    @agents.input_guardrail
    async def check(context, agent, given):
        await agents.Runner.run(judge, "fine?")
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=trips)

    work = agents.Runner.run(oa_agent("PM", fake, input_guardrails=[check]), "hello")
    if trips:
        with pytest.raises(agents.InputGuardrailTripwireTriggered):
            await work
    else:
        await work
    assert seen.tokens(agent="Judge") == 1200
    assert seen.tokens() == told(fake)
    assert len(seen.runs) == 1
    closed(seen)


async def test_an_output_guardrail_that_trips_keeps_what_was_paid(seen, fake):
    @agents.output_guardrail
    async def check(context, agent, given):
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    with pytest.raises(agents.OutputGuardrailTripwireTriggered):
        await agents.Runner.run(oa_agent("PM", fake, output_guardrails=[check]), "hello")
    assert seen.tokens(agent="PM") == 1200
    assert [run.outcome for run in seen.runs] == ["error"]
    closed(seen)


async def test_a_chain_of_handoffs_is_told_apart(seen, fake):
    fake.script(ask("transfer_to_dev"), agent="PM")
    fake.script(ask("transfer_to_qa"), agent="Dev")
    dev = oa_agent("Dev", fake, handoffs=[oa_agent("QA", fake)])
    await agents.Runner.run(oa_agent("PM", fake, handoffs=[dev]), "hello")
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200, "QA": 1200}


@KINDS
async def test_a_stream_with_a_handoff_is_told_apart(seen, fake, kind):
    fake.script(ask("transfer_to_dev"), agent="PM")
    dev = oa_agent("Dev", fake, kind, model_settings=USAGE)
    await read(agents.Runner.run_streamed(oa_agent("PM", fake, kind, handoffs=[dev], model_settings=USAGE), "hello"))
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200}


async def test_a_stream_that_is_cancelled_is_unreported(seen, fake):
    fake.always(Reply(text="word " * 40, usage=PAID, chunk_delay=0.3, chunks=20))
    result = agents.Runner.run_streamed(oa_agent("PM", fake, model_settings=USAGE), "hello")
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            result.cancel()
    while not seen.metric("costspan_calls_total"):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert seen.tokens() == told(fake)
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == (0 if told(fake) else 1)


async def test_a_stream_that_is_cut_is_unreported(seen, fake):
    fake.always(Reply(text="word " * 40, usage=PAID, cut_after=2))
    with pytest.raises(Exception, match=r"(?s)."):
        await read(agents.Runner.run_streamed(oa_agent("PM", fake, model_settings=USAGE), "hello"))
    assert seen.tokens() == told(fake) == 0
    assert seen.metric("costspan_unreported_calls_total") == len(fake.log)


async def test_a_run_that_is_cancelled_leaves_nothing_open(seen, fake):
    fake.always(Reply(text="done", usage=PAID, delay=2))
    work = asyncio.create_task(agents.Runner.run(oa_agent("PM", fake), "hello"))
    while not fake.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1
    assert [run.outcome for run in seen.runs] == ["cancelled"]
    closed(seen)


async def test_fifty_runs_at_the_same_time_are_kept_apart(seen, fake):
    await asyncio.gather(*[agents.Runner.run(oa_agent(f"A{n}", fake), "hello") for n in range(50)])
    agrees(seen, fake)
    assert len(seen.runs) == 50


def test_runs_in_threads_are_kept_apart(seen, fake):
    def work(name):
        asyncio.run(agents.Runner.run(oa_agent(name, fake), "hello"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("PM", "Dev", "QA")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    agrees(seen, fake)
    assert len(seen.runs) == 3


@pytest.mark.parametrize("where", ["azure", "gateway"])
async def test_other_addresses_are_counted_alike(seen, fake, where):
    if where == "azure":
        client = openai.AsyncAzureOpenAI(azure_endpoint=fake.azure_url, api_key="none", api_version="2024-10-21")
    else:
        client = openai.AsyncOpenAI(base_url=fake.gateway_url, api_key="none")
    await agents.Runner.run(oa_agent("PM", fake, client=client), "hello")
    agrees(seen, fake)


async def test_a_run_with_tracing_disabled_counts_its_calls_for_nobody(seen, fake):
    await agents.Runner.run(oa_agent("PM", fake), "hello", run_config=agents.RunConfig(tracing_disabled=True))
    assert seen.tokens() == told(fake) == 1200
    closed(seen)


async def test_an_agent_of_the_program_owns_nothing_of_the_sdks_agents(seen, fake):
    with costspan.agent("Boss"):
        await agents.Runner.run(oa_agent("PM", fake), "hello")
    agrees(seen, fake)
    (run,) = seen.runs
    assert {each.name: each.subtree.usage.total_tokens for each in run.agents} == {"Boss": 1200, "PM": 1200}
