"""Attributes onto an open span of ours, without the SDK's cleaning of each.

The SDK checks, copies and moves every attribute: about 5,000 instructions each (opentelemetry-sdk 1.45), and a call ends with
twenty, every other span with a dozen. Ours are plain strings and numbers before they come here. So on the SDK's own span they
are put where it keeps them, all at once. Whatever is different (another class of span, a limit on attributes that is set or
would be passed, a value of another type, a span that has ended) goes the SDK's own way. What is exported is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

_PLAIN: Final = frozenset({str, int, float, bool, tuple})
"""Types that the SDK's cleaning leaves as they are. The tuples that are written here hold strings."""
_NOTHING: Final[Mapping[str, AttributeValue]] = {}


def write(span: Span, attributes: Mapping[str, AttributeValue], told: Mapping[str, AttributeValue] = _NOTHING) -> None:
    """`span.set_attributes(attributes)`, by the shorter way where that is possible.

    `told` are those of them that somebody else said, a provider in its answer, and whose types are looked at. The others are
    costspan's own words and numbers.
    """
    if type(span) is not _KNOWN or not _PLAIN.issuperset(map(type, told.values())) or not _put(span, attributes):
        span.set_attributes(attributes)


def _put(span: Any, attributes: Mapping[str, AttributeValue]) -> bool:
    """True when the attributes are on the span; where things are kept is checked by `_known`, once."""
    kept = span._attributes  # noqa: SLF001
    if kept.max_value_len is not None:
        return False
    values, room = kept._dict, kept.maxlen  # noqa: SLF001
    with span._lock:  # noqa: SLF001 - as the SDK does: nothing changes while a span ends, or after
        if span._end_time is not None or (room is not None and len(values) + len(attributes) > room):  # noqa: SLF001
            return False
        values.update(attributes)
    return True


def _known() -> type | None:
    """The SDK's class of open spans, if what is put on one can be read from it again; else None."""
    told: dict[str, AttributeValue] = {"costspan.kind": "call", "gen_ai.usage.input_tokens": 1}
    try:
        kind: type = sdk._Span  # noqa: SLF001 - what its tracers make
        span = kind("probe", INVALID_SPAN_CONTEXT, resource=Resource({}))
        span.start()
        return kind if _put(span, told) and dict(span.attributes) == told else None
    except (AttributeError, TypeError):  # an SDK that is built in another way
        return None


_KNOWN: Final = _known()
