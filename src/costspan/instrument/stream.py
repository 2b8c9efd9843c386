"""What is handed to the host in place of a stream: the same stream, watched until it ends, which it does exactly once.

Two levels, each with a sync and an async form. A *reader* stands for the SDK's stream object (`Stream`, `AsyncStream`, a
decoder of JSON lines): it sees the host's reading end, fail or being dropped. A *body* stands for `response.stream`, the
bytes of the HTTP response: it sees whatever goes past the reader, such as a helper that closes the response itself, or a
host that reads the lines of a raw response. Both are transparent: `isinstance`, attributes, `repr` and copies are those of
what they stand for. Neither reads ahead, and neither holds anything of the host's but what it stands for.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

import wrapt

from costspan import guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from costspan.instrument.sdk_calls import SdkCall

    _Proxy = wrapt.ObjectProxy[Any]
else:
    _Proxy = wrapt.ObjectProxy  # which older versions cannot subscribe

KEPT_MAX: Final = 8_000_000
"""Bytes of a body that is read past the SDK's parsers which are kept until its end, to look for its usage."""
_ENCODED: Final = {"gzip": 47, "deflate": 47, "x-gzip": 47}


class _Reader(_Proxy):
    """Common to both readers. `_self_` attributes are ours, everything else is that of the stream."""

    def __init__(self, stream: Any, call: SdkCall, *, dropped_ends: bool = True) -> None:
        super().__init__(stream)
        self._self_call = call
        self._self_stepped = False
        self._self_dropped_ends = dropped_ends

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> Any:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __reduce__(self) -> Any:
        return self.__wrapped__.__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __del__(self) -> None:
        # A stream that nobody has read a step of may live on in its response, whose body tells of its end.
        call = getattr(self, "_self_call", None)
        if call is not None and self._self_stepped and self._self_dropped_ends:
            call.left()


class SyncReader(_Reader):
    """Stands for a sync stream object."""

    def __iter__(self) -> SyncReader:
        return self

    def __next__(self) -> Any:
        call = self._self_call
        call.reading = self._self_stepped = True
        try:
            while True:
                item = next(self.__wrapped__)
                if not call.hidden(item):
                    return item
        except StopIteration:
            call.end()
            raise
        except BaseException as error:
            call.end(error)
            raise
        finally:
            call.reading = False

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(self, *error: Any) -> Any:
        try:
            return self.__wrapped__.__exit__(*error)
        finally:
            self._self_call.left()

    def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_call.left()


class AsyncReader(_Reader):
    """Stands for an async stream object."""

    def __aiter__(self) -> AsyncReader:
        return self

    async def __anext__(self) -> Any:
        call = self._self_call
        call.reading = self._self_stepped = True
        try:
            while True:
                item = await self.__wrapped__.__anext__()
                if not call.hidden(item):
                    return item
        except StopAsyncIteration:
            call.end()
            raise
        except BaseException as error:
            call.end(error)
            raise
        finally:
            call.reading = False

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self.__wrapped__.__aexit__(*error)
        finally:
            self._self_call.left()

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_call.left()


class _Body(_Proxy):
    """Common to both bodies. `keeps` has the bytes kept until one of them is parsed by the SDK."""

    def __init__(self, body: Any, call: SdkCall, *, keeps: bool, encoding: str) -> None:
        super().__init__(body)
        self._self_call = call
        self._self_read = False
        self._self_encoding = encoding
        self._self_kept = Kept() if keeps else None

    @guard.guarded("stream.part")
    def _self_part(self, part: Any) -> None:
        kept = self._self_kept
        if kept is not None:
            if self._self_call.began:
                self._self_kept = None
            else:
                kept.add(part)

    @guard.guarded("stream.ended")
    def _self_ended(self, error: BaseException | None) -> None:
        """The bytes have ended. While the host is inside a step of the reader, that step tells how the stream ended."""
        call = self._self_call
        kept, self._self_kept = self._self_kept, None
        if kept is not None:
            call.unparsed(kept.payloads(self._self_encoding))
        if call.reading:
            return
        if self._self_read or error is not None:
            call.end(error)
        else:
            call.left()

    def __del__(self) -> None:
        call = getattr(self, "_self_call", None)
        if call is not None and call.is_open:
            self._self_ended(None)


class SyncBody(_Body):
    """Stands for the bytes of a response of a sync client."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self.__wrapped__:
                self._self_part(part)
                yield part
            self._self_read = True
        except GeneratorExit:
            raise
        except BaseException as error:
            self._self_ended(error)
            raise

    def close(self) -> None:
        try:
            self.__wrapped__.close()
        finally:
            self._self_ended(None)


class AsyncBody(_Body):
    """Stands for the bytes of a response of an async client."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = self.__wrapped__.__aiter__()
        try:
            async for part in parts:
                self._self_part(part)
                yield part
            self._self_read = True
        except GeneratorExit:
            raise
        except BaseException as error:
            self._self_ended(error)
            raise
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()  # as `httpx2` does with the iterator that it asked for, which is now ours

    async def aclose(self) -> None:
        try:
            await self.__wrapped__.aclose()
        finally:
            self._self_ended(None)


class Kept:
    """The bytes of a body that the host reads by itself, kept to find its usage in; nothing of one that is too long."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] | None = []
        self.size = 0

    def add(self, part: Any) -> None:
        """Note a piece as it passes."""
        self.size += len(part)
        if self.size > KEPT_MAX:
            self.parts = None
        elif self.parts is not None:
            self.parts.append(part)

    def payloads(self, encoding: str) -> list[object]:
        """What the bytes say, as far as they go: see `payloads`."""
        return payloads(b"".join(self.parts), encoding) if self.parts else []


def payloads(raw: bytes, encoding: str = "") -> list[object]:
    """The JSON of a body: of a whole one, or of each server-sent event; what does not parse is left out."""
    if encoding in _ENCODED:
        try:
            raw = zlib.decompressobj(_ENCODED[encoding]).decompress(raw)
        except zlib.error:
            return []
    elif encoding not in {"", "identity"}:
        return []
    if raw.lstrip()[:1] in {b"{", b"["}:
        return _json(raw)
    found: list[object] = []
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            found += _json(line[5:])
    return found


def _json(text: bytes) -> list[object]:
    try:
        return [json.loads(text)]
    except ValueError:
        return []
