"""Moments as people write them on a command line: `7d`, `24h`, `2026-11-01`, `2026-11-01T14:30`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from costspan.errors import UsageError

_AGO: Final = re.compile(r"(\d{1,6})\s*(m|h|d|w)")
_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def moment(text: str, *, option: str, now_ns: int | None = None) -> int:
    """Nanoseconds since the epoch: so long ago, or a date or time (UTC unless it says otherwise).

    Raises UsageError that names the option and what it takes.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    if ago is not None:
        now_ns = time.time_ns() if now_ns is None else now_ns
        return max(0, now_ns - int(ago[1]) * _SECONDS[ago[2]] * 10**9)
    try:
        told = datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{option} {text!r} is no moment; write 30m, 24h, 7d, 4w, 2026-11-01 or 2026-11-01T14:30"
        raise UsageError(message) from None
    told = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    return max(0, int(told.timestamp()) * 10**9)
