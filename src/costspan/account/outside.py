"""The calls of a process that belong to no run: one bounded sum, told when the process ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from costspan.account.totals import Tally
from costspan.records import REPORTED, ModelTotals, Run

if TYPE_CHECKING:
    from costspan.records import Call

MODELS_MAX: Final = 200
"""Models with a sum of their own; the calls of further ones share the sum of no model."""
GAPS_MAX: Final = 100
"""Calls of which something is unknown that are kept, to name what mends them; with more they are only counted."""


class Outside:
    """Adds up calls without a run, per model; any thread may add. Memory does not grow with the number of calls."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin at nothing; also in a forked child, where the lock may be held by a thread that is gone."""
        self._lock = threading.Lock()
        self._models: dict[tuple[str | None, str | None], Tally] = {}
        self._gaps: list[Call] = []
        self._first_ns = self._last_ns = 0

    def add(self, call: Call) -> None:
        """Count one call."""
        key = (call.provider, call.model)
        with self._lock:
            tally = self._models.get(key)
            if tally is None:
                key = key if len(self._models) < MODELS_MAX else (None, None)
                tally = self._models.setdefault(key, Tally())
            tally.add(call)
            self._first_ns = min(self._first_ns or call.started_ns, call.started_ns)
            self._last_ns = max(self._last_ns, call.ended_ns)
            if (call.usage.source != REPORTED or call.cost is None) and len(self._gaps) <= GAPS_MAX:
                self._gaps.append(call)

    def sum(self) -> Run | None:
        """All of them in the shape of a run, None without any. `calls` has those of which something is unknown, or none."""
        with self._lock:
            if not self._models:
                return None
            whole = Tally()
            for tally in self._models.values():
                whole.merge(tally)
            totals = whole.freeze()
            return Run(
                id="outside",
                workflow=None,
                started_ns=self._first_ns,
                ended_ns=self._last_ns,
                outcome="ok",
                trace_ids=(),
                totals=totals,
                models=tuple(ModelTotals(*key, tally.freeze()) for key, tally in self._models.items()),
                calls=tuple(self._gaps) if len(self._gaps) <= GAPS_MAX else (),
            )
