"""Async generators of others that run inside one of ours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


def first_step(steps: Any) -> Awaitable[Any]:
    """Begin an async generator that only ours reads, and closes, without the event loop hearing of it.

    A loop that ends closes every generator it has heard of, all at once: it would close this one while ours is closing it,
    and log an error that the program without us has not.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=_dropped)
    try:
        found: Awaitable[Any] = steps.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return found


def _dropped(_steps: Any) -> None:
    """Only where ours is dropped without being closed, as after the end of its loop: then nothing can be awaited."""
