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

from costspan import guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from costspan.instrument.sdk_calls import SdkCall

KEPT_MAX: Final = 8_000_000
"""Bytes of a body that is read past the SDK's parsers which are kept until its end, to look for its usage."""
_ENCODED: Final = {"gzip": 47, "deflate": 47, "x-gzip": 47}


class _Proxy:
    """Stands for one object. `_self_` names are ours, every other attribute is that of the object.

    It has no special method that the object may lack: `hasattr(stream, "__len__")` is an answer that programs act on.
    """

    __slots__ = ("__weakref__", "_self_call", "_self_object")

    def __init__(self, found: Any, call: SdkCall) -> None:
        object.__setattr__(self, "_self_object", found)
        object.__setattr__(self, "_self_call", call)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._self_object)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._self_object, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_self_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._self_object, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._self_object, name)

    def __dir__(self) -> list[str]:
        return dir(self._self_object)

    def __repr__(self) -> str:
        return repr(self._self_object)

    def __copy__(self) -> Any:
        return copy.copy(self._self_object)

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self._self_object, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._self_object.__reduce_ex__(protocol)


def stands_for(proxy: _Proxy) -> Any:
    """The object that a proxy of this file stands for."""
    return proxy._self_object  # noqa: SLF001 - ours


class _Reader(_Proxy):
    """Common to both readers."""

    __slots__ = ("_self_dropped_ends", "_self_stepped")

    def __init__(self, stream: Any, call: SdkCall, *, dropped_ends: bool = True) -> None:
        super().__init__(stream, call)
        self._self_stepped = False
        self._self_dropped_ends = dropped_ends

    def __del__(self) -> None:
        # A stream that nobody has read a step of may live on in its response, whose body tells of its end.
        if self._self_stepped and self._self_dropped_ends:
            self._self_call.left()


class SyncReader(_Reader):
    """Stands for a sync stream object."""

    __slots__ = ()

    def __iter__(self) -> SyncReader:
        return self

    def __next__(self) -> Any:
        call = self._self_call
        call.reading = True
        if not self._self_stepped:  # setting an attribute of a proxy takes as long as all the rest of a step
            self._self_stepped = True
        try:
            while True:
                item = next(self._self_object)
                if not call.looks_at_items or not call.hidden(item):
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
        entered = self._self_object.__enter__()
        return self if entered is self._self_object else entered

    def __exit__(self, *error: Any) -> Any:
        try:
            return self._self_object.__exit__(*error)
        finally:
            self._self_call.left()

    def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._self_object.close(*args, **kwargs)
        finally:
            self._self_call.left()


class AsyncReader(_Reader):
    """Stands for an async stream object."""

    __slots__ = ()

    def __aiter__(self) -> AsyncReader:
        return self

    async def __anext__(self) -> Any:
        call = self._self_call
        call.reading = True
        if not self._self_stepped:  # setting an attribute of a proxy takes as long as all the rest of a step
            self._self_stepped = True
        try:
            while True:
                item = await self._self_object.__anext__()
                if not call.looks_at_items or not call.hidden(item):
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
        entered = await self._self_object.__aenter__()
        return self if entered is self._self_object else entered

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self._self_object.__aexit__(*error)
        finally:
            self._self_call.left()

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self._self_object.close(*args, **kwargs)
        finally:
            self._self_call.left()


class _Body(_Proxy):
    """Common to both bodies. The bytes are kept until the first of them are parsed by the SDK."""

    __slots__ = ("_self_encoding", "_self_kept", "_self_read")

    def __init__(self, body: Any, call: SdkCall, *, encoding: str) -> None:
        super().__init__(body, call)
        self._self_read = False
        self._self_encoding = encoding
        self._self_kept: Kept | None = Kept()

    @guard.guarded("stream.part")
    def _self_part(self, part: Any) -> None:
        if self._self_call.began:
            self._self_kept = None
        elif self._self_kept is not None:
            self._self_kept.add(part)

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
        if self._self_call.is_open:
            self._self_ended(None)


class SyncBody(_Body):
    """Stands for the bytes of a response of a sync client."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._self_object:
                if self._self_kept is not None:
                    self._self_part(part)
                yield part
            self._self_read = True
        except GeneratorExit:
            self._self_ended(None)  # the bytes of a response can be asked for once only
            raise
        except BaseException as error:
            self._self_ended(error)
            raise

    def close(self) -> None:
        try:
            self._self_object.close()
        finally:
            self._self_ended(None)


class AsyncBody(_Body):
    """Stands for the bytes of a response of an async client."""

    __slots__ = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = self._self_object.__aiter__()
        try:
            async for part in parts:
                if self._self_kept is not None:
                    self._self_part(part)
                yield part
            self._self_read = True
        except GeneratorExit:
            self._self_ended(None)  # the bytes of a response can be asked for once only
            raise
        except BaseException as error:
            self._self_ended(error)
            raise
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()  # as `httpx2` does with the iterator that it asked for, which is now ours

    async def aclose(self) -> None:
        try:
            await self._self_object.aclose()
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
