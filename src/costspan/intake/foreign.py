"""Foreign spans of a living process: who they belong to while they run, and what they add when they end.

Open foreign agents, tools and workflows are kept by span id, bounded; spans that are none of these pass their parent's
place on. A foreign unit without any unit around it begins a run, as one of ours would.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.account.ledger import Node, RunState
from costspan.account.settling import Place
from costspan.instrument.spans import SWITCH, Unit, owner_of
from costspan.normalise.dialects import read
from costspan.pipeline import own_record
from costspan.readings import Reading
from costspan.records import CALL, NOBODY, Owner

if TYPE_CHECKING:
    from costspan.pipeline import Pipeline
    from costspan.readings import SpanRecord

LIVE_MAX: Final = 50_000
_EXPIRE_EVERY_NS: Final = 1_000_000_000


class _Live(NamedTuple):
    """An open span's place. `node` is the one to book into, `own` the one that this very span opened."""

    node: Node | None
    own: Node | None
    owner: Owner


class Foreign:
    """What the processor tells about other people's spans."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._settling = pipeline.settling
        self._live: OrderedDict[tuple[int, int], _Live] = OrderedDict()
        self._lock = threading.Lock()
        self._expired_ns = 0

    def activate(self) -> None:
        """From now on several layers may tell of one call; the ones of ours that are open are made known."""
        settling = self._settling
        if settling.folding:
            return
        settling.folding = True
        spans = SWITCH.spans
        if spans is not None:
            for unit in spans.open_units():
                settling.started(own_record(unit, 0), None, may_be_call=unit.kind == CALL)

    def passes(self, trace_id: int, span_id: int, parent_id: int) -> None:
        """A span of no interest starts: what is beneath it belongs to whom it belongs to."""
        around = self._live.get((trace_id, parent_id))
        if around is not None:
            self._remember((trace_id, span_id), around if around.own is None else _Live(around.node, None, around.owner))

    def passed(self, trace_id: int, span_id: int) -> None:
        """A span of no interest has ended."""
        if self._live:
            self._live.pop((trace_id, span_id), None)

    def started(self, record: SpanRecord, unit: Unit | None) -> Owner:
        """A GenAI span starts; answers with who it belongs to as far as can be told now."""
        self.activate()
        self._expire()
        around = self._live.get((record.trace_id, record.parent_id))
        if around is None and unit is not None:
            around = _Live(unit.state if isinstance(unit.state, Node) else None, None, unit.acting)
        reading = read(record)
        self._settling.started(record, reading, may_be_call=True)
        place = self._enter(around or _Live(None, None, NOBODY), record, reading)
        self._remember((record.trace_id, record.span_id), place)
        return around.owner if around is not None else NOBODY

    def _enter(self, around: _Live, record: SpanRecord, reading: Reading | None) -> _Live:
        if reading is None or reading.kind == CALL or (reading.repeats_children and reading.name is None):
            return around._replace(own=None)
        owner = owner_of(reading.kind, reading.name, around.owner)
        run = None
        if around.node is None:
            run = RunState(f"{record.trace_id:032x}{record.span_id:016x}", owner.workflow, record.trace_id, record.start_ns)
        node = self._pipeline.ledger.open(reading.kind, reading.name, around.node, run)
        self._pipeline.meters.known(workflow=owner.workflow)
        return _Live(node, node, owner)

    def ended(self, record: SpanRecord) -> None:
        """A GenAI span has ended, with all its attributes."""
        live = self._live.pop((record.trace_id, record.span_id), None) or _Live(None, None, NOBODY)
        reading = read(record)
        if live.own is not None:
            if reading is not None and reading.kind != CALL:
                self._settling.scope_ended(record, reading)
                self._pipeline.unit_ended(live.own, live.owner, record, reading)
            else:
                self._pipeline.unit_ended(
                    live.own, live.owner, record, Reading(kind=live.own.kind, dialect="", name=live.own.name)
                )
            return
        if live.node is not None:
            self._pipeline.ledger.keep(live.node.run, record, reading)
        if reading is None or (reading.kind != CALL and not reading.repeats_children):
            self._settling.scope_ended(record, reading)
            return
        self._settling.call_ended(Place(live.node, _owner(live.owner, reading), None), record, reading)

    def _remember(self, key: tuple[int, int], place: _Live) -> None:
        live = self._live
        live[key] = place
        if len(live) > LIVE_MAX:
            with self._lock:
                if len(live) > LIVE_MAX:
                    live.popitem(last=False)

    def _expire(self) -> None:
        now = time.time_ns()
        if now - self._expired_ns > _EXPIRE_EVERY_NS:
            self._expired_ns = now
            self._settling.expire(now)

    def flush(self) -> None:
        """Settle everything that waits (flush, shutdown)."""
        self._settling.flush()

    def forget(self) -> None:
        """In a forked child: what is open is the parent's."""
        self._live = OrderedDict()
        self._lock = threading.Lock()


def _owner(owner: Owner, reading: Reading) -> Owner:
    """The enclosing units' owner, completed by what the span itself says where nothing encloses it."""
    if owner.agent:
        return owner
    return Owner(owner.workflow or reading.workflow, reading.agent, owner.step or reading.step, owner.tool or reading.tool)
