"""JSON values as small bytes: how attributes and run records are kept. zstd, level 3."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

import zstandard

from costspan.errors import HistoryError

LEVEL: Final = 3
UNPACKED_MAX: Final = 256 << 20
_local = threading.local()


def pack(value: object) -> bytes:
    """The value as compressed JSON. What JSON does not know (bytes, NaN inside) is written as text."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str, check_circular=False)
    return pack_text(text)


def pack_text(text: str) -> bytes:
    """JSON text, compressed."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        # One a thread: a context is not safe to share, and making one costs more than using it.
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    packed: bytes = compressor.compress(text.encode("utf-8", "surrogatepass"))
    return packed


def unpack(body: bytes) -> Any:
    """The value again. Raises HistoryError where the bytes are damaged."""
    try:
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=UNPACKED_MAX)
        return json.loads(plain.decode("utf-8", "surrogatepass"))
    except (zstandard.ZstdError, ValueError) as error:
        message = f"a part of the history is damaged ({error}); `costspan db info --check` looks at the whole file"
        raise HistoryError(message) from error
