"""JSON values as small bytes: how attributes and runs are kept. zstd, level 3.

orjson writes and reads them where it is installed (the `server` extra brings it), a third of the time of the standard library.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final

import zstandard

from costspan.errors import HistoryError

try:
    from orjson import dumps as _quick_dumps
    from orjson import loads as _quick_loads
except ImportError:
    _quick_dumps = _quick_loads = None  # type: ignore[assignment]

LEVEL: Final = 3
UNPACKED_MAX: Final = 256 << 20
_local = threading.local()


def pack(value: object) -> bytes:
    """The value as compressed JSON. What JSON does not know is written as text."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        # One a thread: a context is not safe to share, and making one costs more than using it.
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    packed: bytes = compressor.compress(_dumps(value))
    return packed


def _dumps(value: object) -> bytes:
    if _quick_dumps is not None:
        try:
            return _quick_dumps(value, str)
        except TypeError:
            pass  # whole numbers beyond 64 bits, halves of surrogate pairs, keys that are no texts: json takes them all
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str, check_circular=False)
    return text.encode("utf-8", "surrogatepass")


def _loads(text: bytes) -> Any:
    if _quick_loads is not None:
        try:
            return _quick_loads(text)
        except ValueError:
            pass  # NaN, or a half of a surrogate pair
    return json.loads(text.decode("utf-8", "surrogatepass"))


def unpack(body: bytes) -> Any:
    """The value again. Raises HistoryError where the bytes are damaged."""
    try:
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=UNPACKED_MAX)
        return _loads(plain)
    except (zstandard.ZstdError, ValueError) as error:
        message = f"a part of the history is damaged ({error}); `costspan db info --check` looks at the whole file"
        raise HistoryError(message) from error
