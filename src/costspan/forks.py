"""What a fork waits for: modules that a thread of ours is loading.

Python keeps a lock for each module while it is imported. A child that is forked meanwhile has the lock and not the thread
that would give it back: its own import of that module, and with it the host's work, would wait for ever.
"""

from __future__ import annotations

import logging  # noqa: F401 - its hook must be registered before ours: hooks run last to first, and it holds its lock
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS: Final = 5.0
"""No fork waits longer. The price table loads in a tenth of a second, in two where its .pyc files are missing."""

_lock = threading.Lock()
_held: list[threading.Lock] = []


@contextmanager
def loading() -> Iterator[None]:
    """Around what one of our threads loads beside the program: forks of this process wait until it is there."""
    with _lock:
        yield


def _before() -> None:
    if _lock.acquire(timeout=WAIT_SECONDS):
        _held.append(_lock)


def _after_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    global _lock
    _held.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
