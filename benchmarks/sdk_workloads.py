"""What is measured of the providers' own SDKs: the real clients on a transport that answers at once, without a socket.

`build("openai")` and `build("anthropic")` give the same three shapes: one whole answer, one stream of 200 pieces, and 100
async requests at the same time. The answers are what the providers send, with usage.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

CHUNKS = 200
CONCURRENT = 100
MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]


class Transport:
    """Answers of one provider: whole, or as server-sent events when the request asks for a stream."""

    def __init__(self, http: Any, whole: dict[str, Any], events: Callable[[int], list[bytes]]) -> None:
        self.http = http
        self.body = json.dumps(whole).encode()
        self.parts = events(CHUNKS)

    def answer(self, request: Any) -> Any:
        asked = json.loads(request.content)
        if not asked.get("stream"):
            return self.http.Response(200, headers={"content-type": "application/json"}, content=self.body)
        return self.http.Response(200, headers={"content-type": "text/event-stream"}, stream=_stream(self.http, self.parts))

    async def async_answer(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return self.answer(request)


def _stream(http: Any, parts: list[bytes]) -> Any:
    class Parts(http.SyncByteStream, http.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from parts

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for part in parts:
                yield part

    return Parts()


def _event(data: dict[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


# --- OpenAI ------------------------------------------------------------------------------------------------
_OPENAI_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_OPENAI = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06"}


def _openai_whole() -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}
    return {**_OPENAI, "object": "chat.completion", "choices": [choice], "usage": _OPENAI_USAGE}


def _openai_events(count: int) -> list[bytes]:
    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({**_OPENAI, "object": "chat.completion.chunk", "choices": [choice]})

    usage = _event({**_OPENAI, "object": "chat.completion.chunk", "choices": [], "usage": _OPENAI_USAGE})
    words = [chunk({"content": "x"}) for _ in range(count - 3)]
    return [chunk({"role": "assistant", "content": ""}), *words, chunk({}, "stop"), usage, b"data: [DONE]\n\n"]


def _openai(http: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import openai

    transport = Transport(http, _openai_whole(), _openai_events)
    given: dict[str, Any] = {"api_key": "none", "base_url": "https://api.openai.com/v1", "max_retries": 0}
    client = openai.OpenAI(**given, http_client=http.Client(transport=http.MockTransport(transport.answer)))
    other = http.AsyncClient(transport=http.MockTransport(transport.async_answer))
    async_client = openai.AsyncOpenAI(**given, http_client=other)

    def create(**more: Any) -> Any:
        if more.get("stream"):
            more["stream_options"] = {"include_usage": True}
        return client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **more)

    return create, lambda: async_client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


# --- Anthropic ---------------------------------------------------------------------------------------------
_ANTHROPIC_USAGE = {
    "input_tokens": 400,
    "cache_read_input_tokens": 600,
    "cache_creation_input_tokens": 0,
    "output_tokens": 200,
    "service_tier": "standard",
}
_ANTHROPIC = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}


def _anthropic_whole() -> dict[str, Any]:
    content = [{"type": "text", "text": "Paris"}]
    return {**_ANTHROPIC, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": _ANTHROPIC_USAGE}


def _anthropic_events(count: int) -> list[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return _event({"type": kind, **fields}, kind)

    started = {**_ANTHROPIC, "content": [], "stop_reason": None, "stop_sequence": None}
    begin = event("message_start", message={**started, "usage": {**_ANTHROPIC_USAGE, "output_tokens": 1}})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    words = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"}) for _ in range(count - 5)]
    ended = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 200})
    return [begin, block, *words, event("content_block_stop", index=0), ended, event("message_stop")]


def _anthropic(http: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import anthropic

    transport = Transport(http, _anthropic_whole(), _anthropic_events)
    given: dict[str, Any] = {"api_key": "none", "base_url": "https://api.anthropic.com", "max_retries": 0}
    client = anthropic.Anthropic(**given, http_client=http.Client(transport=http.MockTransport(transport.answer)))
    other = http.AsyncClient(transport=http.MockTransport(transport.async_answer))
    async_client = anthropic.AsyncAnthropic(**given, http_client=other)
    asked: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": CHUNKS, "messages": MESSAGES}
    return (
        lambda **more: client.messages.create(**{**asked, **more}),
        lambda: async_client.messages.create(**asked),
    )


# --- the three shapes --------------------------------------------------------------------------------------
def build(sdk: str) -> dict[str, tuple[Callable[[], None], float, int]]:
    """Name -> (what runs, how many units of work that is, how often instructions are counted)."""
    base = importlib.import_module(f"{sdk}._base_client")
    http = getattr(base, "httpx2", None) or base.httpx  # which of the two depends on the SDK's version
    make, make_async = _openai(http) if sdk == "openai" else _anthropic(http)

    def create() -> None:
        make()

    def stream() -> None:
        for _ in make(stream=True):
            pass

    def async100() -> None:
        async def together() -> None:
            await asyncio.gather(*(make_async() for _ in range(CONCURRENT)))

        asyncio.run(together())

    return {
        "create": (create, 1, 20),
        "stream": (stream, 1, 3),
        "async100": (async100, CONCURRENT, 1),
    }
