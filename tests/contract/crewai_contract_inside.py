"""Run by test_crewai.py: odd calls of `LLM.call` and `Crew.kickoff` have the same outcome with and without costspan."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from crewai import LLM, Agent, Crew, Process, Task
from crewai.flow.flow import Flow, start
from crewai.tools import tool
from pydantic import BaseModel

from costspan import guard
from costspan.instrument.spans import SWITCH
from costspan.testing import FakeProvider, Reply, measure
from crewai_crews import PAID, SAID, actor, job, model, pair
from fault_injection import HIT, functions_of, sabotage

RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[-0-9a-f]+|0x[0-9a-f]+|req_\d+|call_\d+\w*|\b\d{10,}(?:\.\d+)?\b|127\.0\.0\.1:\d+")
MODULES = ("crewai", "crewai_events", "crewai_names")
CASES = {}


class Note(BaseModel):
    title: str


@tool("lookup")
def lookup(word: str) -> str:
    """Look a word up."""
    return "found"


@tool("broken")
def broken(word: str) -> str:
    """Break."""
    raise ZeroDivisionError


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


def shown(value):
    if isinstance(value, BaseModel):
        value = [type(value).__name__, value.model_dump(mode="json", exclude={"id"})]
    return RANDOM.sub("", json.dumps(value, default=lambda each: f"{type(each).__name__} {each}", sort_keys=True))


def outcome(function):
    """What the program and the provider could notice of a case."""
    with FakeProvider(seed=1) as fake:
        fake.always(Reply(text=SAID, usage=PAID))
        try:
            result = function(fake)
            found = {"returned": shown(asyncio.run(result) if asyncio.iscoroutine(result) else result)}
        except BaseException as error:
            chain = [type(each).__name__ for each in (error, error.__cause__, error.__context__)]
            found = {"raised": [*chain, RANDOM.sub("", str(error))]}
        log = [(entry.agent, entry.status, entry.stream, entry.tools_asked) for entry in fake.log]
        return {**found, "sent": log}


MESSAGES = {
    "a text": "hi",
    "an empty text": "",
    "no messages": [],
    "None": None,
    "a message without content": [{"role": "user"}],
    "content that is None": [{"role": "user", "content": None}],
    "a number": 7,
    "a generator": "generator",
    "a tuple": ({"role": "user", "content": "hi"},),
    "parts": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "an unknown role": [{"role": "wizard", "content": "hi"}],
}
for _name, _given in MESSAGES.items():

    def _call(fake, given=_given):
        return model(fake).call((each for each in [{"role": "user", "content": "hi"}]) if given == "generator" else given)

    CASES[f"call with {_name}"] = _call

REPLIES = {
    "is empty": Reply(text=""),
    "tells no usage": Reply(text=SAID, omit_usage=True),
    "has usage that is a list": Reply(text=SAID, raw_usage=[1]),
    "has usage of strings": Reply(text=SAID, raw_usage={"prompt_tokens": "many", "completion_tokens": None}),
    "is html": Reply(raw_body="<html></html>"),
    "is an empty object": Reply(raw_body="{}"),
    "was cut for length": Reply(text="half", finish="length"),
    "is a refusal": Reply(text="no", finish="refusal"),
    "asks for a tool nobody has": Reply(tool_calls=(("nowhere", {}),)),
    "has broken arguments": Reply(tool_calls=(("lookup", '{"word": '),)),
    "is status 400": Reply(status=400),
    "is status 401": Reply(status=401),
    "is status 404": Reply(status=404),
    "is status 422": Reply(status=422),
}
for _name, _reply in REPLIES.items():

    def _answered(fake, reply=_reply):
        fake.script(reply)
        return model(fake, max_retries=0).call("hi")

    def _streamed(fake, reply=_reply):
        fake.script(reply)
        return model(fake, max_retries=0, stream=True).call("hi")

    async def _awaited(fake, reply=_reply):
        fake.script(reply)
        return await model(fake, max_retries=0).acall("hi")

    def _crew(fake, reply=_reply):
        fake.script(reply)
        who = actor("PM", model(fake, max_retries=0), tools=[lookup])
        return Crew(agents=[who], tasks=[job(who)]).kickoff(inputs={"topic": "x"}).raw

    CASES[f"an answer {_name}"] = _answered
    CASES[f"a stream {_name}"] = _streamed
    CASES[f"an awaited answer {_name}"] = _awaited
    CASES[f"a crew's answer {_name}"] = _crew


@case
def tools_and_functions_of_the_caller(fake):
    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}),)))
    schema = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    return model(fake).call("hi", tools=[schema], available_functions={"lookup": lambda **_: "found"})


@case
def a_function_of_the_caller_that_raises(fake):
    fake.script(Reply(tool_calls=(("lookup", {"word": "x"}),)))
    schema = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    return model(fake).call("hi", tools=[schema], available_functions={"lookup": lambda **_: 1 / 0})


@case
def a_response_model(fake):
    fake.script(Reply(text='{"title": "x"}'))
    return model(fake).call("hi", response_model=Note)


@case
def a_response_model_that_does_not_fit(fake):
    fake.script(Reply(text='{"title": 1'))
    return model(fake).call("hi", response_model=Note)


@case
def callbacks_that_are_none_or_raise(fake):
    return model(fake).call("hi", callbacks=[None, lambda: 1 / 0])


@case
def a_subclass_with_its_own_call(fake):
    class Mine(type(model(fake))):
        def call(self, *args, **kwargs):
            return [super().call(*args, **kwargs)]

    return Mine(model="gpt-4o", base_url=fake.openai_url, api_key="none").call("hi")


@case
def a_copied_model(fake):
    import copy

    return copy.copy(model(fake)).call("hi")


@case
def unknown_keywords(fake):
    return model(fake).call("hi", nonsense=1)


@case
def a_provider_that_is_nowhere(fake):
    try:
        return LLM(model="gpt-4o", base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0).call("hi")
    except Exception as error:
        return type(error).__name__


@case
def a_crew_with_inputs_that_are_missing(fake):
    return pair(fake).kickoff().raw


@case
def a_crew_with_inputs_of_odd_kinds(fake):
    return pair(fake).kickoff(inputs={"topic": 7.5, "more": None}).raw


@case
def a_crew_with_inputs_that_cannot_be(fake):
    return pair(fake).kickoff(inputs={"topic": object()}).raw


@case
def a_crew_of_nobody(fake):
    return Crew(agents=[], tasks=[]).kickoff()


@case
def a_crew_with_a_hook_that_raises(fake):
    return pair(fake, before_kickoff_callbacks=[lambda inputs: 1 / 0]).kickoff(inputs={"topic": "x"})


@case
def a_crew_with_an_after_hook_that_raises(fake):
    return pair(fake, after_kickoff_callbacks=[lambda output: 1 / 0]).kickoff(inputs={"topic": "x"})


@case
def a_tool_that_raises(fake):
    fake.script(Reply(tool_calls=(("broken", {"word": "x"}),), usage=PAID))
    who = actor("PM", model(fake), tools=[broken])
    return Crew(agents=[who], tasks=[job(who)]).kickoff(inputs={"topic": "x"}).raw


@case
def a_second_kickoff_of_one_crew(fake):
    crew = pair(fake)
    return [crew.kickoff(inputs={"topic": "x"}).token_usage, crew.kickoff(inputs={"topic": "y"}).token_usage, crew.usage_metrics]


@case
def kickoff_for_each(fake):
    return [each.raw for each in pair(fake).kickoff_for_each(inputs=[{"topic": "x"}, {"topic": "y"}])]


@case
async def a_native_async_kickoff(fake):
    return (await pair(fake).akickoff(inputs={"topic": "x"})).raw


@case
async def a_kickoff_in_a_thread_that_is_cancelled(fake):
    fake.always(Reply(text=SAID, usage=PAID, delay=0.5))
    work = asyncio.create_task(pair(fake).akickoff(inputs={"topic": "x"}))
    await asyncio.sleep(0)
    work.cancel("enough")
    try:
        return await work
    except asyncio.CancelledError as error:
        return ["cancelled", *error.args]


@case
def a_crew_that_streams(fake):
    output = pair(fake, stream=True).kickoff(inputs={"topic": "x"})
    text = [chunk.content for chunk in output]
    return [text, output.result.raw]


@case
def a_hierarchical_crew(fake):
    crew = pair(fake, process=Process.hierarchical, manager_llm=model(fake))
    crew.tasks = [Task(description="do it", expected_output="a text")]
    return crew.kickoff().raw


@case
async def a_flow_that_fails(fake):
    class Newsroom(Flow):
        @start()
        def draft(self):
            return 1 / 0

    return await Newsroom().kickoff_async()


@case
def an_agent_alone(fake):
    return actor("PM", model(fake)).kickoff("hello").raw


@case
def a_copied_agent(fake):
    return Agent.copy(actor("PM", model(fake))).kickoff("hello").raw


SOME = (
    "a stream is html",
    "a crew's answer has broken arguments",
    "kickoff for each",
    "a native async kickoff",
    "a flow that fails",
)


def test_the_matrix_is_wide_enough():
    assert len(CASES) >= 74


@pytest.fixture(scope="module")
def bare():
    assert SWITCH.spans is None
    return {name: outcome(function) for name, function in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(bare, name):
    with measure() as seen:
        measured = outcome(CASES[name])
        assert not guard.swallowed()
        ended = [span.context.span_id for span in seen.spans]
    assert measured == bare[name]
    assert len(ended) == len(set(ended))


@pytest.mark.parametrize(("module", "owner", "name"), functions_of(MODULES), ids=str)
def test_a_fault_of_ours_never_reaches_the_program(bare, module, owner, name):
    with measure(), pytest.MonkeyPatch.context() as patched:
        guard.raise_in_tests(False)
        sabotage(patched, MODULES, module, owner, name)
        assert {each: outcome(CASES[each]) for each in SOME} == {each: bare[each] for each in SOME}


def test_the_faults_were_real():
    assert len([each for each in HIT if each.partition(".")[0] in MODULES]) >= 15, sorted(HIT)
