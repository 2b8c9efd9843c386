"""Careful reads of span attributes, shared by the readers of all dialects.

An attribute of the wrong type counts as absent: whoever wrote it, reading it never raises. Counts are whole numbers
from 0 on. Every function takes the value or the bound `get` of the attributes, because a reader runs for every span.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise.extracted import COUNT_MAX, settle
from costspan.records import MISSING, NO_USAGE, REPORTED, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

JSON_MAX: Final = 1_000_000
"""Longer JSON attributes are not parsed: they hold content, and what we need is short."""
CANCELLED: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "AbortError"})
"""Last part of the error types that say: the caller went away. Billed all the same."""
_EXCEPTION: Final = "exception"
_EXCEPTION_TYPE: Final = "exception.type"
_OK: Final = ("ok", None)
_STATUS: Final = re.compile(r"\bError code: ([45]\d\d)\b")
_STATUS_AT: Final = 200
"""Where in a message the status stands, if it does."""


def text(value: object) -> str | None:
    """A non-empty string, else None."""
    return value if type(value) is str and value else None


def first_text(get: Get, keys: Iterable[str]) -> str | None:
    """The first of these attributes that is a non-empty string."""
    for key in keys:
        value = get(key)
        if type(value) is str and value:
            return value
    return None


def count(value: object) -> int | None:
    """A token count, else None."""
    if type(value) is int:
        return value if 0 <= value <= COUNT_MAX else None
    if type(value) is float and value.is_integer() and 0 <= value <= COUNT_MAX:
        return int(value)
    return None


def first_count(get: Get, keys: Iterable[str]) -> int | None:
    """The first of these attributes that is a count."""
    for key in keys:
        value = get(key)
        if value is not None:
            number = count(value)
            if number is not None:
                return number
    return None


def seconds(value: object, scale: float = 1.0) -> float | None:
    """A duration in seconds from a number in units of `scale` seconds."""
    if type(value) is float or type(value) is int:
        return value * scale if 0 <= value < float("inf") else None
    return None


def dollars(value: object) -> Decimal | None:
    """An amount of money from a number or, so that no digit is lost, a string; None for anything else or below 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def first_of(value: object) -> str | None:
    """The one finish reason: of a list, of a JSON list in a string (Logfire), or the string itself."""
    if type(value) is str:
        if not value.startswith("["):
            return value or None
        value = parsed(value)
    if isinstance(value, (list, tuple)) and value:
        return text(value[0])
    return None


def parsed(value: object) -> object:
    """JSON in a string; None when it is no string, too long or broken."""
    if type(value) is not str or len(value) > JSON_MAX:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def parsed_object(value: object) -> dict[str, object]:
    """A JSON object in a string; empty when it is anything else."""
    found = parsed(value)
    return found if isinstance(found, dict) else {}


def outcome(record: SpanRecord) -> tuple[str, str | None]:
    """(`ok` | `error` | `cancelled`, error type) from the status, `error.type` and the recorded exception."""
    kind = text(record.attributes.get(c.ERROR_TYPE))
    if kind is None:
        if not record.error:
            return _OK
        kind = exception_type(record) or http_status(record.status_message)
    if kind is not None and kind.rpartition(".")[2] in CANCELLED:
        return "cancelled", kind
    return "error", kind


def exception_type(record: SpanRecord) -> str | None:
    """Type of the last exception event; emitters without `error.type` tell it there."""
    for name, _, attributes in reversed(record.events):
        if name == _EXCEPTION:
            return text(attributes.get(_EXCEPTION_TYPE))
    return None


def http_status(message: str) -> str | None:
    """`429` from a message of the OpenAI and Anthropic SDKs, for emitters that keep nothing but the message."""
    match = _STATUS.search(message[:_STATUS_AT]) if message else None
    return match.group(1) if match else None


def settled(usage: Usage, problems: list[str]) -> Usage:
    """The usage that may be counted; `NO_USAGE` when the span told neither direction."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return NO_USAGE
    return settle(usage, problems)


def known(usage: Usage) -> str:
    """Evidence of a usage whose parts were just changed: both directions or it is missing."""
    return REPORTED if usage.input_tokens is not None and usage.output_tokens is not None else MISSING
