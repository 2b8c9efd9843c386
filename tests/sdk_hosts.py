"""Hosts of the contract tests: clients of both SDKs, sync and async, on a transport that answers what a case wants.

A case is written once, as a coroutine on a `Host`; its outcome is everything that a program could notice: what was returned
or raised, and what the provider was sent. It must be the same with and without costspan.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pydantic

_BASE = vars(openai._base_client)
http = _BASE.get("httpx2") or _BASE["httpx"]
"""What the SDKs are built on: older versions on httpx."""

openai._base_client.INITIAL_RETRY_DELAY = anthropic._base_client.INITIAL_RETRY_DELAY = 0.01  # nobody learns from waiting

KINDS = ("openai", "openai-async", "anthropic", "anthropic-async")
USAGE = {"openai": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}
USAGE["anthropic"] = {"input_tokens": 11, "output_tokens": 7}
_RANDOM = re.compile(r"0x[0-9a-f]+|at \d+:\d+")
_HEADERS_OF_NO_CALL = {"idempotency-key", "content-length", "traceparent", "host"}


def knowing_its_platform(client: Any) -> Any:
    """A client that needs no thread to look at the platform, so that its steps can be counted."""
    if hasattr(client, "_platform"):
        client._platform = "Unknown"
    return client


def body(sdk: str, **changes: Any) -> dict[str, Any]:
    """An ordinary whole answer."""
    if sdk == "openai":
        message = {"role": "assistant", "content": "hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        plain = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": choices}
    else:
        content = [{"type": "text", "text": "hello"}]
        plain = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": content}
        plain |= {"stop_reason": "end_turn", "stop_sequence": None}
    return {**plain, "usage": USAGE[sdk], **changes}


def events(sdk: str) -> list[Any]:
    """The events of an ordinary stream."""
    if sdk == "openai":
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
        deltas = [({"role": "assistant"}, None), ({"content": "hel"}, None), ({"content": "lo"}, None), ({}, "stop")]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
        return [*chunks, {**head, "choices": [], "usage": USAGE[sdk]}, "[DONE]"]
    message = body(sdk, content=[], stop_reason=None, usage={"input_tokens": 11, "output_tokens": 1})
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def wire(event: Any) -> bytes:
    """A server-sent event; a str is sent as it is."""
    name = event["type"] if isinstance(event, dict) and isinstance(event.get("type"), str) else None
    data = event if isinstance(event, str) else json.dumps(event)
    return ((f"event: {name}\n" if name else "") + f"data: {data}\n\n").encode()


class Bytes(http.SyncByteStream, http.AsyncByteStream):
    """A body that comes in pieces; a piece that is an exception is raised. `closed` counts how often it was closed."""

    def __init__(self, pieces: list[Any], pause: float = 0.0) -> None:
        self.pieces = pieces
        self.pause = pause
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    async def __aiter__(self):
        for piece in self.pieces:
            await asyncio.sleep(self.pause)
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)


def streamed(pieces: list[Any], *, pause: float = 0.0, headers: dict[str, str] | None = None) -> Any:
    """A response whose events (or exceptions) come one by one."""
    kind = {"content-type": "text/event-stream", **(headers or {})}
    raw = [piece if isinstance(piece, BaseException) else wire(piece) for piece in pieces]
    return http.Response(200, headers=kind, stream=Bytes(raw, pause))


@dataclass
class Host:
    """One client of one kind; `answers` are given in turn, the last one again and again."""

    kind: str
    answers: list[Any] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sdk = self.kind.partition("-")[0]
        self.asynchronous = self.kind.endswith("async")
        self.client = self.make()

    def make(self, base: type | None = None, **more: Any) -> Any:
        """A client on this host's transport."""
        library = openai if self.sdk == "openai" else anthropic
        name = ("Async" if self.asynchronous else "") + ("OpenAI" if self.sdk == "openai" else "Anthropic")
        transport = http.MockTransport(self._handle_async if self.asynchronous else self._handle)
        http_client = (http.AsyncClient if self.asynchronous else http.Client)(transport=transport)
        make = base or getattr(library, name)
        made = make(api_key="none", base_url="http://provider.test/v1", http_client=http_client, **{"max_retries": 0, **more})
        return knowing_its_platform(made)

    @property
    def client_type(self) -> type:
        return type(self.client)

    @property
    def library(self) -> Any:
        return openai if self.sdk == "openai" else anthropic

    def _handle(self, request: Any) -> Any:
        request.read()
        self.sent.append(self._request(request))
        return self._answer()

    def _answer(self) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer()
        found = answer if isinstance(answer, http.Response) else http.Response(200, json=answer)
        self.given.append(found)
        return found

    async def _handle_async(self, request: Any) -> Any:
        await request.aread()
        self.sent.append(self._request(request))
        await asyncio.sleep(0)
        return self._answer()

    @staticmethod
    def _request(request: Any) -> Any:
        headers = sorted((name, value) for name, value in request.headers.items() if name not in _HEADERS_OF_NO_CALL)
        return request.method, str(request.url), headers, request.content

    @property
    def ask(self) -> dict[str, Any]:
        """The arguments of an ordinary request."""
        messages = [{"role": "user", "content": "hi"}]
        more = {} if self.sdk == "openai" else {"max_tokens": 9}
        return {"model": "gpt-4o" if self.sdk == "openai" else "claude-haiku-4-5", "messages": messages, **more}

    def resource(self, client: Any = None) -> Any:
        client = self.client if client is None else client
        return client.chat.completions if self.sdk == "openai" else client.messages

    async def value(self, found: Any) -> Any:
        """What a call gives, awaited where it has to be."""
        return await found if hasattr(found, "__await__") else found

    async def create(self, client: Any = None, **changes: Any) -> Any:
        return await self.value(self.resource(client).create(**{**self.ask, **changes}))

    async def raw(self, how: str = "with_raw_response", **changes: Any) -> Any:
        return await self.value(getattr(self.resource(), how).create(**{**self.ask, **changes}))

    async def drain(self, stream: Any, most: int | None = None) -> list[Any]:
        """What iterating gives, to the end or the first `most` items."""
        found: list[Any] = []
        if hasattr(stream, "__aiter__"):
            async for item in stream:
                found.append(item)
                if len(found) == most:
                    break
        else:
            for item in stream:
                found.append(item)
                if len(found) == most:
                    break
        return found

    async def stream(self, **changes: Any) -> Any:
        return await self.create(stream=True, **changes)

    async def next(self, stream: Any) -> Any:
        return await anext(stream) if hasattr(stream, "__anext__") else next(stream)

    async def close(self, stream: Any) -> Any:
        return await self.value(stream.close())

    async def finish(self) -> None:
        await self.value(self.client.close())


def shape(value: Any) -> Any:
    """A value as something that can be compared with that of another run."""
    if isinstance(value, pydantic.BaseModel):
        return type(value).__name__, sorted(value.model_fields_set), shape(value.__dict__)
    if isinstance(value, dict):
        return {str(key): shape(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [shape(each) for each in value]
    if isinstance(value, (str, bytes, int, float, bool, type(None), type)):
        return value
    return _RANDOM.sub("", repr(value))


def outcome(case: Any, kind: str) -> dict[str, Any]:
    """Everything that a program and its provider could notice of a case."""

    async def run() -> dict[str, Any]:
        host = Host(kind)
        try:
            found = {"returned": shape(await case(host))}
        except asyncio.CancelledError as error:
            found = {"raised": shape(_described(error))}
        except BaseException as error:
            found = {"raised": shape(_described(error))}
        found["sent"] = host.sent
        found["closed"] = [getattr(given, "is_closed", None) for given in host.given]
        await host.finish()
        return found

    gc.disable()  # what is in a cycle is dropped at the same moment in every run: never
    try:
        return asyncio.run(run())
    finally:
        gc.enable()


def _described(error: BaseException | None, depth: int = 0) -> Any:
    if error is None or depth > 3:
        return None
    status = getattr(error, "status_code", None)
    bodied = getattr(error, "body", None)
    causes = [_described(error.__cause__, depth + 1), type(error.__context__).__name__]
    return [type(error).__module__, type(error).__qualname__, _RANDOM.sub("", str(error)), status, shape(bodied), causes]
