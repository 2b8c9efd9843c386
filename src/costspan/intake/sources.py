"""A file as a stream of plain bytes: gzip and zstd are unpacked on the way, in bounded memory, whatever the file claims.

What goes wrong (cut short, damaged, a compression bomb) is told once and ends the stream; everything unpacked before
that has been handed out.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from costspan.intake.wire import Note

BLOCK_BYTES: Final = 1 << 20
RATIO_MAX: Final = 250
"""Unpacked over packed size above which a file is taken for a bomb; real traces reach 10 to 60."""
RATIO_FREE_BYTES: Final = 64 << 20
"""The ratio is not looked at before this much was unpacked: short files of repeated spans pack very well."""
GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_FEED_BYTES: Final = 2048  # a zstd block of 4 bytes may unpack to 128 KiB, and the decoder has no output limit
_FOREIGN: Final = ((b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"PAR1", "Parquet"))


class Source:
    """An open file's unpacked bytes. `offset` counts the bytes taken, `read_bytes` the packed ones read so far.

    `damaged` is True once the stream ended for another reason than the file's end; `note` was then told why.
    """

    def __init__(self, file: BinaryIO, note: Note, progress: Callable[[int], None] | None = None) -> None:
        self.offset = 0
        self.read_bytes = 0
        self.damaged = False
        self._file = file
        self._note = note
        self._progress = progress
        self._buffer = b""
        self._position = 0
        self._start = start = self._read(8)
        self.packing = "gzip" if start[:2] == GZIP_MAGIC else "zstd" if start[:4] == ZSTD_MAGIC else ""
        self.foreign = next((name for magic, name in _FOREIGN if start.startswith(magic)), "")
        self._blocks = self._unpacked()

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        end = self._position + size
        if end <= len(self._buffer):
            piece = self._buffer[self._position : end]
            self._position = end
        else:
            piece = self._gather(size)
        self.offset += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """The next bytes without taking them."""
        piece = self._gather(size)
        self._buffer = piece + self._buffer
        return piece

    def some(self) -> bytes:
        """Whatever comes next, about a megabyte; empty at the end."""
        piece = self._buffer[self._position :]
        if piece:
            self._buffer, self._position = b"", 0
        else:
            piece = next(self._blocks, b"")
        self.offset += len(piece)
        return piece

    def _gather(self, size: int) -> bytes:
        parts = [self._buffer[self._position :]]
        self._buffer, self._position = b"", 0
        held = len(parts[0])
        while held < size:
            block = next(self._blocks, b"")
            if not block:
                break
            parts.append(block)
            held += len(block)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def _unpacked(self) -> Iterator[bytes]:
        if self.packing:
            yield from self._inflate()
            return
        block = self._start
        while block:
            yield block
            block = self._read(BLOCK_BYTES)

    def _read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except OSError as error:
            self._damage(self.read_bytes, f"the file cannot be read further ({error.strerror or error})")
            return b""
        self.read_bytes += len(block)
        if self._progress is not None:
            self._progress(len(block))
        return block

    def _inflate(self) -> Iterator[bytes]:
        """Members or frames one after the other, as both formats allow."""
        total = 0
        try:
            for block in self._members():
                total += len(block)
                yield block
                if total > RATIO_FREE_BYTES and total > RATIO_MAX * self.read_bytes:
                    self._damage(total, _BOMB)
                    return
        except (zlib.error, zstandard.ZstdError) as error:
            self._damage(total, f"the {self.packing} data is damaged ({str(error).splitlines()[0]})")
        except EOFError:
            self._damage(total, f"the {self.packing} data is cut short")

    def _members(self) -> Iterator[bytes]:
        rest = self._start
        make = _Gzip if self.packing == "gzip" else _Zstd
        magic = GZIP_MAGIC if self.packing == "gzip" else ZSTD_MAGIC
        while True:
            unpacker = make()
            while not unpacker.eof:
                feed = rest or self._read(unpacker.feed_bytes)
                rest = b""
                if not feed:
                    raise EOFError
                yield from unpacker.feed(feed)
            rest = unpacker.rest or self._read(unpacker.feed_bytes)
            while 0 < len(rest) < len(magic) and (more := self._read(unpacker.feed_bytes)):
                rest += more
            if not rest.strip(b"\0"):
                return
            if not rest.startswith(magic):
                self._damage(self.read_bytes - len(rest), f"bytes after the end of the {self.packing} data were left out")
                return

    def _damage(self, offset: int, reason: str) -> None:
        self.damaged = True
        self._note(offset, reason)


_BOMB: Final = (
    f"stopped: the data unpacks to more than {RATIO_MAX} times its packed size, which traces do not do; "
    "if you trust the file, unpack it yourself and report on the plain file"
)


class _Gzip:
    feed_bytes: Final = 1 << 14

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The unpacked data. zlib throws away what a failing call had unpacked, so such a call is done again bytewise."""
        before = self._unpacker.copy()
        try:
            block = self._unpacker.decompress(data)
        except zlib.error:
            for position in range(len(data)):
                if block := before.decompress(data[position : position + 1]):
                    yield block
            raise
        if block:
            yield block

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def rest(self) -> bytes:
        return self._unpacker.unused_data


class _Zstd:
    feed_bytes: Final = _ZSTD_FEED_BYTES

    def __init__(self) -> None:
        self._unpacker = zstandard.ZstdDecompressor().decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        block = self._unpacker.decompress(data)
        if block:
            yield block

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def rest(self) -> bytes:
        return self._unpacker.unused_data


def unpack(data: bytes, note: Note, offset: int) -> bytes:
    """One packed message in memory, unpacked; empty and told of when it is damaged, cut short or a bomb."""
    told: list[tuple[int, str]] = []
    source = Source(io.BytesIO(data), lambda _, reason: told.append((offset, reason)))
    parts = list(iter(source.some, b""))
    for where, reason in told:
        note(where, reason)
    return b"".join(parts)
