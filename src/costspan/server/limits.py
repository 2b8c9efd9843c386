"""How much the server takes from anybody. What is greater is refused with a status that says so, never a crash."""

from __future__ import annotations

from typing import Final

BODY_BYTES_MAX: Final = 16 << 20
"""One request as it comes over the wire."""
DRAINED_BYTES_MAX: Final = 64 << 20
"""A larger one is read to its end, so that its sender hears the answer, up to this; beyond it the sender is hung up on."""
UNPACKED_BYTES_MAX: Final = 64 << 20
"""The same after gzip or zstd: a bomb is refused when it passes this, without being unpacked further."""
INFLIGHT_BYTES_MAX: Final = 96 << 20
"""Requests that wait to be written, all together; more are told to come again (503, UNAVAILABLE)."""
SPANS_MAX: Final = 50_000
"""Spans in one request; the rest of it is rejected, and counted in the partial success."""
HEADER_BYTES_MAX: Final = 16 << 10
HEADER_SECONDS: Final = 10.0
"""A client that has not sent its request line and headers by then is hung up on."""
BODY_SECONDS: Final = 30.0
"""The same for the body of its request."""
CONNECTIONS_MAX: Final = 1_000
RETRY_SECONDS: Final = 2
"""What a client that came at a bad time is told to wait."""
