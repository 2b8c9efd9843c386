"""What is measured: a fake chat model without latency, and the five shapes in which programs call one through LangChain.

`pipeline` is 12 LangChain runs that are 12 spans for whoever traces them all: a root, three agents, each with one model
call, and five tool calls.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

MODEL = "gpt-4o"
ANSWERED = "gpt-4o-2024-08-06"
RESPONSE_ID = "chatcmpl-1"
USAGE: Any = {
    "input_tokens": 1000,
    "output_tokens": 200,
    "total_tokens": 1200,
    "input_token_details": {"cache_read": 600, "cache_creation": 0},
    "output_token_details": {"reasoning": 150},
}
TOLD = {"id": RESPONSE_ID, "model_name": ANSWERED, "finish_reason": "stop", "model_provider": "openai"}
CHUNKS = 200
CONCURRENT = 100
THREADS = 8


class Fake(BaseChatModel):
    """Answers at once, with the usage that OpenAI's integration would report. `breaks`: raises instead."""

    model_name: str = MODEL
    chunks: int = CHUNKS
    breaks: bool = False

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.breaks:
            raise ConnectionError("broken")
        message = AIMessage(content="hi", usage_metadata=USAGE, response_metadata=dict(TOLD))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(0)
        return self._generate(messages, stop, run_manager, **kwargs)

    def _parts(self) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.chunks - 1):
            yield ChatGenerationChunk(message=AIMessageChunk(content="x"))
        last = AIMessageChunk(content="", usage_metadata=USAGE, response_metadata=dict(TOLD))
        yield ChatGenerationChunk(message=last)

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for part in self._parts():
            if run_manager is not None:
                run_manager.on_llm_new_token(str(part.message.content), chunk=part)
            yield part

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for part in self._parts():
            await asyncio.sleep(0)
            if run_manager is not None:
                await run_manager.on_llm_new_token(str(part.message.content), chunk=part)
            yield part

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": MODEL, "ls_model_type": "chat"}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    @property
    def _llm_type(self) -> str:
        return "fake-chat"


MODEL_OBJECT = Fake()
LONG = Fake(chunks=2 * CHUNKS)
BROKEN = Fake(breaks=True)
AGENTS = ("PM", "Dev", "QA")
TOOLS_EACH = (1, 2, 2)


@tool
def look_up(query: str) -> str:
    """Look something up."""
    return "found"


def _agent(name: str, tools: int) -> Any:
    def work(text: str) -> str:
        for _ in range(tools):
            look_up.invoke({"query": text})
        return str(MODEL_OBJECT.invoke(text).content)

    async def awork(text: str) -> str:
        for _ in range(tools):
            await look_up.ainvoke({"query": text})
        return str((await MODEL_OBJECT.ainvoke(text)).content)

    work.__name__ = awork.__name__ = name
    return RunnableLambda(work, afunc=awork).with_config(run_name=name, metadata={"agent_name": name})


_agents = [_agent(name, tools) for name, tools in zip(AGENTS, TOOLS_EACH, strict=True)]


def _team(text: str) -> str:
    for agent in _agents:
        agent.invoke(text)
    return text


async def _ateam(text: str) -> str:
    for agent in _agents:
        await agent.ainvoke(text)
    return text


PIPELINE: Any = RunnableLambda(_team, afunc=_ateam)


def invoke() -> None:
    """One model call."""
    MODEL_OBJECT.invoke("x")


def pipeline() -> None:
    """12 runs, three of them model calls."""
    PIPELINE.invoke("x")


def stream() -> None:
    """One model call of 200 chunks."""
    for _ in MODEL_OBJECT.stream("x"):
        pass


def stream_long() -> None:
    """One model call of 400 chunks: the difference to `stream` is what a chunk costs."""
    for _ in LONG.stream("x"):
        pass


def async100() -> None:
    """100 pipelines at the same time in one event loop."""

    async def together() -> None:
        await asyncio.gather(*(PIPELINE.ainvoke("x") for _ in range(CONCURRENT)))

    asyncio.run(together())


def threads8() -> None:
    """A pipeline in each of eight threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(pipeline) for _ in range(THREADS)]:
            done.result()


# --- memory only ---------------------------------------------------------------------------------------
def error() -> None:
    """A model call that fails."""
    try:
        BROKEN.invoke("x")
    except ConnectionError:
        pass


def abandon() -> None:
    """A stream that its reader leaves after two chunks."""
    for place, _ in enumerate(MODEL_OBJECT.stream("x")):
        if place:
            break


def _cancelled(steps: int, work: Callable[[], Any]) -> None:
    async def start_and_cancel() -> None:
        async def one() -> None:
            task = asyncio.ensure_future(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

        await asyncio.gather(*(one() for _ in range(10)))

    asyncio.run(start_and_cancel())


async def _read() -> None:
    async for _ in MODEL_OBJECT.astream("x"):
        pass


def cancel() -> None:
    """Ten async streams that are cancelled in the middle."""
    _cancelled(30, _read)


def cancel_early() -> None:
    """Ten async streams and ten async calls that are cancelled while they begin."""
    _cancelled(2, _read)
    _cancelled(2, lambda: MODEL_OBJECT.ainvoke("x"))


SPEED: dict[str, tuple[Callable[[], None], float, int]] = {
    "invoke": (invoke, 1, 60),
    "pipeline": (pipeline, 1, 20),
    "stream": (stream, 1, 5),
    "stream_long": (stream_long, 1, 5),
    "async100": (async100, CONCURRENT, 1),
    "threads8": (threads8, THREADS, 1),
}
"""Name -> (what runs, how many units of work that is, how often instructions are counted): figures are per unit."""
LEAKS: dict[str, tuple[Callable[[], None], int]] = {
    "invoke": (invoke, 1),
    "error": (error, 1),
    "abandon": (abandon, 1),
    "cancel": (cancel, 10),
    "cancel_early": (cancel_early, 20),
}
"""Name -> (what runs, how many model calls that is)."""
