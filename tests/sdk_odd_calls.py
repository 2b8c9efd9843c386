"""Odd calls that a bare SDK client takes, or refuses in its own way: what hosts really do, and what providers really send."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
import threading
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sdk_hosts import Bytes, Host, body, events, http, streamed

CASES: dict[str, Any] = {}


def case(function: Any) -> Any:
    CASES[function.__name__.replace("_", " ")] = function
    return function


def add(name: str, function: Any) -> None:
    CASES[name] = function


# --- whole answers that are odd ---------------------------------------------------------------------------
ODD_FIELDS: dict[str, dict[str, Any]] = {
    "usage is null": {"usage": None},
    "usage is a list": {"usage": [1, 2]},
    "usage is a word": {"usage": "many"},
    "usage counts are words": {"usage": {"prompt_tokens": "11", "completion_tokens": [], "input_tokens": {}}},
    "usage counts are negative": {"usage": {"prompt_tokens": -1, "completion_tokens": -2, "input_tokens": -1}},
    "usage counts are huge": {"usage": {"prompt_tokens": 10**30, "completion_tokens": 1e400, "input_tokens": 10**30}},
    "usage details are odd": {"usage": {"prompt_tokens": 1, "prompt_tokens_details": [], "cache_creation": 7, "iterations": "x"}},
    "choices are null": {"choices": None, "content": None},
    "choices are empty": {"choices": [], "content": []},
    "choices hold null": {"choices": [None], "content": [None]},
    "a choice has no message": {"choices": [{"index": 0}], "content": [{}]},
    "content is a list": {"choices": [{"index": 0, "message": {"content": [{"type": "text"}]}}], "content": [[]]},
    "a tool call has no function": {"choices": [{"message": {"tool_calls": [{"id": None, "function": None}]}}]},
    "the id is null": {"id": None},
    "the id is a number": {"id": 7},
    "the model is null": {"model": None},
    "the model is an object": {"model": {"name": "x"}},
    "the tier is an object": {"service_tier": {}},
    "a response is nested": {"response": {"usage": None}, "type": "message"},
    "names clash with pydantic": {"model_dump": 1, "__class__": "x", "copy": 2, "json": 3},
}
for _name, _changes in ODD_FIELDS.items():

    async def _whole(host: Host, changes: Any = _changes) -> Any:
        host.answers = [body(host.sdk, **changes)]
        return await host.create()

    add(_name, _whole)

ODD_BODIES: dict[str, Any] = {
    "an empty object": http.Response(200, json={}),
    "a list": http.Response(200, json=[1, 2]),
    "a word": http.Response(200, json="x"),
    "a number": http.Response(200, json=7),
    "a null": http.Response(200, json=None),
    "no content": http.Response(204),
    "an empty body": http.Response(200, content=b"", headers={"content-type": "application/json"}),
    "broken JSON": http.Response(200, content=b'{"usage": {', headers={"content-type": "application/json"}),
    "HTML": http.Response(200, html="<p>proxy</p>"),
    "JSON that calls itself text": http.Response(200, text=json.dumps(body("openai"))),
    "no content type": http.Response(200, content=json.dumps(body("anthropic")).encode()),
    "bytes that are no text": http.Response(200, content=b"\xff\xfe\x00", headers={"content-type": "application/json"}),
    "an odd encoding": http.Response(200, content=b"{}", headers={"content-type": "application/json", "x-encoding": "br"}),
}
for _name, _answer in ODD_BODIES.items():

    async def _odd(host: Host, answer: Any = _answer) -> Any:
        host.answers = [lambda: http.Response(answer.status_code, content=answer.content, headers=answer.headers)]
        return await host.create()

    add(f"the answer is {_name}", _odd)


# --- streams that are odd ---------------------------------------------------------------------------------
def _stream_of(change: Any) -> Any:
    async def run(host: Host) -> Any:
        host.answers = [streamed(change(host.sdk, events(host.sdk)))]
        stream = await host.stream()
        return await host.drain(stream)

    return run


def _bent(**changes: Any) -> Any:
    return lambda sdk, plain: [{**event, **changes} if isinstance(event, dict) else event for event in plain]


ODD_STREAMS: dict[str, Any] = {
    "as usual": lambda sdk, plain: plain,
    "without events": lambda sdk, plain: [],
    "with the end only": lambda sdk, plain: plain[-1:],
    "without an end": lambda sdk, plain: plain[:-1],
    "without a start": lambda sdk, plain: plain[1:],
    "told twice": lambda sdk, plain: plain[:-1] + plain,
    "with null choices": _bent(choices=None, delta=None, message=None),
    "with null in choices": _bent(choices=[None]),
    "with odd choices": _bent(choices={"0": 1}),
    "without index": _bent(choices=[{"delta": {"tool_calls": [{"function": None}]}}]),
    "with usage everywhere": _bent(usage={"prompt_tokens": 1, "completion_tokens": 1, "output_tokens": 1}),
    "with a list for usage": _bent(usage=[1]),
    "with words for usage": _bent(usage={"prompt_tokens": "x", "output_tokens": "y"}),
    "with an odd response": _bent(response=[1]),
    "with a null response": _bent(response=None),
    "with broken JSON": lambda sdk, plain: [plain[0], "{", plain[1]],
    "with events that are no objects": lambda sdk, plain: [plain[0], [1], 7, "null", '"x"', plain[-1]],
    "with an error event": lambda sdk, plain: [
        plain[0],
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    ],
    "with unknown events": lambda sdk, plain: [{"type": "novelty", "data": 1}, *plain],
    "with pings": lambda sdk, plain: [plain[0], {"type": "ping"}, *plain[1:]],
    "that is cut": lambda sdk, plain: [*plain[:2], http.RemoteProtocolError("cut")],
    "that times out": lambda sdk, plain: [*plain[:2], http.ReadTimeout("slow")],
    "that fails oddly": lambda sdk, plain: [*plain[:2], ZeroDivisionError("odd")],
    "that is interrupted": lambda sdk, plain: [*plain[:2], KeyboardInterrupt()],
}
for _name, _change in ODD_STREAMS.items():
    add(f"a stream {_name}", _stream_of(_change))


# --- what a host may pass -----------------------------------------------------------------------------------
ODD_ARGUMENTS: dict[str, Any] = {
    "a generator of messages": lambda: {"messages": ({"role": "user", "content": str(n)} for n in range(2))},
    "a tuple of messages": lambda: {"messages": ({"role": "user", "content": "hi"},)},
    "an iterator of messages": lambda: {"messages": iter([{"role": "user", "content": "hi"}])},
    "messages that are no dicts": lambda: {"messages": [MappingProxyType({"role": "user", "content": "hi"})]},
    "no messages": lambda: {"messages": []},
    "null messages": lambda: {"messages": None},
    "messages that are a word": lambda: {"messages": "hi"},
    "content blocks in a generator": lambda: {
        "messages": [{"role": "user", "content": (part for part in [{"type": "text", "text": "x"}])}]
    },
    "null content": lambda: {"messages": [{"role": "user", "content": None}]},
    "a null model": lambda: {"model": None},
    "a model that is a number": lambda: {"model": 7},
    "null everywhere": lambda: {"temperature": None, "tools": None, "extra_headers": None, "extra_body": None, "stream": None},
    "another model in extra_body": lambda: {"extra_body": {"model": "other", "novelty": [1]}},
    "odd headers": lambda: {"extra_headers": {"X-Odd": "é".encode().decode("latin-1"), "X-Empty": "", "x-odd": "2"}},
    "a header that is no text": lambda: {"extra_headers": {"X-Number": 7}},
    "odd query parameters": lambda: {"extra_query": {"a": [1, 2], "b": None}},
    "a timeout of nothing": lambda: {"timeout": None},
    "a timeout that is an object": lambda: {"timeout": http.Timeout(3.0, connect=1.0)},
    "a stream that is false": lambda: {"stream": False},
    "an argument that is not known": lambda: {"novelty": 1},
    "a value that no JSON can hold": lambda: {"metadata": {"x": object()}},
    "a set of tools": lambda: {"tools": set()},
    "tools in a generator": lambda: {"tools": (tool for tool in ())},
}
for _name, _arguments in ODD_ARGUMENTS.items():

    async def _passing(host: Host, arguments: Any = _arguments) -> Any:
        host.answers = [body(host.sdk)]
        return await host.create(**arguments())

    add(f"with {_name}", _passing)

for _status in (301, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529, 599):

    async def _refused(host: Host, status: int = _status) -> Any:
        error = {"type": "error", "error": {"type": "x", "message": "no"}}
        host.answers = [lambda: http.Response(status, json=error, headers={"retry-after-ms": "1"})]
        return await host.create()

    add(f"the status is {_status}", _refused)

for _error in (
    http.ConnectError("nobody"), http.ConnectTimeout("nobody"), http.ReadTimeout("slow"), http.PoolTimeout("busy"),
    http.RemoteProtocolError("cut"), http.ReadError("cut"), OSError("socket"), ZeroDivisionError("odd"), KeyboardInterrupt(),
    SystemExit(3), GeneratorExit(),
):  # fmt: skip

    async def _broken(host: Host, error: BaseException = _error) -> Any:
        host.answers = [type(error)(*error.args)]
        return await host.create()

    add(f"the transport raises {type(_error).__name__}", _broken)


# --- ways of calling ----------------------------------------------------------------------------------------
@case
async def after_two_retries(host: Host) -> Any:
    refusal = {"error": {"message": "no"}}
    host.answers = [
        http.Response(429, json=refusal, headers={"retry-after-ms": "1"}),
        http.ConnectError("nobody") if host.sdk == "openai" else http.ReadTimeout("slow"),
        body(host.sdk),
    ]
    return await host.create(client=host.client.with_options(max_retries=2))


@case
async def retries_that_run_out(host: Host) -> Any:
    host.answers = [lambda: http.Response(500, json={}, headers={"retry-after-ms": "1"})]
    return await host.create(client=host.client.with_options(max_retries=2))


@case
async def a_raw_response(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    raw = await host.raw()
    parsed = await host.value(raw.parse())
    again = await host.value(raw.parse())
    return [type(raw).__name__, parsed, parsed is again, raw.status_code, raw.headers.get("content-type"), raw.http_response.text]


@case
async def a_raw_response_parsed_into_something_else(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    raw = await host.raw()
    return await host.value(raw.parse(to=dict))


@case
async def a_raw_response_that_is_a_stream(host: Host) -> Any:
    host.answers = [streamed(events(host.sdk))]
    raw = await host.raw(stream=True)
    stream = await host.value(raw.parse())
    return [isinstance(stream, (host.library.Stream, host.library.AsyncStream)), await host.drain(stream)]


@case
async def a_raw_stream_that_is_read_as_lines(host: Host) -> Any:
    host.answers = [streamed(events(host.sdk))]
    raw = await host.raw(stream=True)
    lines = raw.http_response.aiter_lines() if host.asynchronous else raw.http_response.iter_lines()
    return await host.drain(lines)


@case
async def a_streamed_response(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    manager = host.resource().with_streaming_response.create(**host.ask)
    if host.asynchronous:
        async with manager as response:
            return [await response.json(), type(response).__name__, response.is_closed]
    with manager as response:
        return [response.json(), type(response).__name__, response.is_closed]


@case
async def a_streamed_response_that_nobody_reads(host: Host) -> Any:
    host.answers = [lambda: http.Response(200, stream=Bytes([b"{}"]), headers={"content-type": "application/json"})]
    manager = host.resource().with_streaming_response.create(**host.ask)
    if host.asynchronous:
        async with manager as response:
            return response.is_closed
    with manager as response:
        return response.is_closed


@case
async def a_streamed_response_whose_bytes_are_read_twice(host: Host) -> Any:
    host.answers = [lambda: http.Response(200, stream=Bytes([b'{"a":', b"1}"]), headers={"content-type": "application/json"})]
    manager = host.resource().with_streaming_response.create(**host.ask)
    if host.asynchronous:
        async with manager as response:
            return [await host.drain(response.iter_bytes()), await host.drain(response.iter_bytes())]
    with manager as response:
        return [list(response.iter_bytes()), list(response.iter_bytes())]


@case
async def the_http_response_itself(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    path = "/chat/completions" if host.sdk == "openai" else "/v1/messages"
    found = await host.value(host.client.post(path, body=host.ask, cast_to=http.Response))
    return [type(found).__name__, found.json(), found.is_closed, found.elapsed is not None]


@case
async def a_plain_dict(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    path = "/chat/completions" if host.sdk == "openai" else "/v1/messages"
    return await host.value(host.client.post(path, body=host.ask, cast_to=dict[str, Any]))


@case
async def a_body_that_is_no_dict(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    path = "/chat/completions" if host.sdk == "openai" else "/v1/messages"
    return await host.value(host.client.post(path, body=[1, 2], cast_to=object))


@case
async def an_address_that_is_whole(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    return await host.value(host.client.post("http://other.test/x/chat/completions?a=1", body=host.ask, cast_to=object))


@case
async def with_options_and_copies(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    first = host.client.with_options(timeout=3, default_headers={"X-A": "1"})
    second = first.copy(default_query={"q": "1"})
    return [await host.create(client=first), await host.create(client=second), type(first) is host.client_type]


@case
async def a_subclass_that_overrides_request(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    seen = []

    class Mine(host.client_type):
        def request(self, cast_to, options, **more):
            seen.append(options.url)
            return super().request(cast_to, options, **more)

    return [await host.create(client=host.make(Mine)), seen]


@case
async def a_subclass_with_its_own_post(host: Host) -> Any:
    host.answers = [body(host.sdk)]

    class Mine(host.client_type):
        def post(self, path, **more):
            return super().post(path, **more)

    return await host.create(client=host.make(Mine))


@case
async def a_client_that_is_copied_by_copy(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    return await host.create(client=copy.copy(host.client))


@case
async def a_client_that_is_pickled(host: Host) -> Any:
    return pickle.dumps(host.client)


@case
async def a_response_that_is_pickled(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    raw = await host.raw()
    return [pickle.loads(pickle.dumps(await host.create())), pickle.loads(pickle.dumps(raw.http_response)).json()]


@case
async def a_closed_client(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    client = host.make()
    await host.value(client.close())
    return await host.create(client=client)


@case
async def strict_validation(host: Host) -> Any:
    host.answers = [body(host.sdk, usage={"prompt_tokens": "x", "input_tokens": "y"})]
    return await host.create(client=host.make(_strict_response_validation=True))


@case
async def functions_are_what_they_were(host: Host) -> Any:
    client = host.client
    found = [client.request, client.post, host.resource().create, client._process_response_data]
    return [
        [inspect.iscoroutinefunction(each), asyncio.iscoroutinefunction(each), each.__name__, each.__qualname__, each.__module__]
        for each in found
    ] + [str(inspect.signature(each)) for each in found]


@case
async def options_that_are_kept_by_the_host(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    options = host.library._models.FinalRequestOptions(
        method="post", url="/chat/completions" if host.sdk == "openai" else "/v1/messages", json_data=dict(host.ask)
    )
    found = await host.value(host.client.request(object, options))
    named = await host.value(host.client.request(cast_to=object, options=options))
    return [found, named, options.json_data, options.url]


@case
async def a_request_without_arguments(host: Host) -> Any:
    return await host.value(host.client.request())


@case
async def a_request_with_odd_options(host: Host) -> Any:
    return await host.value(host.client.request(object, None))


@case
async def the_answer_is_the_hosts_to_change(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    found = await host.create()
    found.usage = None
    found.novelty = 1
    return found


@case
async def twenty_calls_at_once(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    if host.asynchronous:
        return len(await asyncio.gather(*(host.create() for _ in range(20))))
    found = []
    threads = [threading.Thread(target=lambda: found.append(host.resource().create(**host.ask))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(found)


# --- what a host does with a stream ---------------------------------------------------------------------------
async def _streaming(host: Host, **more: Any) -> Any:
    host.answers = [lambda: streamed(events(host.sdk), **more)]
    return await host.stream()


@case
async def a_stream_is_what_it_says(host: Host) -> Any:
    stream = await _streaming(host)
    kinds = [host.library.Stream, host.library.AsyncStream]
    found = [isinstance(stream, kind) for kind in kinds]
    found += [issubclass(stream.__class__, kind) for kind in kinds]
    found += [stream.__class__.__name__, bool(stream), stream in [stream, None], hash(stream) == hash(stream)]
    found += [type(stream.response).__name__, callable(stream.close), weakref.ref(stream)() is stream]
    found += [sorted(name for name in dir(stream) if not name.startswith("__") and "_self_" not in name)]
    special = ("next", "anext", "iter", "aiter", "len", "call", "bool", "getitem", "contains", "await", "wrapped")
    found += [hasattr(stream, f"__{name}__") for name in special] + [hasattr(stream, "novelty")]
    await host.drain(stream)
    return found


@case
async def attributes_of_a_stream_are_the_hosts(host: Host) -> Any:
    stream = await _streaming(host)
    stream.novelty = 1
    found = [stream.novelty, vars(stream)["novelty"]]
    del stream.novelty
    found.append(hasattr(stream, "novelty"))
    return [found, await host.drain(stream)]


@case
async def a_stream_that_is_read_twice(host: Host) -> Any:
    stream = await _streaming(host)
    return [await host.drain(stream), await host.drain(stream)]


@case
async def a_stream_that_is_left_and_taken_up(host: Host) -> Any:
    stream = await _streaming(host)
    return [await host.drain(stream, 1), await host.next(stream), await host.drain(stream)]


@case
async def next_after_the_end(host: Host) -> Any:
    stream = await _streaming(host)
    await host.drain(stream)
    try:
        await host.next(stream)
    except (StopIteration, StopAsyncIteration) as stop:
        return type(stop).__name__
    return "went on"


@case
async def a_stream_closed_twice_and_read(host: Host) -> Any:
    stream = await _streaming(host)
    first = await host.next(stream)
    found = [await host.close(stream), await host.close(stream)]
    return [first, found, stream.response.is_closed, await host.drain(stream)]


@case
async def a_stream_closed_before_it_is_read(host: Host) -> Any:
    stream = await _streaming(host)
    await host.close(stream)
    return await host.drain(stream)


@case
async def a_stream_as_a_context(host: Host) -> Any:
    stream = await _streaming(host)
    if host.asynchronous:
        async with stream as entered:
            found = [entered is stream, await host.drain(entered)]
    else:
        with stream as entered:
            found = [entered is stream, await host.drain(entered)]
    return [found, stream.response.is_closed]


@case
async def an_error_of_the_host_inside_a_context(host: Host) -> Any:
    stream = await _streaming(host)
    if host.asynchronous:
        async with stream:
            raise ZeroDivisionError
    with stream:
        raise ZeroDivisionError


@case
async def a_stream_whose_response_is_read_by_the_host(host: Host) -> Any:
    stream = await _streaming(host)
    lines = stream.response.aiter_lines() if host.asynchronous else stream.response.iter_lines()
    return await host.drain(lines)


@case
async def a_stream_that_is_copied(host: Host) -> Any:
    stream = await _streaming(host)
    twin = copy.copy(stream)
    found = [twin is stream, type(twin).__name__, await host.drain(twin)]
    await host.close(stream)
    return found


@case
async def a_stream_that_is_pickled(host: Host) -> Any:
    return pickle.dumps(await _streaming(host))


@case
async def the_helper_of_streams(host: Host) -> Any:
    host.answers = [streamed(events(host.sdk))]
    resource = host.client.beta.chat.completions if host.sdk == "openai" else host.client.messages
    if not hasattr(resource, "stream"):
        resource = host.client.chat.completions
    found = []
    if host.asynchronous:
        async with resource.stream(**host.ask) as stream:
            found = [event.type async for event in stream]
    else:
        with resource.stream(**host.ask) as stream:
            found = [event.type for event in stream]
    return [found, type(stream).__name__, stream.response.is_closed if host.sdk == "anthropic" else None]


@case
async def the_helper_that_is_left(host: Host) -> Any:
    host.answers = [streamed(events(host.sdk))]
    resource = host.client.beta.chat.completions if host.sdk == "openai" else host.client.messages
    if not hasattr(resource, "stream"):
        resource = host.client.chat.completions
    if host.asynchronous:
        async with resource.stream(**host.ask) as stream:
            async for event in stream:
                return event.type
    with resource.stream(**host.ask) as stream:
        for event in stream:
            return event.type
    return None


@case
async def a_stream_closed_from_another_thread(host: Host) -> Any:
    stream = await _streaming(host)
    first = await host.next(stream)
    if host.asynchronous:
        await asyncio.create_task(stream.close())
    else:
        thread = threading.Thread(target=stream.close)
        thread.start()
        thread.join()
    return [first, stream.response.is_closed, await host.drain(stream)]


@case
async def two_readers_of_one_stream(host: Host) -> Any:
    stream = await _streaming(host, pause=0.001)
    if not host.asynchronous:
        return [await host.next(stream), await host.next(stream)]
    found = await asyncio.gather(anext(stream), anext(stream), return_exceptions=True)
    await stream.close()
    return [type(each).__name__ for each in found]


@case
async def a_read_that_times_out(host: Host) -> Any:
    stream = await _streaming(host, pause=0.05)
    if not host.asynchronous:
        return await host.drain(stream)
    try:
        await asyncio.wait_for(anext(stream), 0.01)
    except TimeoutError as error:
        await stream.close()
        return [type(error).__name__, stream.response.is_closed]
    return "came in time"


@case
async def a_coroutine_that_is_never_awaited(host: Host) -> Any:
    if host.asynchronous:
        host.resource().create(**host.ask).close()
    return host.sent


def _cancelled_after(ticks: int, stream: bool) -> Any:
    async def run(host: Host) -> Any:
        if stream:
            host.answers = [streamed(events(host.sdk))]
        else:
            host.answers = [body(host.sdk)]
        if not host.asynchronous:
            return await host.drain(await host.stream()) if stream else await host.create()

        async def ask() -> Any:
            found = await host.create(stream=stream)
            return await host.drain(found) if stream else found

        task = asyncio.create_task(ask())
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel("enough")
        try:
            return await task
        except asyncio.CancelledError as error:
            return ["cancelled", *error.args]

    return run


# One step more than each of them has.
for _ticks in range(4):
    add(f"cancelled after {_ticks} steps", _cancelled_after(_ticks, stream=False))
for _ticks in range(23):
    add(f"a stream cancelled after {_ticks} steps", _cancelled_after(_ticks, stream=True))


@case
async def cancelled_while_it_looks_at_the_platform(host: Host) -> Any:
    host.client._platform = None
    return await _cancelled_after(1, stream=False)(host)


class Odd(Mapping[str, Any]):
    """A mapping of the host's own that counts how often it is looked into."""

    def __init__(self) -> None:
        self.looks = 0

    def __getitem__(self, key: str) -> Any:
        self.looks += 1
        return {"role": "user", "content": "hi"}[key]

    def __iter__(self) -> Any:
        self.looks += 1
        return iter(("role", "content"))

    def __len__(self) -> int:
        return 2


@case
async def an_object_of_the_hosts_is_looked_at_as_often_as_before(host: Host) -> Any:
    host.answers = [body(host.sdk)]
    message = Odd()
    try:
        found = await host.create(messages=[message])
    except Exception as error:
        found = type(error).__name__
    return [found, message.looks]
