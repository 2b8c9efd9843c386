"""The live tree: every open run, agent, step and tool of this process with its running totals. One lock, bounded.

A `Node` is the account of one open unit. A call is added to every node above it (`subtree`) and to its nearest agent, step,
tool and run (`self`). Runs keep the spans that a record is made of, up to `SPANS_MAX`; what comes after is still counted
in metrics and totals, and the record says so.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.account.waste import Asked
from costspan.records import AGENT, MONEY, ZERO, ActiveRun, trace_hex

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call

SPANS_MAX: Final = 50_000
"""Spans kept per run for its record: about 50 MB."""
RUNS_MAX: Final = 10_000
"""Runs in flight that are tracked; a program that opens more without ending any loses the oldest from the gauges."""


class Sum:
    """Running totals of a node: calls, tokens, dollars. `told` calls had usage, `priced` calls a cost."""

    __slots__ = ("calls", "cost_usd", "input_tokens", "output_tokens", "priced", "told")

    def __init__(self) -> None:
        self.calls = 0
        self.told = 0
        self.priced = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd: Decimal = ZERO

    def add(self, input_tokens: int | None, output_tokens: int | None, cost_usd: Decimal | None) -> None:
        """Count one call."""
        self.calls += 1
        if input_tokens is not None or output_tokens is not None:
            self.told += 1
            self.input_tokens += input_tokens or 0
            self.output_tokens += output_tokens or 0
        if cost_usd is not None:
            self.priced += 1
            self.cost_usd = MONEY.add(self.cost_usd, cost_usd)


NOTHING: Final = Sum()
"""The sums of a node that no call was booked into; never added to."""


class RunState:
    """A run in flight: what `/debug/runs`, the gauges and at its end the record need."""

    __slots__ = (
        "asked", "calls", "dropped_spans", "ended", "id", "part", "spans", "started_ns", "trace_hex", "trace_id", "workflow",
    )  # fmt: skip

    def __init__(self, run_id: str, workflow: str | None, trace_id: int, started_ns: int) -> None:
        self.id = run_id
        self.workflow = workflow
        self.trace_id = trace_id
        self.trace_hex = trace_hex(trace_id)
        self.started_ns = started_ns
        self.spans: list[tuple[SpanRecord, Reading | None]] = []
        self.calls: dict[int, Call] = {}
        self.dropped_spans = 0
        self.asked = Asked()
        self.part = False
        """A part of a run that another process has open: it has a record of its own, and is no run in the metrics."""
        self.ended = False


class Node:
    """The account of one open unit."""

    __slots__ = ("kind", "name", "own", "parent", "run", "subtree")

    def __init__(self, kind: str, name: str | None, parent: Node | None, run: RunState) -> None:
        self.kind = kind
        self.name = name
        self.parent = parent
        self.run = run
        # Most tools make no calls, and so never need sums of their own.
        self.own = self.subtree = NOTHING


class Ledger:
    """Opens nodes, books calls into them, closes them."""

    def __init__(self, *, keep_spans: bool = True) -> None:
        self.lock = threading.RLock()
        self.keep_spans = keep_spans
        self._runs: dict[str, tuple[RunState, Node]] = {}
        _alive.add(self)

    def open(self, kind: str, name: str | None, parent: Node | None, run: RunState | None) -> Node:
        """A node under `parent`; without a parent it begins `run`."""
        if parent is not None:
            return Node(kind, name, parent, parent.run)
        if run is None:
            message = "a node without a parent begins a run"
            raise ValueError(message)
        node = Node(kind, name, None, run)
        with self.lock:
            while len(self._runs) >= RUNS_MAX:
                self._runs.pop(next(iter(self._runs)))
            self._runs[run.id] = (run, node)
        return node

    def book(self, node: Node | None, call: Call) -> None:
        """Add one call to the nodes above it."""
        if node is None or call.cache_hit:
            return
        usage = call.usage
        amounts = usage.input_tokens, usage.output_tokens, None if call.cost is None else call.cost.amount_usd
        with self.lock:
            at: Node | None = node
            nearest: set[str] | None = set()
            while at is not None:
                if at.subtree is NOTHING:
                    at.own, at.subtree = Sum(), Sum()
                at.subtree.add(*amounts)
                # `self` is told by the nearest unit of each kind; beyond the nearest agent they are somebody else's.
                if nearest is not None and at.kind not in nearest:
                    at.own.add(*amounts)
                    nearest = None if at.kind == AGENT else {*nearest, at.kind}
                at = at.parent

    def keep(self, run: RunState, record: SpanRecord, reading: Reading | None, call: Call | None = None) -> None:
        """Keep a span, and the call that it was booked as, for the run's record."""
        if not self.keep_spans or run.ended:
            return
        with self.lock:
            if len(run.spans) < SPANS_MAX:
                run.spans.append((record, reading))
                if call is not None:
                    run.calls[record.span_id] = call
            else:
                run.dropped_spans += 1

    def end_run(self, run: RunState) -> None:
        """The run's outermost unit has ended."""
        with self.lock:
            run.ended = True
            self._runs.pop(run.id, None)

    def active(self) -> list[ActiveRun]:
        """Runs in flight, oldest first; a snapshot."""
        with self.lock:
            return [
                ActiveRun(
                    id=run.id,
                    workflow=run.workflow,
                    trace_id=run.trace_hex,
                    started_ns=run.started_ns,
                    calls=node.subtree.calls,
                    tokens=node.subtree.input_tokens + node.subtree.output_tokens,
                    cost_usd=node.subtree.cost_usd,
                )
                for run, node in self._runs.values()
            ]

    def forget(self) -> None:
        """In a forked child: the runs in flight are the parent's; the lock may be held by a thread that is gone."""
        self.lock = threading.RLock()
        self._runs = {}


_alive: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_alive):
        ledger.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def node_attributes(node: Node) -> Mapping[str, int | float]:
    """`costspan.self.*` and `costspan.subtree.*` of a closing node."""
    own, subtree = node.own, node.subtree
    if not subtree.calls:
        return _NO_CALLS
    return {
        c.SELF_CALLS: own.calls,
        c.SELF_INPUT_TOKENS: own.input_tokens,
        c.SELF_OUTPUT_TOKENS: own.output_tokens,
        c.SELF_COST_USD: float(own.cost_usd),
        c.SUBTREE_CALLS: subtree.calls,
        c.SUBTREE_INPUT_TOKENS: subtree.input_tokens,
        c.SUBTREE_OUTPUT_TOKENS: subtree.output_tokens,
        c.SUBTREE_COST_USD: float(subtree.cost_usd),
    }


_NO_CALLS: Final[Mapping[str, int | float]] = {
    c.SELF_CALLS: 0,
    c.SELF_INPUT_TOKENS: 0,
    c.SELF_OUTPUT_TOKENS: 0,
    c.SELF_COST_USD: 0.0,
    c.SUBTREE_CALLS: 0,
    c.SUBTREE_INPUT_TOKENS: 0,
    c.SUBTREE_OUTPUT_TOKENS: 0,
    c.SUBTREE_COST_USD: 0.0,
}
"""What most tools tell: they make no calls."""
