"""Run by test_agent_frameworks.py where the frameworks are installed: agents against the fake provider's own log."""

from __future__ import annotations

import asyncio

import agents
import openai
import pydantic_ai
import pytest
from agents.tracing.provider import SynchronousMultiTracingProcessor
from opentelemetry import context as otel_context

import costspan
from agents_on_fake import PAID, agrees, oa_agent, pa_agent, paid_provider, tree  # noqa: F401 - a fixture
from costspan.testing import Reply, measure


# --- OpenAI Agents SDK ----------------------------------------------------------------------------------
@agents.function_tool
def lookup(word: str) -> str:
    """Look a word up."""
    return "found"


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_openai_agents_run_sync_is_counted_for_its_agent(seen, fake, kind):
    agents.Runner.run_sync(oa_agent("PM", fake, kind), "hello")
    agrees(seen, fake)
    assert [(run.workflow, run.outcome, tree(run)) for run in seen.runs] == [("Agent workflow", "ok", {"PM": 1200})]


async def test_openai_agents_tools_are_counted(seen, fake):
    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}),), usage=PAID), agent="PM")
    await agents.Runner.run(oa_agent("PM", fake, tools=[lookup]), "hello")
    agrees(seen, fake)
    (found,) = seen.runs[0].tools
    assert (found.name, found.calls, found.agents) == ("lookup", 1, ("PM",))


async def test_openai_agents_handoffs_change_the_owner(seen, fake):
    fake.script(Reply(tool_calls=(("transfer_to_dev", {}),), usage=PAID), agent="PM")
    await agents.Runner.run(oa_agent("PM", fake, handoffs=[oa_agent("Dev", fake)]), "hello")
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200}


async def test_openai_agents_agent_as_a_tool_is_nested(seen, fake):
    fake.script(Reply(tool_calls=(("ask_dev", {"input": "x"}),), usage=PAID), agent="PM")
    helper = oa_agent("Dev", fake).as_tool(tool_name="ask_dev", tool_description="ask")
    await agents.Runner.run(oa_agent("PM", fake, tools=[helper]), "hello")
    agrees(seen, fake)
    (run,) = seen.runs
    assert tree(run) == {"PM": 2400, "Dev": 1200}
    assert run.tools[0].nested.usage.total_tokens == 1200


async def test_openai_agents_streams_are_counted(seen, fake):
    wanted = agents.ModelSettings(include_usage=True)
    result = agents.Runner.run_streamed(oa_agent("PM", fake, model_settings=wanted), "hello")
    async for _ in result.stream_events():
        pass
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200}


async def test_openai_agents_stream_that_tells_no_usage_is_unreported(seen, fake):
    result = agents.Runner.run_streamed(oa_agent("PM", fake), "hello")
    async for _ in result.stream_events():
        pass
    assert seen.metric("costspan_unreported_calls_total", reason="stream_without_usage") == 1


async def test_openai_agents_runs_at_the_same_time_are_kept_apart(seen, fake):
    await asyncio.gather(*[agents.Runner.run(oa_agent(name, fake), "hello") for name in ("PM", "Dev", "QA")])
    agrees(seen, fake)
    assert sorted(next(iter(tree(run))) for run in seen.runs) == ["Dev", "PM", "QA"]


async def test_openai_agents_named_trace_holds_several_runs(seen, fake):
    with agents.trace("nightly", group_id="thread-1"):
        await agents.Runner.run(oa_agent("PM", fake), "hello")
        await agents.Runner.run(oa_agent("Dev", fake), "hello")
    agrees(seen, fake)
    assert [(run.workflow, tree(run)) for run in seen.runs] == [("nightly", {"PM": 1200, "Dev": 1200})]


async def test_openai_agents_failure_ends_the_run_as_an_error(seen, fake):
    fake.always(Reply(status=401))
    with pytest.raises(openai.AuthenticationError):
        await agents.Runner.run(oa_agent("PM", fake), "hello")
    assert [run.outcome for run in seen.runs] == ["error"]
    assert not otel_context.get_current()


async def test_openai_agents_inside_an_except_block_is_no_error(seen, fake):
    try:
        raise ValueError
    except ValueError:
        await agents.Runner.run(oa_agent("PM", fake), "hello")
    assert [run.outcome for run in seen.runs] == ["ok"]


async def test_openai_agents_without_a_client_hook_tells_its_own_usage(fake):
    with measure(instrument=["openai_agents"]) as seen:
        await agents.Runner.run(oa_agent("PM", fake), "hello")
        await agents.Runner.run(oa_agent("Dev", fake, "responses"), "hello")
        agrees(seen, fake)


async def test_openai_agents_without_tracing_counts_calls_without_an_agent(seen, fake):
    agents.set_tracing_disabled(True)
    try:
        await agents.Runner.run(oa_agent("PM", fake), "hello")
    finally:
        agents.set_tracing_disabled(False)
    assert seen.tokens() == 1200


def test_switching_off_restores_the_agents_sdk():
    kind = SynchronousMultiTracingProcessor
    names = ("on_trace_start", "on_trace_end", "on_span_start", "on_span_end")
    before = [vars(kind)[name] for name in names]
    with measure():
        assert all(vars(kind)[name] is not then for name, then in zip(names, before, strict=True))
    assert [vars(kind)[name] for name in names] == before


# --- Pydantic AI ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_pydantic_ai_is_counted_once_for_its_agent(seen, fake, kind):
    pa_agent("PM", fake, kind).run_sync("hello")
    agrees(seen, fake)
    assert [tree(run) for run in seen.runs] == [{"PM": 1200}]


async def test_pydantic_ai_tools_and_agents_in_tools_are_told_apart(seen, fake):
    helper = pa_agent("Dev", fake)
    boss = pa_agent("PM", fake)

    @boss.tool_plain
    async def ask_dev(question: str) -> str:
        """Ask."""
        return (await helper.run(question)).output

    fake.script(Reply(tool_calls=(("ask_dev", {"question": "x"}),), usage=PAID), agent="PM")
    await boss.run("hello")
    agrees(seen, fake)
    (run,) = seen.runs
    assert tree(run) == {"PM": 2400, "Dev": 1200}
    assert (run.tools[0].name, run.tools[0].nested.usage.total_tokens) == ("ask_dev", 1200)


async def test_pydantic_ai_streams_are_counted(seen, fake):
    async with pa_agent("PM", fake).run_stream("hello") as result:
        async for _ in result.stream_text():
            pass
    agrees(seen, fake)


async def test_pydantic_ai_runs_at_the_same_time_are_kept_apart(seen, fake):
    await asyncio.gather(*[pa_agent(name, fake).run("hello") for name in ("PM", "Dev", "QA")])
    agrees(seen, fake)


async def test_pydantic_ai_keeps_no_content(seen, fake):
    fake.always(Reply(text="private-answer", usage=PAID))
    await pa_agent("PM", fake).run("private-question")
    assert len(seen.spans) >= 2
    assert "private-" not in str([(span.name, dict(span.attributes)) for span in seen.spans])


async def test_pydantic_ai_spans_tell_their_cost(seen, fake):
    await pa_agent("PM", fake).run("hello")
    assert any("gen_ai.usage.cost.amount" in span.attributes for span in seen.spans)


def test_a_programs_own_setting_for_pydantic_ai_is_left_alone():
    mine = pydantic_ai.InstrumentationSettings()
    pydantic_ai.Agent.instrument_all(mine)
    try:
        with measure():
            assert pydantic_ai.Agent._instrument_default is mine
        assert pydantic_ai.Agent._instrument_default is mine
    finally:
        pydantic_ai.Agent.instrument_all(False)


def test_switching_off_takes_the_default_of_pydantic_ai_back():
    with measure():
        assert pydantic_ai.Agent._instrument_default
    assert pydantic_ai.Agent._instrument_default is False


async def test_a_run_of_the_program_encloses_both_frameworks(seen, fake):
    with costspan.run("nightly"):
        await pa_agent("PM", fake).run("hello")
        await agents.Runner.run(oa_agent("Dev", fake), "hello")
    agrees(seen, fake)
    assert [(run.workflow, tree(run)) for run in seen.runs] == [("nightly", {"PM": 1200, "Dev": 1200})]
