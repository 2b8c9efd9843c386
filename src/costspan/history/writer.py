"""The history of a living program: finished runs go to a queue, a thread of its own writes them down.

The program never waits: a run that finds the queue full is dropped and counted, and the count is written down with the
next run that is kept. While the file cannot be written (locked, disk full), runs wait in the queue. Nothing is opened
and no thread started before the first run has ended.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from costspan import guard
from costspan.errors import HistoryError
from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from costspan.records import Run

RUNS_MAX: Final = 1_000
CALLS_MAX: Final = 100_000
"""What may wait: so many runs, with so many calls in all."""
TOGETHER: Final = 64
RETRY_SECONDS: Final = 5.0


class Writer:
    """A sink for finished runs. Safe for any number of threads, and for programs that fork."""

    def __init__(self, path: Path, *, service: str | None = None, environment: str | None = None) -> None:
        self._path = path
        self._service = service
        self._environment = environment
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waiting: deque[Run] = deque()
        self._calls = 0
        self._writing = 0
        self._dropped = 0
        self._told_dropped = 0
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._store: Store | None = None
        self._place: tuple[int, int] | None = None

    def __call__(self, run: Run) -> None:
        """Take a finished run. Costs microseconds, never waits, never raises."""
        if os.getpid() != self._pid:
            self._begin()  # a forked child: what waits is the parent's, and so is the connection
        with self._change:
            if self._stopping or len(self._waiting) >= RUNS_MAX or self._calls + len(run.calls) > CALLS_MAX:
                self._dropped += 1
            else:
                self._waiting.append(run)
                self._calls += len(run.calls)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="costspan-history", daemon=True)
                    self._thread.start()
                self._change.notify_all()
                return
        guard.warn_once(
            f"history dropped {self._path}", f"the history {self._path} takes runs too slowly; some are dropped and counted"
        )

    @property
    def dropped(self) -> int:
        """How many runs were dropped."""
        return self._dropped

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything is written; False when time is up before."""
        with self._change:
            return self._change.wait_for(lambda: not (self._waiting or self._writing) or self._thread is None, timeout_seconds)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits, for so long at most, and end the thread; what is left then is told in one line."""
        if os.getpid() != self._pid:
            return
        self.flush(timeout_seconds)
        with self._change:
            self._stopping = True
            left = len(self._waiting) + self._writing
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)
        if left:
            guard.warn_once(
                f"history left {self._path}", f"{left} run{'s' * (left != 1)} could not be written to the history {self._path}"
            )

    # --- the thread --------------------------------------------------------------------------------------
    def _run(self) -> None:
        wait = 0.0
        while True:
            with self._change:
                if wait:
                    self._change.wait_for(lambda: self._stopping, wait)
                self._change.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    break
                runs = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
                self._writing = len(runs)
                self._calls -= sum(len(run.calls) for run in runs)
            written = False
            with guard.Guard("history.write"):
                written = self._write(runs)
            with self._change:
                if not written:
                    self._waiting.extendleft(reversed(runs))
                    self._calls += sum(len(run.calls) for run in runs)
                self._writing = 0
                self._change.notify_all()
            wait = 0.0 if written else RETRY_SECONDS
        if self._store is not None:
            self._store.database.close()

    def _write(self, runs: list[Run]) -> bool:
        """True when the runs are on disk, or can never be."""
        try:
            dropped = self._dropped
            entries = [Entry(run, self._service, self._environment) for run in runs]
            self._opened().save(
                entries, dropped={"in process": dropped - self._told_dropped} if dropped > self._told_dropped else None
            )
            self._told_dropped = dropped
        except HistoryError as error:
            guard.warn_once(f"history {error}", str(error))
            self._forget()
            return False
        return True

    def _opened(self) -> Store:
        """The store; opened again where the file was moved away or deleted while the program went on."""
        store = self._store
        if store is not None and _place(self._path) != self._place:
            self._forget()
            store = None
        if store is None:
            store = self._store = Store(Database(self._path))
            self._place = _place(self._path)
        return store

    def _forget(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.database.close()


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
