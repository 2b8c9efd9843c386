"""Where the SDKs are hooked: one table for both, for wrapping and for taking out again.

Both SDKs are made by one generator, and have had the same private structure since the oldest versions that are supported.
`request` is below every resource method and above the retries, so nothing of the host's is read that the SDK has not already
taken; `_process_response_data` sees each parsed body and each event of a stream, as plain JSON, before the SDK or the host
can fail on it; `_calculate_retry_timeout` is asked before each retry; `parse` makes the streams of raw responses.
"""

from __future__ import annotations

import functools
import inspect
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from costspan import guard
from costspan.instrument.patch import Point
from costspan.instrument.sdk_calls import MAKING, SdkCall, of
from costspan.instrument.spans import SWITCH, asking
from costspan.instrument.stream import AsyncBody, SyncBody, payloads
from costspan.normalise.usage import extract
from costspan.records import CALL, MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.instrument.sdk_calls import Sdk


def points(sdk: Sdk, package: str) -> list[Point]:
    """Everything that is wrapped in one SDK: one table, for wrapping and for taking out again."""
    base, of_sdk = f"{package}._base_client", functools.partial
    return [
        Point(base, "SyncAPIClient.request", of_sdk(wrap_request, sdk)),
        Point(base, "AsyncAPIClient.request", of_sdk(wrap_async_request, sdk)),
        Point(base, "BaseClient._process_response_data", wrap_process),
        Point(base, "BaseClient._calculate_retry_timeout", wrap_retry),
        Point(f"{package}._response", "APIResponse.parse", wrap_parse),
        Point(f"{package}._response", "AsyncAPIResponse.parse", wrap_parse),
        Point(f"{package}._legacy_response", "LegacyAPIResponse.parse", wrap_parse),
    ]


class Foreign:
    """In place of a call while a request is made that is none, so that its answer is not taken for that of an outer one."""

    __slots__ = ("before",)

    def __init__(self) -> None:
        self.before = MAKING.get()
        MAKING.set(None)

    def leave(self) -> None:
        """Show the outer request again."""
        if MAKING.get() is None:
            MAKING.set(self.before)


@guard.guarded("sdk.begin")
def begin(sdk: Sdk, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[SdkCall | Foreign, Any, Any] | None:
    """The call that this request makes, and the arguments to make it with; None for a request that is no business of ours."""
    spans = SWITCH.spans
    if spans is None:
        return None
    options = kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None
    known = hasattr(options, "url") and hasattr(options, "json_data")  # anything else is the SDK's to refuse
    ask = sdk.ask(client, options, stream=kwargs.get("stream") is True) if known else None
    if ask is None:
        return None if MAKING.get() is None else (Foreign(), args, kwargs)
    if ask.asked_usage:
        args, kwargs = _with_options(args, kwargs, sdk.with_usage_asked(options))
    around = asking()
    call = SdkCall(sdk, ask, otel_context.get_current())
    call.hear(getattr(options, "json_data", None))
    if ask.later:
        pass  # looking for results is no call; each result is
    elif around is None or not spans.is_open(around) or not around.leave(call):
        call.unit = spans.open(CALL, ask.model, attributes=call.opening(), started_ns=call.started_ns)
    call.enter()
    return call, args, kwargs


def _with_options(args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if "options" in kwargs:
        return args, {**kwargs, "options": options}
    return (args[0], options, *args[2:]), kwargs


@guard.guarded("sdk.failed")
def failed(call: SdkCall | Foreign, error: BaseException) -> None:
    """The request has raised, inside the SDK or in the host's own parser."""
    if isinstance(call, SdkCall):
        call.end(error)


@guard.guarded("sdk.leave")
def leave(call: SdkCall | Foreign) -> None:
    """The request has returned or raised."""
    call.leave()


@guard.guarded("sdk.returned")
def returned(call: SdkCall | Foreign, result: Any, body: type[SyncBody | AsyncBody]) -> Any:
    """What the host gets for what the SDK has returned: the same object, or the reader of a stream. None: no change."""
    if isinstance(call, Foreign):
        return None
    streams = is_stream(result)
    response = response_of(result)
    unread = response is not None and not response.is_closed
    if unread:
        call.watch(response, body)
    if streams:
        return call.reader(result, dropped_ends=True)
    if not unread:
        if not call.began and response is not None:
            call.unparsed(payloads(response.content))
        _whole(call, result)
    return None


def response_of(result: Any) -> Any:
    """The HTTP response behind a raw response, a stream or a decoder, or the response itself; None behind a model."""
    if _is_model(type(result)):  # type: ignore[arg-type]  # mypy does not know that classes have hashes
        return None
    for found in (getattr(result, "http_response", None), getattr(result, "response", None), result):
        if hasattr(found, "is_closed") and hasattr(found, "stream") and hasattr(found, "headers"):
            return found
    return None


def _whole(call: SdkCall, result: Any) -> None:
    """An answer that was read to its end before the host got it."""
    if not call.began:
        found = extract(result)
        if found.usage.source != MISSING:
            call.unparsed([result if type(result) is dict else dump(result)])
    call.end()


def dump(result: Any) -> Any:
    """A model of the SDK as plain JSON; for versions in which nothing was seen on the way."""
    make = getattr(result, "model_dump", None)
    return None if make is None else make()


def is_stream(result: Any) -> bool:
    """True for the SDK's stream objects and decoders, which know their response."""
    steps = _takes_steps(type(result))  # type: ignore[arg-type]  # as above
    return steps and (hasattr(result, "response") or hasattr(result, "http_response"))


# By class, and remembered: a model that is asked for a field that it has not costs more than the rest of `returned`.
@lru_cache(maxsize=256)
def _is_model(kind: type) -> bool:
    return hasattr(kind, "__pydantic_fields__") or hasattr(kind, "__fields__")


@lru_cache(maxsize=256)
def _takes_steps(kind: type) -> bool:
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


def wrap_request(sdk: Sdk, original: Any) -> Any:
    """Around `SyncAPIClient.request`."""

    @functools.wraps(original)
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = begin(sdk, self, args, kwargs)
        if begun is None:
            return original(self, *args, **kwargs)
        call, args, kwargs = begun
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            failed(call, error)
            raise
        finally:
            leave(call)
        changed = returned(call, result, SyncBody)
        return result if changed is None else changed

    return request


def wrap_async_request(sdk: Sdk, original: Any) -> Any:
    """Around `AsyncAPIClient.request`."""

    @functools.wraps(original)
    async def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = begin(sdk, self, args, kwargs)
        if begun is None:
            return await original(self, *args, **kwargs)
        call, args, kwargs = begun
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            failed(call, error)
            raise
        finally:
            leave(call)
        changed = returned(call, result, AsyncBody)
        return result if changed is None else changed

    return request


@guard.guarded("sdk.seen")
def seen(kwargs: dict[str, Any]) -> None:
    """A body or event has been parsed: note it on the call that it belongs to, or on that which is being made."""
    call = of(kwargs.get("response")) or MAKING.get()
    if call is not None:
        call.note(kwargs.get("data"))


def wrap_process(original: Any) -> Any:
    """Around `BaseClient._process_response_data`, which every parsed body and event goes through."""

    @functools.wraps(original)
    def _process_response_data(self: Any, *args: Any, **kwargs: Any) -> Any:
        data = kwargs.get("data")
        # Nearly all of a message's events are pieces of text, which come after one that tells and are estimates' matter alone.
        if type(data) is not dict or data.get("type") != "content_block_delta" or SWITCH.estimate:
            seen(kwargs)
        return original(self, *args, **kwargs)

    return _process_response_data


@guard.guarded("sdk.retrying")
def retrying(headers: Any) -> None:
    """An attempt of the request that is being made has failed."""
    call = MAKING.get()
    if call is not None:
        call.retried(sys.exception() if headers is None else None)


def wrap_retry(original: Any) -> Any:
    """Around `BaseClient._calculate_retry_timeout`, which is asked once before each retry."""

    @functools.wraps(original)
    def _calculate_retry_timeout(self: Any, *args: Any, **kwargs: Any) -> Any:
        retrying(kwargs["response_headers"] if "response_headers" in kwargs else args[2] if len(args) > 2 else None)
        return original(self, *args, **kwargs)

    return _calculate_retry_timeout


@guard.guarded("sdk.parsed")
def parsed(result: Any) -> Any:
    """The reader of a stream that a raw response was parsed into; None for anything else."""
    if not is_stream(result):
        return None
    call = of(response_of(result))
    return None if call is None or not call.is_open else call.reader(result, dropped_ends=False)


def wrap_parse(original: Callable[..., Any]) -> Any:
    """Around `parse` of the raw responses, sync and async."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def parse_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, *args, **kwargs)
            changed = parsed(result)
            return result if changed is None else changed

        return parse_async

    @functools.wraps(original)
    def parse(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        changed = parsed(result)
        return result if changed is None else changed

    return parse
