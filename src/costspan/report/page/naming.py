"""Names from outside as one line of text for a page; the templates escape it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from costspan.report.names import clean

if TYPE_CHECKING:
    from costspan.records import Call

DASH: Final = "–"
UNATTRIBUTED: Final = "unattributed"
STATES: Final = ("ok", "error", "cancelled", "running")
"""Outcomes that have a colour of their own."""


@lru_cache(maxsize=4096)
def plain(name: str | None) -> str:
    """The name without what cannot be seen; None and empty are `(no name)`."""
    return clean(name, ascii_only=False)


def maybe(name: str | None) -> str:
    """The same, with a dash for what is not there."""
    return plain(name) if name else DASH


def model_name(call: Call) -> str:
    """The model that people know the call by."""
    name = call.model or call.response_model or call.request_model
    return plain(name) if name else "unnamed model"


def state(outcome: str) -> str:
    """The class of an outcome's colour."""
    return outcome if outcome in STATES else "other"
