"""Stand-ins for what a trace has not told yet: programs send a span when it has ended, so while a run is going its root, and
the agents at work, are missing. With these in their place the trace reads as one run. For looking at only, never booked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.readings import Reading, SpanRecord
from costspan.records import RUN

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pair = tuple[SpanRecord, Reading | None]

SCOPE: Final = "costspan.server.going"
ROOT_ID: Final = (1 << 64) - 1
"""The stand-in's span id; a trace that uses it itself is shown as it is."""


def with_stand_ins(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """The spans of one trace, and in place of each parent that is not here one that has not ended, all beneath one root.

    As it is where the root has ended, or nothing is missing.
    """
    here = {record.span_id for record, _ in pairs}
    missing = {record.parent_id for record, _ in pairs if record.parent_id and record.parent_id not in here}
    if not missing or ROOT_ID in here or any(not record.parent_id for record, _ in pairs):
        return pairs
    first = min((record for record, _ in pairs), key=lambda record: record.start_ns)
    workflow = next((name for _, reading in pairs if reading is not None and (name := reading.workflow)), None)
    root = _open(first, ROOT_ID, 0), Reading(kind=RUN, dialect=SCOPE, name=workflow, workflow=workflow)
    return [root, *((_open(first, span_id, ROOT_ID), None) for span_id in sorted(missing)), *pairs]


def _open(first: SpanRecord, span_id: int, parent_id: int) -> SpanRecord:
    return SpanRecord(
        trace_id=first.trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name="",
        scope=SCOPE,
        scope_version="",
        start_ns=first.start_ns,
        end_ns=0,
        attributes={},
        resource=first.resource,
    )
