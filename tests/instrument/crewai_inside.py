"""Run by test_crewai.py where CrewAI is installed: crews against the fake provider's own log, right to the token."""

from __future__ import annotations

import asyncio
import threading

import pytest
from crewai import Agent, Crew, Process, Task
from crewai.events.event_bus import CrewAIEventsBus
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool
from opentelemetry import context as otel_context
from pydantic import BaseModel

import costspan
from costspan.instrument.spans import SWITCH
from costspan.testing import Reply, measure
from crewai_crews import PAID, SAID, actor, agrees, job, model, paid_provider, pair, tree  # noqa: F401 - a fixture


def test_agents_that_share_an_llm_are_told_apart_and_a_second_kickoff_starts_afresh(seen, fake):
    crew = pair(fake)
    outputs = [crew.kickoff(inputs={"topic": "pandas"}) for _ in range(2)]
    agrees(seen, fake)
    assert [run.totals.usage.total_tokens for run in seen.runs] == [2400, 2400]
    assert tree(seen.runs[1]) == {"PM": 1200, "Dev": 1200}
    assert [output.token_usage.total_tokens for output in outputs] != [2400, 2400]  # what CrewAI itself says


def test_a_run_is_a_crew_and_a_step_is_a_task(seen, fake):
    crew = pair(fake)
    crew.tasks[1].name = "write up"
    crew.kickoff(inputs={"topic": "pandas"})
    (run,) = seen.runs
    assert (run.workflow, run.outcome) == ("team", "ok")
    assert [(step.agent, step.name, step.totals.calls) for step in run.steps] == [("PM", "task 1", 1), ("Dev", "write up", 1)]


def test_anthropic_is_counted_once_although_its_sdk_writes_spans_too(fake):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    mine = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(mine)
    with measure(tracer_provider=mine) as seen:
        pair(fake, "anthropic").kickoff(inputs={"topic": "pandas"})
        seen.handle.flush()
        agrees(seen, fake)
        assert {span.instrumentation_scope.name for span in seen.spans} >= {"costspan", "com.anthropic.sdk.python"}


async def test_kickoff_async_is_counted(seen, fake):
    await pair(fake).kickoff_async(inputs={"topic": "pandas"})
    agrees(seen, fake)


async def test_native_async_is_counted(seen, fake):
    await pair(fake).akickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)


def test_kickoff_for_each_makes_a_run_per_input(seen, fake):
    pair(fake).kickoff_for_each(inputs=[{"topic": "pandas"}, {"topic": "bears"}, {"topic": "cats"}])
    agrees(seen, fake)
    assert [run.totals.usage.total_tokens for run in seen.runs] == [2400] * 3


async def test_async_kickoff_for_each_keeps_runs_that_overlap_apart(seen, fake):
    fake.always(Reply(text=SAID, usage=PAID, delay=0.05))
    inputs = [{"topic": "pandas"}, {"topic": "bears"}, {"topic": "cats"}]
    await pair(fake).kickoff_for_each_async(inputs=inputs)
    await pair(fake).akickoff_for_each(inputs=inputs)
    agrees(seen, fake)
    assert [run.totals.usage.total_tokens for run in seen.runs] == [2400] * 6


def test_crews_in_threads_of_the_program_are_kept_apart(seen, fake):
    threads = [threading.Thread(target=pair(fake).kickoff, kwargs={"inputs": {"topic": str(n)}}) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    agrees(seen, fake)
    assert [run.totals.usage.total_tokens for run in seen.runs] == [2400] * 3


def test_tasks_that_run_at_the_same_time_keep_their_agents(seen, fake):
    llm = model(fake)
    actors = [actor(name, llm) for name in ("PM", "Dev", "QA")]
    tasks = [job(actors[0], async_execution=True), job(actors[1], async_execution=True), job(actors[2])]
    Crew(agents=actors, tasks=tasks).kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200, "QA": 1200}


def test_tools_are_counted_and_belong_to_their_agent(seen, fake):
    @tool("lookup")
    def lookup(word: str) -> str:
        """Look a word up."""
        return "found " * 20

    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}),), usage=PAID), agent="PM")
    crew = pair(fake)
    crew.agents[0].tools = [lookup]
    crew.kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    (found,) = seen.runs[0].tools
    assert (found.name, found.calls, found.errors, found.agents) == ("lookup", 1, 0, ("PM",))
    assert seen.metric("costspan_tool_calls_total", tool="lookup", agent="PM", outcome="ok") == 1


def test_a_tool_that_raises_is_an_error(seen, fake):
    @tool("lookup")
    def lookup(word: str) -> str:
        """Look a word up."""
        raise ValueError("private words")

    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}),), usage=PAID), agent="PM")
    crew = pair(fake)
    crew.agents[0].tools = [lookup]
    crew.kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    assert seen.metric("costspan_tool_calls_total", tool="lookup", outcome="error") >= 1
    assert "private words" not in str([dict(span.attributes) for span in seen.spans])


def test_delegated_work_belongs_to_the_coworker_and_is_nested_in_the_tool(seen, fake):
    ask = {"task": "code it", "context": "all of it", "coworker": "Dev"}
    fake.script(Reply(tool_calls=(("delegate_work_to_coworker", ask),), usage=PAID), agent="PM")
    llm = model(fake)
    manager, worker = actor("PM", llm, allow_delegation=True), actor("Dev", llm)
    Crew(agents=[manager, worker], tasks=[job(manager)]).kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    (run,) = seen.runs
    assert tree(run) == {"PM": 2400, "Dev": 1200}
    (found,) = run.tools
    assert found.nested.usage.total_tokens == 1200
    assert {each.name: each.subtree.usage.total_tokens for each in run.agents} == {"PM": 3600, "Dev": 1200}


def test_a_hierarchical_crew_has_a_manager(seen, fake):
    ask = {"task": "code it", "context": "all of it", "coworker": "Dev"}
    fake.script(Reply(tool_calls=(("delegate_work_to_coworker", ask),), usage=PAID))
    crew = pair(fake, process=Process.hierarchical, manager_llm=model(fake))
    crew.tasks = [Task(description="do it", expected_output="a text")]
    crew.kickoff()
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"Crew Manager": 2400, "Dev": 1200}


async def test_a_flow_is_the_run_of_the_crews_in_it(seen, fake):
    class Newsroom(Flow):
        @start()
        def draft(self):
            return pair(fake).kickoff(inputs={"topic": "pandas"}).raw

        @listen(draft)
        async def check(self, text):
            return (await pair(fake).akickoff(inputs={"topic": "bears"})).raw

    await Newsroom().kickoff_async()
    agrees(seen, fake)
    (run,) = seen.runs
    assert (run.workflow, run.totals.usage.total_tokens) == ("Newsroom", 4800)
    assert tree(run) == {"PM": 2400, "Dev": 2400}


def test_a_sync_flow_is_counted(seen, fake):
    class Newsroom(Flow):
        @start()
        def draft(self):
            return model(fake).call("[[agent:draft]] hello")

    Newsroom().kickoff()
    log = fake.log
    assert seen.tokens() == sum(entry.usage.total_tokens for entry in log) > 0
    (run,) = seen.runs
    assert (run.workflow, run.totals.calls) == ("Newsroom", 1)


def test_a_crew_inside_a_tool_of_a_crew_is_counted_once(seen, fake):
    @tool("ask_team")
    def ask_team(question: str) -> str:
        """Ask another crew."""
        expert = actor("Expert", model(fake))
        return Crew(agents=[expert], tasks=[job(expert)], name="inner").kickoff(inputs={"topic": question}).raw

    fake.script(Reply(tool_calls=(("ask_team", {"question": "why"}),), usage=PAID), agent="PM")
    crew = pair(fake)
    crew.agents[0].tools = [ask_team]
    crew.kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    (run,) = seen.runs
    assert tree(run) == {"PM": 2400, "Expert": 1200, "Dev": 1200}
    assert run.workflow == "team"
    assert seen.tokens(workflow="team") == seen.tokens() == 4800  # the same name live and in the record
    (found,) = run.tools
    assert (found.name, found.nested.usage.total_tokens) == ("ask_team", 1200)


def test_an_agent_alone_is_a_run(seen, fake):
    actor("PM", model(fake)).kickoff("hello")
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200}


async def test_an_agent_alone_in_async_code_is_a_run(seen, fake):
    await actor("PM", model(fake)).kickoff_async("hello")
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200}


def test_a_crew_that_streams_is_counted_when_it_has_been_read(seen, fake):
    crew = pair(fake, stream=True)
    output = crew.kickoff(inputs={"topic": "pandas"})
    for _ in output:
        pass
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 1200, "Dev": 1200}


def test_converting_an_answer_to_a_model_belongs_to_the_tasks_agent(seen, fake):
    class Note(BaseModel):
        title: str

    fake.script(Reply(text='{"title": 1'), Reply(text="no json"), Reply(text='{"title": "x"}'), agent="PM")
    crew = pair(fake)
    crew.tasks[0].output_pydantic = Note
    crew.kickoff(inputs={"topic": "pandas"})
    log = fake.log
    assert seen.tokens() == sum(entry.usage.total_tokens for entry in log)
    assert seen.tokens(agent="Dev") == 1200
    assert seen.tokens(agent="PM") == seen.tokens() - 1200


def test_a_guardrail_that_sends_work_back_pays_twice(seen, fake):
    answers = iter([(False, "again"), (True, "fine")])
    crew = pair(fake)
    crew.tasks[0] = job(crew.agents[0], guardrail=lambda output: next(answers))
    crew.kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    assert tree(seen.runs[0]) == {"PM": 2400, "Dev": 1200}


def test_a_plan_that_is_made_first_belongs_to_the_planner(seen, fake):
    crew = pair(fake, planning=True, planning_llm=model(fake))
    fake.script(Reply(text='{"list_of_plans_per_task": [{"task_number": 1, "task": "a", "plan": "b"}, '
                           '{"task_number": 2, "task": "a", "plan": "b"}]}', usage=PAID))  # fmt: skip
    crew.kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    assert tree(seen.runs[0])["Task Execution Planner"] == 1200


def test_requests_that_were_retried_are_counted_once_with_their_retries(seen, fake):
    fake.script(Reply(status=429), Reply(status=500), agent="PM")
    pair(fake).kickoff(inputs={"topic": "pandas"})
    agrees(seen, fake)
    assert [call.retry_count for call in seen.runs[0].calls] == [2, 0]


def test_a_provider_that_is_down_ends_the_run_as_an_error_without_tokens(seen, fake):
    fake.always(Reply(status=401))
    with pytest.raises(Exception, match="401"):
        pair(fake).kickoff(inputs={"topic": "pandas"})
    (run,) = seen.runs
    assert (run.outcome, run.totals.usage.total_tokens) == ("error", None)
    assert not otel_context.get_current()
    assert not seen.handle.pipeline.ledger.active()


async def test_a_crew_that_is_cancelled_leaves_nothing_open_and_its_last_request_is_counted(seen, fake):
    fake.always(Reply(text=SAID, usage=PAID, delay=1))

    work = asyncio.create_task(pair(fake).akickoff(inputs={"topic": "pandas"}))
    while not fake.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    (run,) = seen.runs
    assert run.outcome == "cancelled"
    assert not seen.handle.pipeline.ledger.active()
    assert not otel_context.get_current()
    while SWITCH.spans.open_units():  # some versions ask in a thread, which no cancelling reaches
        await asyncio.sleep(0.02)
    (entry,) = fake.log
    told = 0 if entry.client_left else 1200
    assert (seen.tokens(), seen.metric("costspan_unreported_calls_total", reason="aborted")) == (told, not told)


def test_an_interrupted_crew_leaves_nothing_open_or_current(seen, fake, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    crew = pair(fake)
    monkeypatch.setattr(type(crew.agents[0].llm), "call", interrupt)
    with pytest.raises(KeyboardInterrupt):
        crew.kickoff(inputs={"topic": "pandas"})
    assert seen.runs[0].outcome == "cancelled"
    assert not otel_context.get_current()
    assert not seen.handle.pipeline.ledger.active()


def test_a_role_is_a_label_as_it_was_written_before_inputs_were_filled_in(seen, fake):
    crew = pair(fake, roles=("{topic} PM", "Dev of\n {topic}\n"))
    crew.kickoff(inputs={"topic": "secret-topic-0"})
    crew.kickoff_for_each(inputs=[{"topic": f"secret-topic-{n}"} for n in range(1, 4)])
    crew.kickoff(inputs={"topic": "secret-topic-9"})
    assert seen.tokens(agent="{topic} PM") == 1200 * 5
    assert seen.tokens(agent="Dev of {topic}") == 1200 * 5
    assert "secret-topic" not in str([(m.spec.name, s.labels) for m in seen.handle.pipeline.meters.collect() for s in m.series])
    assert "secret-topic" not in str([(span.name, dict(span.attributes)) for span in seen.spans])


def test_without_a_hook_of_the_client_crewais_own_event_tells_the_tokens(fake):
    with measure(instrument=["crewai"]) as seen:
        pair(fake).kickoff(inputs={"topic": "pandas"})
        agrees(seen, fake)
        assert seen.metric("costspan_calls_total", provider="openai") == 2
        assert seen.metric("costspan_cost_usd_total") > 0


def test_a_client_that_says_nothing_is_counted_as_unreported(fake):
    fake.always(Reply(text=SAID, omit_usage=True))
    with measure(instrument=["crewai"]) as seen:
        pair(fake).kickoff(inputs={"topic": "pandas"})
        assert seen.metric("costspan_unreported_calls_total", reason="unknown") == 2


def test_results_and_usage_of_crewai_are_the_same_with_and_without_costspan(fake):
    bare = pair(fake).kickoff(inputs={"topic": "pandas"})
    with measure():
        measured = pair(fake).kickoff(inputs={"topic": "pandas"})
    assert (bare.raw, bare.token_usage, type(bare)) == (measured.raw, measured.token_usage, type(measured))


def test_switching_off_restores_every_object():
    from crewai.agents.agent_builder.base_agent import BaseAgent

    def patched():
        return [vars(CrewAIEventsBus)["emit"], vars(Crew)["kickoff"], vars(Crew)["akickoff"], vars(BaseAgent)["copy"],
                vars(Flow).get("kickoff_async"), vars(Agent)["kickoff"], vars(Agent)["kickoff_async"]]  # fmt: skip

    before = patched()
    with measure():
        assert all(now is not then for now, then in zip(patched(), before, strict=True))
    assert all(now is then for now, then in zip(patched(), before, strict=True))


def test_content_is_never_kept(seen, fake):
    crew = pair(fake)
    crew.tasks[0].description = "private-description"
    fake.always(Reply(text="Thought: x\nFinal Answer: private-answer", usage=PAID))
    crew.kickoff(inputs={"topic": "private-input"})
    assert "private-" not in str([(span.name, dict(span.attributes)) for span in seen.spans])


def test_a_run_of_the_program_encloses_kickoffs(seen, fake):
    with costspan.run("nightly"):
        pair(fake).kickoff(inputs={"topic": "pandas"})
        pair(fake).kickoff(inputs={"topic": "bears"})
    agrees(seen, fake)
    assert [(run.workflow, run.totals.usage.total_tokens) for run in seen.runs] == [("nightly", 4800)]
