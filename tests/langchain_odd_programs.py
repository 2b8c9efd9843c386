"""Odd LangChain programs: what hosts pass, how they call, close, copy, time out and cancel, and what they can look at."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import inspect
import pickle
import threading
from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from langchain_odd_calls import Answer, Program, graph_of
from sdk_hosts import body, events, http, streamed

CASES: dict[str, Any] = {}


def case(function: Any) -> Any:
    CASES[function.__name__.replace("_", " ")] = function
    return function


class Mine(HumanMessage):
    """A message of the host's own kind."""


# --- what a host may pass -----------------------------------------------------------------------------------
ODD_INPUTS: dict[str, Any] = {
    "a generator of messages": lambda: (HumanMessage(str(n)) for n in range(2)),
    "an iterator of messages": lambda: iter([HumanMessage("hi")]),
    "a tuple of messages": lambda: (HumanMessage("hi"),),
    "no messages": list,
    "null": lambda: None,
    "a number": lambda: 7,
    "a dict": lambda: {"role": "user", "content": "hi"},
    "dicts": lambda: [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}],
    "pairs": lambda: [("system", ""), ("human", "hi")],
    "a prompt value": lambda: StringPromptValue(text="hi"),
    "messages of its own kind": lambda: [Mine("hi")],
    "blocks": lambda: [HumanMessage([{"type": "text", "text": "x"}, "y", {"type": "image_url", "image_url": {"url": "data:,"}}])],
    "odd blocks": lambda: [HumanMessage([{}, {"type": None}, {"text": 7}])],
    "a tool's answer to nobody": lambda: [ToolMessage("x", tool_call_id="none")],
    "tool calls without arguments": lambda: [
        AIMessage("", tool_calls=[{"name": "x", "args": {}, "id": None}]),
        HumanMessage("x"),
    ],
    "invalid tool calls": lambda: [AIMessage("", invalid_tool_calls=[{"name": None, "args": None, "id": None, "error": None}])],
    "a very long message": lambda: [HumanMessage("x" * 100_000)],
    "two thousand messages": lambda: [HumanMessage("x")] * 2000,
    "half a character": lambda: [HumanMessage("\ud800")],
    "a removed content": lambda: [HumanMessage.model_construct(content=None, type="human")],
    "a message without fields": lambda: [SystemMessage.model_construct()],
}
for _name, _input in ODD_INPUTS.items():

    async def _passing(program: Program, given: Any = _input) -> Any:
        program.answers(body("openai"))
        return program.model().invoke(given())

    async def _streaming(program: Program, given: Any = _input) -> Any:
        program.answers(lambda: streamed(events("openai")))
        return [chunk async for chunk in program.model().astream(given())]

    CASES[f"with {_name}"] = _passing
    CASES[f"an async stream with {_name}"] = _streaming

ODD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "null everywhere": {"config": None, "stop": None},
    "a null callback": {"config": {"callbacks": None, "tags": None, "metadata": None, "run_name": None, "configurable": None}},
    "an unknown key of the config": {"config": {"novelty": 1}},
    "metadata that no JSON can hold": {"config": {"metadata": {"x": object, 7: {1}, "ls_provider": 7, "thread_id": object}}},
    "an unknown argument": {"novelty": 1},
    "odd headers": {"extra_headers": {"X-Odd": "é", "X-Empty": "", "X-Number": 7}},
    "odd stops": {"stop": ()},
    "tools that are none": {"tools": [], "tool_choice": None},
    "a timeout of nothing": {"timeout": None},
    "a run id that is no id": {"config": {"run_id": "x"}},
    "a limit of zero": {"config": {"max_concurrency": 0, "recursion_limit": 0}},
}
for _name, _arguments in ODD_ARGUMENTS.items():

    async def _arguing(program: Program, arguments: Any = _arguments) -> Any:
        program.answers(body("openai"))
        return program.model().invoke("hi", **arguments)

    CASES[f"with {_name}"] = _arguing


# --- ways of calling ----------------------------------------------------------------------------------------
@case
async def raw_headers_are_asked_for(program: Program) -> Any:
    program.answers(lambda: http.Response(200, json=body("openai"), headers={"X-A": "1"}))
    model = program.model(include_response_headers=True)
    found = [model.invoke("hi"), await model.ainvoke("hi")]
    program.answers(lambda: streamed(events("openai"), headers={"X-A": "1"}))
    return [*found, list(model.stream("hi")), [chunk async for chunk in model.astream("hi")]]


@case
async def structured_answers_with_the_raw_one(program: Program) -> Any:
    program.answers(body("openai"))
    return program.model().with_structured_output(Answer, method="json_mode", include_raw=True).invoke("hi")


@case
async def bound_configured_and_retried(program: Program) -> Any:
    program.answers(http.ReadTimeout("slow"), body("openai"))
    model = program.model().bind(stop=["x"]).with_config(tags=["a"], metadata={"x": 1}).with_retry(wait_exponential_jitter=False)
    return await model.ainvoke("hi")


@case
async def copied_models(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    return [copy.copy(model).invoke("hi"), model.model_copy(update={"temperature": 0.5}).invoke("hi")]


@case
async def a_pickled_model(program: Program) -> Any:
    return pickle.loads(pickle.dumps(program.model())).invoke("hi")


@case
async def pickled_answers(program: Program) -> Any:
    program.answers(body("openai"))
    found = program.model().invoke("hi")
    return [pickle.loads(pickle.dumps(found)), copy.deepcopy(found)]


@case
async def a_subclass_that_overrides_everything(program: Program) -> Any:
    program.answers(body("openai"))
    seen = []

    class Loud(ChatOpenAI):
        def invoke(self, *args, **more):
            seen.append("invoke")
            return super().invoke(*args, **more)

        def _generate(self, *args, **more):
            seen.append("generate")
            return super()._generate(*args, **more)

        async def _agenerate(self, *args, **more):
            seen.append("agenerate")
            return await super()._agenerate(*args, **more)

    model = program.model(kind=Loud)
    return [model.invoke("hi"), await model.ainvoke("hi"), model.batch(["a"]), seen]


class Odd(BaseChatModel):
    """A model of the host's own whose answer is odd."""

    answer: Any = None

    @property
    def _llm_type(self):
        return "odd"

    def _generate(self, messages, stop=None, run_manager=None, **more):
        return self.answer


for _name, _answer in {
    "null": None,
    "no generations": ChatResult(generations=[]),
    "a generation without usage": ChatResult(generations=[ChatGeneration(message=AIMessage("x"))], llm_output=None),
    "usage that is odd": ChatResult(
        generations=[ChatGeneration(message=AIMessage("x", response_metadata={"token_usage": [1], "model_name": 7}))],
        llm_output={"token_usage": "many", "model_name": None},
    ),
}.items():

    async def _odd(program: Program, answer: Any = _answer) -> Any:
        return [Odd(answer=answer).invoke("x"), await Odd(answer=answer).ainvoke("x")]

    CASES[f"a model answers {_name}"] = _odd


@case
async def twenty_calls_at_once(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    return await asyncio.gather(*(model.ainvoke("hi") for _ in range(20)))


@case
async def calls_in_threads(program: Program) -> Any:
    program.answers(body("openai"))
    model, found = program.model(), []
    threads = [threading.Thread(target=lambda: found.append(model.invoke("hi"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@case
async def a_cache_of_the_hosts(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model(cache=InMemoryCache())
    return [model.invoke("hi"), model.invoke("hi"), await model.ainvoke("hi")]


@case
async def batches_as_they_complete(program: Program) -> Any:
    program.answers(body("openai"))
    return sorted(program.model().batch_as_completed(["a", "b"], config={"max_concurrency": 1}), key=lambda pair: pair[0])


# --- what a host can look at ----------------------------------------------------------------------------------
class Watcher(BaseCallbackHandler):
    """Writes down which of its methods are called, and with how many handlers beside it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **more: self.events.append(name)
        return super().__getattribute__(name)


@case
async def callbacks_come_in_the_same_order(program: Program) -> Any:
    program.answers(body("openai"))
    watcher = Watcher()
    chain = RunnableLambda(lambda text: text) | program.model()
    chain.invoke("hi", config={"callbacks": [watcher]})
    await chain.ainvoke("hi", config={"callbacks": [watcher]})
    program.answers(lambda: streamed(events("openai")))
    list(chain.stream("hi", config={"callbacks": [watcher]}))
    return watcher.events


@case
async def a_callback_that_raises(program: Program) -> Any:
    class Broken(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, *args: Any, **more: Any) -> None:
            raise ZeroDivisionError("host")

    program.answers(body("openai"))
    return program.model().invoke("hi", config={"callbacks": [Broken()]})


@case
async def a_list_of_callbacks_stays_the_hosts(program: Program) -> Any:
    program.answers(body("openai"))
    config = {"callbacks": [Watcher()], "tags": ["a"], "metadata": {"b": 1}}
    program.model().invoke("hi", config=config)
    return [len(config["callbacks"]), config["tags"], config["metadata"], sorted(config)]


@case
async def langchains_own_count_of_usage(program: Program) -> Any:
    program.answers(body("openai"))
    with get_usage_metadata_callback() as usage:
        program.model().invoke("hi")
        await program.model().ainvoke("hi")
    return usage.usage_metadata


@case
async def functions_are_what_they_were(program: Program) -> Any:
    model = program.model()
    graph = graph_of(a=lambda state: {})
    found = [
        model.invoke, model.ainvoke, model.stream, model.astream, model._generate_with_cache, model._agenerate_with_cache,
        graph.invoke, graph.ainvoke, graph.stream, graph.astream, graph.get_name, threading.Thread.start,
    ]  # fmt: skip
    return [
        [
            inspect.iscoroutinefunction(each), inspect.isasyncgenfunction(each), inspect.isgeneratorfunction(each),
            each.__name__, each.__qualname__, each.__module__, str(inspect.signature(each)),
        ]
        for each in found
    ]  # fmt: skip


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("host", default="unset")


@case
async def variables_of_the_hosts_context(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()

    def node(state: Any) -> Any:
        before = VARIABLE.get()
        VARIABLE.set("node")
        return {"messages": [model.invoke("hi").content, before, VARIABLE.get()]}

    VARIABLE.set("host")
    return [graph_of(a=node).invoke({"messages": []}), VARIABLE.get()]


# --- leaving, closing, timing out, cancelling -------------------------------------------------------------------
@case
async def a_stream_closed_from_another_thread(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    stream = program.model().stream("hi")
    first = next(stream)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()
    return [first, list(stream)]


@case
async def streams_closed_at_once(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    streams = [program.model().astream("hi") for _ in range(3)]
    firsts = [await anext(stream) for stream in streams]
    await asyncio.gather(*(stream.aclose() for stream in streams), return_exceptions=True)
    return firsts


@case
async def streams_that_are_read_in_turns(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    streams, found = [program.model().stream(str(n)) for n in range(3)], []
    while streams:
        for stream in list(streams):
            chunk = next(stream, None)
            if chunk is None:
                streams.remove(stream)
            found.append(chunk)
    return found


@case
async def an_error_of_the_host_thrown_into_an_async_stream(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai")))
    stream = program.model().astream("hi")
    await anext(stream)
    return await stream.athrow(ZeroDivisionError("host"))


@case
async def an_async_stream_that_is_never_started(program: Program) -> Any:
    stream = program.model().astream("hi")
    await stream.aclose()
    return [chunk async for chunk in stream]


@case
async def a_call_that_times_out(program: Program) -> Any:
    program.answers(lambda: streamed(events("openai"), pause=5))
    stream = program.model().astream("hi")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            return [chunk async for chunk in stream]
    return "timed out"


@case
async def a_graph_stream_that_is_left(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    node = lambda state: {"messages": [model.invoke("hi")]}  # noqa: E731
    stream = graph_of(a=node, b=node).stream({"messages": []}, stream_mode="updates")
    first = next(stream)
    stream.close()
    return [first, list(stream)]


def _cancelled(ticks: int, how: str) -> Any:
    async def run(program: Program) -> Any:
        program.answers(body("openai") if how != "stream" else streamed(events("openai")))
        model = program.model()

        async def node(state: Any) -> Any:
            return {"messages": [await model.ainvoke("hi")]}

        async def work() -> Any:
            if how == "stream":
                return [chunk async for chunk in model.astream("hi")]
            if how == "graph":
                return await graph_of(a=node).ainvoke({"messages": []})
            return await model.ainvoke("hi")

        task = asyncio.create_task(work())
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel("enough")
        try:
            return await task
        except asyncio.CancelledError as error:
            return ["cancelled", *error.args]

    return run


for _how, _steps in (("call", 14), ("stream", 5), ("graph", 24)):
    for _ticks in range(_steps + 1):
        CASES[f"a {_how} cancelled after {_ticks} steps"] = _cancelled(_ticks, _how)


# --- graphs ---------------------------------------------------------------------------------------------------
@case
async def a_graph_that_goes_on_after_an_interrupt(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    builder = StateGraph(MessagesState)
    builder.add_node("a", lambda state: {"messages": [model.invoke(interrupt("who?"))]})
    builder.add_edge(START, "a")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    return [bool(graph.invoke({"messages": []}, config)["__interrupt__"]), graph.invoke(Command(resume="me"), config)]


@case
async def a_graph_that_fans_out(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    builder = StateGraph(MessagesState)
    builder.add_node("a", lambda state: {"messages": [model.invoke("hi")]})
    builder.add_conditional_edges(START, lambda state: [Send("a", state) for _ in range(3)])
    builder.add_edge("a", END)
    graph = builder.compile()
    return [len(graph.invoke({"messages": []})["messages"]), len((await graph.ainvoke({"messages": []}))["messages"])]


@case
async def a_graph_within_a_graph(program: Program) -> Any:
    program.answers(body("openai"))
    model = program.model()
    inner = graph_of(x=lambda state: {"messages": [model.invoke("hi")]})
    outer = graph_of(a=inner, b=lambda state: {"messages": [model.invoke("ho")]})
    return [len(path) for path, _ in outer.stream({"messages": []}, subgraphs=True, stream_mode="updates")]
