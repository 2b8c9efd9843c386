"""Wraps and unwraps attributes of other people's modules from one table; what was there is put back by identity."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from costspan import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Point:
    """One attribute to wrap: `module`, then `path` within it (`BaseChatModel._generate_with_cache`).

    `wrap` gets what is there and returns what takes its place. `optional` points may be missing: versions differ.
    """

    module: str
    path: str
    wrap: Callable[[Any], Any]
    optional: bool = True


class Patches:
    """The points that are wrapped now; `undo` restores each object that was found."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []
        self._off = False

    def apply(self, points: Iterable[Point]) -> None:
        """Wrap every point, those of modules that nobody has imported yet when somebody does."""
        for point in points:
            module = sys.modules.get(point.module)
            if module is not None:
                self._guarded(point, module)
            else:
                import wrapt  # not at the top: it loads asyncio, and is only needed here

                wrapt.register_post_import_hook(functools.partial(self._guarded, point), point.module)

    def _guarded(self, point: Point, module: Any) -> None:
        if not self._off:
            with guard.Guard(f"patch {point.module}:{point.path}"):
                self._wrap(point, module)

    def _wrap(self, point: Point, module: Any) -> None:
        owner: Any = module
        *path, name = point.path.split(".")
        for part in path:
            owner = getattr(owner, part, _ABSENT)
        found = getattr(owner, name, _ABSENT) if owner is not _ABSENT else _ABSENT
        if found is _ABSENT:
            if point.optional:
                return
            message = f"{point.module}.{point.path} is not there in this version"
            raise AttributeError(message)
        own = vars(owner).get(name, _ABSENT)
        replacement = point.wrap(found)
        setattr(owner, name, replacement)
        self._done.append((owner, name, own, replacement))

    def undo(self) -> None:
        """Put back what was found, newest first; leave alone what somebody else has wrapped over ours since."""
        self._off = True
        while self._done:
            owner, name, own, replacement = self._done.pop()
            with guard.Guard(f"unpatch {name}"):
                if vars(owner).get(name, _ABSENT) is not replacement:
                    continue
                if own is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, own)
