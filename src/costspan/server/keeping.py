"""Retention while the server runs: now and then, in the thread that writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from costspan.history.retention import trim

if TYPE_CHECKING:
    from costspan.history.database import Database

EVERY_SECONDS: Final = 60.0


class Keeping:
    """`days` and `bytes_max` None: everything is kept."""

    def __init__(self, database: Database, *, days: int | None, bytes_max: int | None) -> None:
        self._database = database
        self._days = days
        self._bytes_max = bytes_max
        self._next = 0.0

    def now_and_then(self) -> None:
        """Trim a bounded piece of the history, at most once a minute unless more is waiting."""
        if (self._days is None and self._bytes_max is None) or time.monotonic() < self._next:
            return
        more = trim(self._database, days=self._days, bytes_max=self._bytes_max)
        self._next = time.monotonic() + (1.0 if more else EVERY_SECONDS)
