"""Odd calls of a LangChain program: models, chains and graphs on a transport that answers what a case wants."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from sdk_hosts import Host, body, events, http, knowing_its_platform, shape, streamed
from sdk_odd_calls import ODD_BODIES, ODD_FIELDS, ODD_STREAMS

CASES: dict[str, Any] = {}
_RANDOM = re.compile(
    r"Task-\d+|lc_run-[-\w]+|\b[0-9a-f]{32}\b|run-[-0-9a-f]{20,}|[0-9a-f]{8}-[0-9a-f]{4}-[-0-9a-f]+|0x[0-9a-f]+|index -?\d+"
)


def case(function: Any) -> Any:
    CASES[function.__name__.replace("_", " ")] = function
    return function


class Program:
    """A ChatOpenAI on the transport of two hosts, one for each of its clients."""

    def __init__(self, **more: Any) -> None:
        self.sync, self.asynchronous = Host("openai"), Host("openai-async")
        self.more = more

    def answers(self, *given: Any) -> None:
        self.sync.answers, self.asynchronous.answers = list(given), list(given)

    def model(self, kind: type[ChatOpenAI] = ChatOpenAI, **more: Any) -> ChatOpenAI:
        made = kind(
            model="gpt-4o", api_key="none", base_url="http://provider.test/v1", max_retries=0,
            http_client=self.sync.client._client, http_async_client=self.asynchronous.client._client, **more,
        )  # fmt: skip
        knowing_its_platform(made.root_async_client)
        return made

    async def finish(self) -> None:
        await self.sync.finish()
        await self.asynchronous.finish()


def seen(value: Any) -> Any:
    """A result without what differs between any two runs."""
    if isinstance(value, BaseMessage):
        return [type(value).__name__, seen(value.model_dump(exclude={"id"}))]
    if isinstance(value, dict):
        return {key: seen(each) for key, each in value.items() if key != "id"}
    if isinstance(value, (list, tuple)):
        return [seen(each) for each in value]
    return json.loads(_RANDOM.sub("", json.dumps(shape(value), default=str)))


def outcome(run: Any) -> dict[str, Any]:
    """Everything that a program and its provider could notice of a case."""

    async def play() -> dict[str, Any]:
        program = Program()
        try:
            found = {"returned": seen(await run(program))}
        except BaseException as error:
            causes = [type(error.__cause__).__name__, type(error.__context__).__name__]
            found = {"raised": [type(error).__name__, _RANDOM.sub("", str(error)), *causes]}
        # What goes out side by side has no order of its own.
        found["sent"] = [sorted(client.sent, key=repr) for client in (program.sync, program.asynchronous)]
        await program.finish()
        return found

    gc.disable()
    try:
        return asyncio.run(play())
    except KeyboardInterrupt:
        return {"raised": "KeyboardInterrupt, out of the loop"}
    finally:
        gc.enable()


for _name, _changes in ODD_FIELDS.items():

    async def _whole(program: Program, changes: Any = _changes) -> Any:
        program.answers(body("openai", **changes))
        return program.model().invoke("hi")

    CASES[_name] = _whole

for _name, _answer in ODD_BODIES.items():

    async def _odd(program: Program, answer: Any = _answer) -> Any:
        program.answers(lambda: http.Response(answer.status_code, content=answer.content, headers=answer.headers))
        return await program.model().ainvoke("hi")

    CASES[f"the answer is {_name}"] = _odd

for _name, _change in ODD_STREAMS.items():

    async def _stream(program: Program, change: Any = _change) -> Any:
        program.answers(lambda: streamed(change("openai", events("openai"))))
        return list(program.model().stream("hi"))

    async def _astream(program: Program, change: Any = _change) -> Any:
        program.answers(lambda: streamed(change("openai", events("openai"))))
        return [chunk async for chunk in program.model(stream_usage=True).astream("hi")]

    CASES[f"a stream {_name}"] = _stream
    CASES[f"an async stream {_name}"] = _astream

for _status in (400, 401, 404, 429, 500, 503):

    async def _refused(program: Program, status: int = _status) -> Any:
        program.answers(lambda: http.Response(status, json={"error": {"message": "no"}}))
        return program.model().invoke("hi")

    CASES[f"the status is {_status}"] = _refused

for _error in (http.ConnectError("nobody"), http.ReadTimeout("slow"), ZeroDivisionError("odd"), KeyboardInterrupt()):

    async def _broken(program: Program, error: BaseException = _error) -> Any:
        program.answers(type(error)(*error.args))
        return program.model().invoke("hi")

    CASES[f"the transport raises {type(_error).__name__}"] = _broken


@case
async def a_batch_with_a_failure(program: Program) -> Any:
    program.answers(body("openai"), http.ReadTimeout("slow"), body("openai"))
    found = program.model().batch(["a", "b", "c"], config={"max_concurrency": 1}, return_exceptions=True)
    return [type(each).__name__ for each in found]


@case
async def an_async_batch(program: Program) -> Any:
    program.answers(body("openai"))
    return await program.model().abatch(["a", "b", "c"])


@case
async def a_stream_that_is_left(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    stream = program.model().stream("hi")
    first = next(stream)
    stream.close()
    return [first, list(stream)]


@case
async def an_async_stream_that_is_left(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    stream = program.model().astream("hi")
    first = await anext(stream)
    await stream.aclose()
    return [first, [chunk async for chunk in stream]]


@case
async def a_stream_into_which_the_host_throws(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    stream = program.model().stream("hi")
    next(stream)
    return stream.throw(ZeroDivisionError("host"))


@case
async def a_stream_that_is_never_started(program: Program) -> Any:
    stream = program.model().stream("hi")
    stream.close()
    return list(stream)


@case
async def a_chain_with_a_failing_step(program: Program) -> Any:
    program.answers(body("openai"))
    prompt = ChatPromptTemplate.from_messages([("user", "{topic}")])
    return (prompt | program.model() | RunnableLambda(lambda message: 1 / 0)).invoke({"topic": "x"})


@case
async def branches_in_parallel(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    return RunnableParallel(a=model, b=model | (lambda message: message.content)).invoke("hi")


@case
async def a_fallback(program: Program) -> Any:
    program.answers(http.ReadTimeout("slow"), body("openai"))
    model = program.model()
    return model.with_fallbacks([model]).invoke("hi")


class Answer(BaseModel):
    number: int


@case
async def a_structured_answer_that_does_not_parse(program: Program) -> Any:
    program.answers(body("openai"))
    return program.model().with_structured_output(Answer, method="json_mode").invoke("hi")


@case
async def config_and_metadata_of_all_kinds(program: Program) -> Any:
    program.answers(body("openai"))
    config = {"run_name": None, "tags": [], "metadata": {"x": None, "thread_id": 7}, "callbacks": []}
    found = program.model().invoke([HumanMessage("hi", id="7"), AIMessage(""), ("user", "x")], config=config)
    return [found, config]


def graph_of(**nodes: Any) -> Any:
    graph = StateGraph(MessagesState)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile()


@case
async def a_graph_of_nodes(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    graph = graph_of(a=lambda state: {"messages": [model.invoke("hi")]}, b=lambda state: {"messages": [model.invoke("ho")]})
    return [graph.invoke({"messages": []}), list(graph.stream({"messages": []}, stream_mode="updates"))]


@case
async def a_graph_that_fails(program: Program) -> Any:
    return graph_of(a=lambda state: 1 / 0).invoke({"messages": []})


@case
async def a_graph_that_is_interrupted(program: Program) -> Any:
    return graph_of(a=lambda state: {"messages": [interrupt("who?")]}).invoke({"messages": []})


@case
async def a_tool_that_fails(program: Program) -> Any:
    @tool
    def broken(query: str) -> str:
        """Break."""
        raise ValueError(query)

    return broken.invoke({"query": "x"})


@case
async def a_tool_with_bad_arguments(program: Program) -> Any:
    @tool
    def plain(query: str) -> str:
        """Answer."""
        return query

    return [plain.invoke("x"), await plain.ainvoke({"query": "y"}), plain.invoke({"novelty": 1})]


@case
async def a_model_of_somebody_else(program: Program) -> Any:
    fake = GenericFakeChatModel(messages=iter([AIMessage("a"), "b", AIMessage("c d e")]))
    return [fake.invoke("x"), await fake.ainvoke("y"), list(fake.stream("z"))]


@case
async def events_of_a_graph(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    model = program.model()
    graph = graph_of(a=lambda state: {"messages": [model.invoke("hi")]})
    return [event["event"] async for event in graph.astream_events({"messages": []}, version="v2")]
