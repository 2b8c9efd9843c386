"""The way of the data, once: span -> normalise -> price -> account -> sinks.

Our own hooks come in as `Desk` (they know their owner and want cost on their span before it ends); other people's spans come
in through `intake/sdk.py`, which calls `foreign_*`. What leaves goes to `Meters` and, when a run has ended, to the sinks.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from costspan import conventions as c
from costspan import forks, guard
from costspan.account.booking import make_call
from costspan.account.ledger import Ledger, Node, RunState, node_attributes
from costspan.account.meters import Ended, Meters
from costspan.account.settling import Place, Settling
from costspan.account.waste import Asked
from costspan.normalise import span_costspan
from costspan.readings import Reading, SpanRecord
from costspan.records import AGENT, CALL, REMOTE, RUN, TOOL, Call, Owner, Run, span_hex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from costspan.instrument.spans import Unit
    from costspan.price.book import PriceBook

_NAMES_WORKFLOW = frozenset({RUN, AGENT})
"""Kinds of units that may name a workflow; steps and tools are in the one that is around them."""
PART = "part of a run that another process has begun"


class End(NamedTuple):
    """What the metrics want to know of a tool or a run that has ended."""

    span_id: str
    started_ns: int
    ended_ns: int
    outcome: str


class Pipeline:
    """Prices calls once, books them, and turns an ended run into a record for the sinks."""

    def __init__(
        self, book: PriceBook, meters: Meters, ledger: Ledger, *, sinks: tuple[Callable[[Run], None], ...] = (),
        metered: str | None = None,
    ) -> None:  # fmt: skip
        self.book = book
        self.meters = meters
        self.ledger = ledger
        self.sinks = sinks
        self.metered = metered
        self.settling = Settling(book, meters, ledger)
        self._prices_asked = False

    # --- our own spans (Desk) --------------------------------------------------------------------------
    def opened(self, unit: Unit) -> None:
        """A unit of ours opens: give it a node; create metric children at 0 now that names are known."""
        if not self._prices_asked:
            self._prices_asked = True
            threading.Thread(target=self._load_prices, name="costspan-prices", daemon=True).start()
        parent = unit.parent.state if unit.parent is not None else None
        if self.settling.folding:
            self.settling.started(own_record(unit, 0), None, may_be_call=unit.kind == CALL)
        if unit.kind == CALL:
            unit.state = parent
            return
        node = parent if isinstance(parent, Node) else None
        unit.state = self.ledger.open(unit.kind, unit.name, node, None if node is not None else self._run(unit))
        if unit.kind == TOOL:
            self.meters.known_tool(unit.acting.agent, unit.name)
        if node is None or unit.kind in _NAMES_WORKFLOW:
            self.meters.known_workflow(unit.owner.workflow)

    @guard.guarded("load prices")
    def _load_prices(self) -> None:
        """The table takes a tenth of a second to load: beside the first call, which takes longer, not after it."""
        with forks.loading():
            self.book.preload()

    @staticmethod
    def _run(unit: Unit) -> RunState:
        workflow = unit.owner.workflow
        run = RunState(unit.run_id, workflow, unit.span.get_span_context().trace_id, unit.started_ns)
        run.part = unit.parent is not None and unit.parent.kind == REMOTE
        return run

    def closing(self, unit: Unit, ended_ns: int) -> Mapping[str, str | int | float | bool]:
        """A unit of ours ends: account for it and answer with the attributes that its span gets."""
        node = unit.state if isinstance(unit.state, Node) else None
        if unit.kind == CALL:
            return self._call_closing(unit, node, ended_ns)
        if node is None:
            return {}
        if self.ledger.keep_spans or self.settling.folding:
            record = own_record(unit, ended_ns)
            reading = span_costspan.read(record)
            if reading is not None:
                if self.settling.folding:
                    self.settling.scope_ended(record, reading)
                self.ledger.keep(node.run, record, reading)
        if node.kind == TOOL or node.parent is None:
            self._scope_ended(node, unit.acting, _end_of_unit(unit, ended_ns))
        return node_attributes(node)

    def _call_closing(self, unit: Unit, node: Node | None, ended_ns: int) -> Mapping[str, str | int | float | bool]:
        record = own_record(unit, ended_ns)
        reading = span_costspan.read(record)
        if reading is None:
            return {}
        call = make_call(record, reading, unit.owner, self.book)
        call = (Asked() if node is None else node.run.asked).settled(call)
        if node is not None:
            self.ledger.keep(node.run, record, reading, call)
        self.settling.call_ended(Place(node, unit.owner, call), record, reading)
        return call_attributes(call, metered=self.metered)

    def unit_ended(self, node: Node, owner: Owner, record: SpanRecord, reading: Reading) -> None:
        """Somebody else's run, agent, step or tool has ended. The outermost one ends its run."""
        self.ledger.keep(node.run, record, reading)
        end = End(f"{record.span_id:016x}", record.start_ns, record.end_ns, reading.outcome)
        self._scope_ended(node, owner, end)

    def _scope_ended(self, node: Node, owner: Owner, end: End) -> None:
        if node.kind == TOOL:
            self._tool(node, owner, end)
        if node.parent is None:
            run = node.run
            self.settling.run_ended(run.trace_id)
            self.ledger.end_run(run)
            self._finish(run, node, end)

    def _tool(self, node: Node, owner: Owner, end: End) -> None:
        exemplar = (node.run.trace_hex, end.span_id, end.ended_ns)
        seconds = max(0, end.ended_ns - end.started_ns) / 1e9
        self.meters.tool(node.name, owner.agent, outcome=end.outcome, duration_seconds=seconds, exemplar=exemplar)
        inside = node.subtree
        if inside.calls:
            self.meters.tool_tokens(node.name, "nested", inside.input_tokens + inside.output_tokens, inside.cost_usd, exemplar)

    def _finish(self, run: RunState, node: Node, end: End) -> None:
        """The outermost unit has ended: metrics of the run, its record for whoever wants it."""
        if not self.sinks:
            if not run.part:
                self.meters.run_ended(_bare(run, node, end))
            return
        for one in self.assemble(run):
            if not run.part:
                self.meters.run(one)
            for sink in self.sinks:
                with guard.Guard(f"sink {getattr(sink, '__name__', type(sink).__name__)}"):
                    sink(one)

    def assemble(self, run: RunState) -> tuple[Run, ...]:
        """The run's record from its spans; calls are priced as they were when they were booked."""
        from costspan.account.assemble import assemble  # only where a record is wanted

        def make(record: SpanRecord, reading: Reading, owner: Owner) -> Call:
            booked = run.calls.get(record.span_id)
            if booked is None:
                return make_call(record, reading, owner, self.book)
            return booked if booked.owner == owner else replace(booked, owner=owner)

        found = assemble(run.spans, make=make)
        runs = found.runs
        if run.dropped_spans and runs:
            note = f"{run.dropped_spans} spans beyond the first {len(run.spans)} are in metrics only"
            runs = (replace(runs[0], notes=(*runs[0].notes, note)), *runs[1:])
        if run.part:
            runs = tuple(replace(one, notes=(*one.notes, PART)) for one in runs)
        return runs


def own_record(unit: Unit, ended_ns: int) -> SpanRecord:
    """One of our own units in neutral form."""
    context = unit.span.get_span_context()
    parent = getattr(unit.span, "parent", None)
    return SpanRecord(
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_id=parent.span_id if parent is not None else 0,
        name=unit.name or "",
        scope=c.SCOPE,
        scope_version="",
        start_ns=unit.started_ns,
        end_ns=ended_ns,
        attributes=unit.attributes,
    )


def call_attributes(call: Call, *, metered: str | None) -> dict[str, str | int | float | bool]:
    """What a priced call adds to its span. Nothing is written for what is not known. `metered`: `conventions.METERED_ROAD`."""
    found: dict[str, str | int | float | bool] = {}
    if metered is not None:
        found[c.METERED] = True
        found[c.METERED_ROAD] = metered
    cost = call.cost
    if cost is not None:
        found[c.COST_AMOUNT] = float(cost.amount_usd)
        found[c.COST_CURRENCY] = "USD"
        found[c.COST_SOURCE] = "provider" if cost.source == "provider" else "local"
        found[c.PRICE_SOURCE] = cost.source
        found[c.PRICE_REF] = cost.ref
    if call.context_window_tokens:
        found[c.CONTEXT_WINDOW_SIZE] = call.context_window_tokens
        used = call.usage.total_tokens
        if used is not None:
            found[c.CONTEXT_UTILIZATION] = used / call.context_window_tokens
    return found


def _end_of_unit(unit: Unit, ended_ns: int) -> End:
    failed = c.ERROR_TYPE in unit.attributes
    ended = span_costspan.outcome(unit.attributes, error=False) if failed else "ok"
    return End(span_hex(unit.span.get_span_context().span_id), unit.started_ns, ended_ns, ended)


def _bare(run: RunState, node: Node, end: End) -> Ended:
    """A run from its running totals, where nobody asked for the record."""
    total = node.subtree
    tokens = total.input_tokens + total.output_tokens if total.told else None
    cost = total.cost_usd if total.priced else None
    seconds = max(0, end.ended_ns - run.started_ns) / 1e9
    return Ended(run.workflow, end.outcome, seconds, total.calls, tokens, cost, run.trace_hex, end.ended_ns)
