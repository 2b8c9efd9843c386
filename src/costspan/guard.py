"""The only place where exceptions are swallowed.

A guard encloses costspan's own lines, never the host's call. What it swallows is counted (exposed as
`costspan_internal_errors_total{where=…}`) and logged once per place, so that a bug of ours is visible and
harmless. Tests call `raise_in_tests(True)` and see the exception itself.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")

_LOGGER: Final = logging.getLogger("costspan")
_swallowed: Counter[str] = Counter()
_warned: set[str] = set()
_WARNED_MAX: Final = 1000
_strict: list[bool] = [False]


class Guard:
    """Context manager that swallows `Exception` raised by the lines inside it; `where` names the place."""

    __slots__ = ("where",)

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        return not note(self.where, error)


def guarded(where: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Decorate one of our own functions: on an `Exception` it returns None, counted and logged once."""

    def wrap(function: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if note(where, error):
                    raise
                return None

        return inner

    return wrap


def note(where: str, error: BaseException) -> bool:
    """Count and log a swallowed error; True when the caller must raise it (strict mode of the tests)."""
    _swallowed[where] += 1
    if _swallowed[where] == 1:
        _LOGGER.warning(
            "costspan: %s failed (%s: %s); your program goes on, this place is logged once and counted in "
            "costspan_internal_errors_total",
            where,
            type(error).__name__,
            error,
            exc_info=_LOGGER.isEnabledFor(logging.DEBUG),
        )
    return _strict[0]


def warn_once(where: str, message: str) -> None:
    """Log one clear line for a condition of the surroundings (bad file, taken port), once per place."""
    if where not in _warned and len(_warned) < _WARNED_MAX:
        _warned.add(where)
        _LOGGER.warning("costspan: %s", message)


def swallowed() -> dict[str, int]:
    """How often each place swallowed an exception; a copy."""
    return dict(_swallowed)


def reset() -> None:
    """Forget what was swallowed; for tests and `disable()`."""
    _swallowed.clear()
    _warned.clear()


def raise_in_tests(on: bool) -> None:
    """Strict mode: guards count and log, then let the exception through."""
    _strict[0] = on
