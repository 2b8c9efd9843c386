"""Content encodings of HTTP: gzip, deflate and zstd, unpacked no further than the limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import zstandard

from costspan.server.errors import RefusedError, malformed, too_large
from costspan.server.limits import UNPACKED_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP: Final = 1 << 20


def unpack(data: bytes, encoding: str, *, limit: int = UNPACKED_BYTES_MAX) -> bytes:
    """The body as it was before it was packed. Raises RefusedError: unknown encoding (415), damage (400), a bomb (413)."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    ways: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd}
    way = ways.get(encoding)
    if way is None:
        message = f"Content-Encoding {encoding[:40]!r} is not known here; use gzip, deflate, zstd or none"
        raise RefusedError(415, "UNIMPLEMENTED", message)
    try:
        return way(data, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        message = f"the body is not valid {encoding} ({error})"
        raise malformed(message) from error


def _gzip(data: bytes, limit: int) -> bytes:
    """Members one after another, as gzip allows."""
    found = bytearray()
    while data:
        member = zlib.decompressobj(wbits=31)
        _inflate(member, data, found, limit)
        data = member.unused_data
        if data and not data.strip(b"\0"):
            break
    return bytes(found)


def _deflate(data: bytes, limit: int) -> bytes:
    found = bytearray()
    _inflate(zlib.decompressobj(), data, found, limit)
    return bytes(found)


def _inflate(member: zlib._Decompress, data: bytes, found: bytearray, limit: int) -> None:
    while not member.eof:
        part = member.decompress(data, _STEP)
        found += part
        _check(len(found), limit)
        data = member.unconsumed_tail
        if not part and not data and not member.eof:
            message = "it ends too early"
            raise EOFError(message)


def _zstd(data: bytes, limit: int) -> bytes:
    found = bytearray()
    while data:
        frame = zstandard.get_frame_parameters(data)
        if frame.window_size > limit:
            _check(frame.window_size, limit)
        reader = zstandard.ZstdDecompressor(max_window_size=limit).decompressobj()
        # In small steps: the object unpacks whatever it is given at once.
        place = 0
        while place < len(data) and not reader.eof:
            found += reader.decompress(data[place : place + 256])
            place += 256
            _check(len(found), limit)
        if not reader.eof:
            message = "it ends too early"
            raise EOFError(message)
        data = reader.unused_data + data[place:]
    return bytes(found)


def _check(size: int, limit: int) -> None:
    if size > limit:
        message = f"the body is larger than {limit >> 20} MiB when unpacked; send smaller batches"
        raise too_large(message)
