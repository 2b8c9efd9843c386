"""Spans for tests of the dialects, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costspan.normalise.dialects import read
from costspan.readings import Reading, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def span(
    scope: str,
    attributes: Mapping[str, object],
    *,
    name: str = "span",
    parent_id: int = 1,
    error: str | None = None,
    events: Sequence[tuple[str, int, Mapping[str, object]]] = (),
) -> SpanRecord:
    """A span of one second that ended; `error` is its status message."""
    return SpanRecord(
        trace_id=1,
        span_id=2,
        parent_id=parent_id,
        name=name,
        scope=scope,
        scope_version="",
        start_ns=1_000_000_000,
        end_ns=2_000_000_000,
        attributes=attributes,
        events=events,
        error=error is not None,
        status_message=error or "",
    )


def meaning(
    scope: str,
    attributes: Mapping[str, object],
    *,
    name: str = "span",
    parent_id: int = 1,
    error: str | None = None,
    events: Sequence[tuple[str, int, Mapping[str, object]]] = (),
) -> Reading:
    """What such a span means; it must mean something."""
    reading = read(span(scope, attributes, name=name, parent_id=parent_id, error=error, events=events))
    assert reading is not None
    return reading
