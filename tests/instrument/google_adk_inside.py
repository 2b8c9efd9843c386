"""Run by test_google_adk.py where Google ADK is installed: agents against the fake provider's own log, Gemini's API."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from google.adk.agents import Agent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models import Gemini
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.telemetry import tracing
from google.adk.tools.agent_tool import AgentTool
from google.genai import types
from opentelemetry import context as otel_context
from pydantic import BaseModel

import costspan
from costspan.testing import Reply, Usage, billed, measure

PAID = Usage(1000, 200)
CONTENT = "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"


@pytest.fixture
def fake(provider, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "none")
    provider.always(Reply(text="done", usage=PAID))
    return provider


def agent(name, fake, retries=None, **more):
    model = Gemini(model="gemini-2.5-flash", base_url=fake.gemini_url, retry_options=retries)
    return Agent(name=name, model=model, instruction=f"[[agent:{name}]]", description=name, **more)


def retrying():
    return types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.02, http_status_codes=[429, 500])


async def ask(root, text="hello", stream=False):
    runner = InMemoryRunner(root, app_name="team")
    session = await runner.session_service.create_session(app_name="team", user_id="someone")
    config = RunConfig(streaming_mode=StreamingMode.SSE) if stream else RunConfig()
    message = types.Content(role="user", parts=[types.Part(text=text)])
    async for event in runner.run_async(user_id="someone", session_id=session.id, new_message=message, run_config=config):
        yield event


async def answers(root, **how):
    return [event async for event in ask(root, **how)]


def agrees(seen, fake):
    seen.handle.flush()
    log = [entry for entry in fake.log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(entry.told_usage.input_tokens or 0 for entry in log)
    assert seen.tokens("output") == sum(entry.told_usage.output_tokens or 0 for entry in log)
    assert seen.metric("costspan_calls_total") >= len(log)
    for name, usage in billed(log).items():
        assert seen.tokens(agent=name) == usage.total_tokens, name
    for run in seen.runs:
        parts = [each.self_totals for each in run.agents] + [run.unattributed]
        assert run.totals.usage.total_tokens == sum(part.usage.total_tokens or 0 for part in parts)
    assert not otel_context.get_current()
    assert not seen.handle.pipeline.ledger.active()


def tree(run):
    return {each.name: each.self_totals.usage.total_tokens for each in run.agents}


def lookup(word: str) -> str:
    """Look a word up."""
    return "found"


def asks(tool, **arguments):
    return Reply(tool_calls=((tool, arguments),), usage=PAID)


async def test_an_agent_is_counted_and_priced(seen, fake):
    await answers(agent("PM", fake))
    agrees(seen, fake)
    (run,) = seen.runs
    assert (run.outcome, tree(run)) == ("ok", {"PM": 1200})
    assert run.workflow in {"PM", "invocation"}  # versions before 2.13 name it after nothing
    assert seen.metric("costspan_workflow_cost_usd_total", workflow=run.workflow) == run.totals.cost_usd
    assert seen.metric("costspan_cost_usd_total", provider="gcp.gemini", agent="PM") > 0


async def test_its_spans_tell_what_they_cost_on_their_way_out(fake):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    mine = TracerProvider(shutdown_on_exit=False)
    mine.add_span_processor(BatchSpanProcessor(kept))
    with measure(tracer_provider=mine) as seen:
        await answers(agent("PM", fake))
        seen.handle.flush()
    (call,) = [span for span in kept.get_finished_spans() if span.name.startswith("generate_content")]
    assert call.attributes["gen_ai.usage.cost.amount"] > 0
    mine.shutdown()


async def test_a_tool_belongs_to_its_agent(seen, fake):
    fake.script(asks("lookup", word="x"), agent="PM")
    await answers(agent("PM", fake, tools=[lookup]))
    agrees(seen, fake)
    (found,) = seen.runs[0].tools
    assert (found.name, found.calls, found.errors, found.agents) == ("lookup", 1, 0, ("PM",))
    assert seen.metric("costspan_tool_calls_total", agent="PM", tool="lookup", outcome="ok") == 1


async def test_tools_that_run_at_the_same_time_are_no_tool_of_their_own(seen, fake):
    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}), ("lookup", {"word": "y"})), usage=PAID), agent="PM")
    await answers(agent("PM", fake, tools=[lookup]))
    agrees(seen, fake)
    assert [(found.name, found.calls) for found in seen.runs[0].tools] == [("lookup", 2)]
    assert seen.metric("costspan_tool_calls_total") == 2


async def test_a_tool_that_raises_is_an_error_and_so_is_the_run(seen, fake):
    def broken(word: str) -> str:
        """Break."""
        raise ValueError("private words")

    fake.script(asks("broken", word="x"), agent="PM")
    with pytest.raises(ValueError, match="private words"):
        await answers(agent("PM", fake, tools=[broken]))
    agrees(seen, fake)
    assert seen.metric("costspan_tool_calls_total", tool="broken", outcome="error") == 1
    assert [run.outcome for run in seen.runs] == ["error"]


async def test_a_transfer_changes_the_owner(seen, fake):
    fake.script(asks("transfer_to_agent", agent_name="Dev"), agent="PM")
    await answers(agent("PM", fake, sub_agents=[agent("Dev", fake)]))
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200}


async def test_an_agent_in_a_tool_is_nested(seen, fake):
    fake.script(asks("Dev", request="x"), agent="PM")
    await answers(agent("PM", fake, tools=[AgentTool(agent("Dev", fake))]))
    agrees(seen, fake)
    (run,) = seen.runs
    assert tree(run) == {"PM": 2400, "Dev": 1200}
    assert (run.tools[0].name, run.tools[0].nested.usage.total_tokens) == ("Dev", 1200)


@pytest.mark.parametrize("kind", [SequentialAgent, ParallelAgent])
async def test_a_team_of_agents_is_told_apart(seen, fake, kind):
    await answers(kind(name="team", sub_agents=[agent(name, fake) for name in ("PM", "Dev", "QA")]))
    agrees(seen, fake)
    (run,) = seen.runs
    assert {name: tokens for name, tokens in tree(run).items() if tokens} == {"PM": 1200, "Dev": 1200, "QA": 1200}


async def test_every_turn_of_a_loop_is_counted(seen, fake):
    await answers(LoopAgent(name="loop", sub_agents=[agent("PM", fake)], max_iterations=3))
    agrees(seen, fake)
    assert seen.tokens(agent="PM") == 3600


async def test_a_stream_is_counted_once_by_its_last_chunk(seen, fake):
    await answers(agent("PM", fake), stream=True)
    agrees(seen, fake)
    assert [tree(run) for run in seen.runs] == [{"PM": 1200}]


async def test_a_stream_with_a_tool_is_counted(seen, fake):
    fake.script(asks("lookup", word="x"), agent="PM")
    await answers(agent("PM", fake, tools=[lookup]), stream=True)
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 2400}


async def test_a_stream_that_is_left_early_counts_what_was_told(seen, fake):
    fake.always(Reply(text="word " * 20, usage=PAID, chunk_delay=0.2))
    events = ask(agent("PM", fake), stream=True)
    await anext(events)
    await events.aclose()
    while not seen.runs:  # ADK ends what it has begun in a task of its own
        await asyncio.sleep(0.02)
    log = fake.log
    seen.handle.flush()
    assert 1000 <= seen.tokens() <= log[0].told_usage.total_tokens
    assert not seen.handle.pipeline.ledger.active()


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_provider_that_refuses_ends_the_run_as_an_error_without_tokens(seen, fake, status):
    fake.always(Reply(status=status))
    with pytest.raises(Exception, match=str(status)):
        await answers(agent("PM", fake))
    seen.handle.flush()
    (run,) = seen.runs
    assert (run.outcome, run.totals.usage.total_tokens) == ("error", None)
    assert seen.metric("costspan_calls_total", outcome="error") == 1


async def test_requests_that_were_retried_are_counted_once(seen, fake):
    fake.script(Reply(status=429), Reply(status=500), agent="PM")
    await answers(agent("PM", fake, retries=retrying()))
    agrees(seen, fake)
    assert (len(fake.log), seen.metric("costspan_calls_total")) == (3, 1)


async def test_a_connection_that_is_cut_is_an_error(seen, fake):
    fake.always(Reply(text="done", usage=PAID, cut_after=1))
    with pytest.raises(Exception, match=r"(?s)."):
        await answers(agent("PM", fake))
    seen.handle.flush()
    assert [run.outcome for run in seen.runs] == ["error"]
    assert seen.metric("costspan_calls_total", outcome="error") == 1


async def test_a_run_that_is_cancelled_leaves_nothing_open(seen, fake):
    fake.always(Reply(text="done", usage=PAID, delay=2))
    work = asyncio.create_task(answers(agent("PM", fake)))
    while not fake.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    seen.handle.flush()
    assert len(seen.runs) == 1  # ADK's spans do not tell that they were cancelled, only that no answer came
    assert seen.metric("costspan_unreported_calls_total") == 1
    assert not seen.handle.pipeline.ledger.active()


async def test_ten_runs_at_the_same_time_are_kept_apart(seen, fake):
    await asyncio.gather(*[answers(agent(f"A{number}", fake)) for number in range(10)])
    agrees(seen, fake)
    assert sorted(next(iter(tree(run))) for run in seen.runs) == sorted(f"A{number}" for number in range(10))


def test_runs_in_threads_are_kept_apart(seen, fake):
    def work(name):
        asyncio.run(answers(agent(name, fake)))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("PM", "Dev", "QA")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    agrees(seen, fake)
    assert len(seen.runs) == 3


def test_the_sync_runner_is_counted(seen, fake):
    runner = InMemoryRunner(agent("PM", fake), app_name="team")
    session = asyncio.run(runner.session_service.create_session(app_name="team", user_id="someone"))
    message = types.Content(role="user", parts=[types.Part(text="hello")])
    list(runner.run(user_id="someone", session_id=session.id, new_message=message))
    agrees(seen, fake)
    assert [tree(run) for run in seen.runs] == [{"PM": 1200}]


class Note(BaseModel):
    title: str


async def test_a_structured_answer_is_counted(seen, fake):
    fake.always(Reply(usage=PAID))
    await answers(agent("PM", fake, output_schema=Note, output_key="note"))
    agrees(seen, fake)


async def test_a_structured_answer_that_does_not_parse_was_billed(seen, fake):
    fake.always(Reply(text='{"title": 1', usage=PAID))
    try:
        await answers(agent("PM", fake, output_schema=Note, output_key="note"))
    except Exception:  # versions differ: some raise, some hand the text on
        pass
    agrees(seen, fake)
    assert seen.tokens() == 1200


async def test_thoughts_and_cached_tokens_are_told_apart(seen, fake):
    fake.always(Reply(text="done", usage=Usage(1000, 200, cache_read_tokens=600, reasoning_tokens=150)))
    await answers(agent("PM", fake))
    agrees(seen, fake)
    assert seen.metric("costspan_tokens_total", token_type="input_cache_read") == 600
    assert seen.metric("costspan_tokens_total", token_type="output_reasoning") == 150


async def test_an_answer_without_usage_is_unreported(seen, fake):
    fake.always(Reply(text="done", omit_usage=True))
    await answers(agent("PM", fake))
    seen.handle.flush()
    assert seen.metric("costspan_unreported_calls_total") == 1


async def test_a_call_that_a_callback_answers_is_no_request(seen, fake):
    def instead(callback_context, llm_request):
        return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="from a cache")]))

    await answers(agent("PM", fake, before_model_callback=instead))
    seen.handle.flush()
    assert fake.log == []
    assert seen.tokens() == 0


async def test_a_run_of_the_program_encloses_its_runs(seen, fake):
    with costspan.run("nightly"):
        await answers(agent("PM", fake))
        await answers(agent("Dev", fake))
    agrees(seen, fake)
    assert [(run.workflow, tree(run)) for run in seen.runs] == [("nightly", {"PM": 1200, "Dev": 1200})]


@pytest.mark.parametrize("schema", ["1", "2"])
async def test_prompts_and_answers_are_not_kept(fake, monkeypatch, schema):
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", schema)
    fake.always(Reply(text="private-answer", usage=PAID))
    fake.script(asks("lookup", word="private-argument"), agent="PM")
    with measure() as seen:
        await answers(agent("PM", fake, tools=[lookup]), text="private-question")
        assert len(seen.spans) >= 4
        assert "private-" not in str([(span.name, dict(span.attributes)) for span in seen.spans])
    assert CONTENT not in os.environ


async def test_the_older_spans_are_read_to_the_same_numbers(seen, fake, monkeypatch):
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", "1")
    fake.script(asks("transfer_to_agent", agent_name="Dev"), agent="PM")
    await answers(agent("PM", fake, sub_agents=[agent("Dev", fake)]))
    agrees(seen, fake)
    assert seen.metric("costspan_calls_total") == 2
    assert [tree(run) for run in seen.runs] == [{"PM": 1200, "Dev": 1200}]


async def test_claude_is_counted_once_although_three_layers_tell(seen, fake, monkeypatch):
    models = pytest.importorskip("google.adk.models.anthropic_llm")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.anthropic_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    fake.always(Reply(text="done", usage=Usage(1000, 200, cache_read_tokens=600, cache_write_tokens=100)))
    model = models.AnthropicLlm(model="claude-sonnet-4-5")
    await answers(Agent(name="PM", model=model, instruction="[[agent:PM]]"))
    agrees(seen, fake)
    assert seen.metric("costspan_calls_total", provider="anthropic") == 1
    assert [tree(run) for run in seen.runs] == [{"PM": 1200}]


def test_switching_off_restores_the_tracer(fake):
    before = dict(vars(tracing.tracer))
    with measure():
        assert vars(tracing.tracer).keys() - before.keys() == {"start_span", "start_as_current_span"}
    assert vars(tracing.tracer) == before


PROGRAM = """
import asyncio, os, sys
{own}
import costspan
runs = []
costspan.enable(on_run=runs.append)
sys.path.insert(0, {here!r})
from google_adk_inside import agent, answers
class Fake: gemini_url = {url!r}
asyncio.run(answers(agent("PM", Fake)))
print([run.totals.usage.total_tokens for run in runs], os.environ.get({content!r}))
"""
OWN = "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\ntrace.set_tracer_provider(TracerProvider())"


@pytest.mark.parametrize(("own", "quiet"), [("", "false"), (OWN, "None")])
def test_enable_is_all_that_a_program_needs(fake, own, quiet):
    from pathlib import Path

    program = PROGRAM.format(own=own, here=str(Path(__file__).parent), url=fake.gemini_url, content=CONTENT)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.strip() == f"[1200] {quiet}", done.stderr[-2000:]
