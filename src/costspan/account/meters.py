"""The numbers behind `/metrics` and OTLP metrics: one bounded, locked state, booked once per call.

Plain Python, so that a booking costs a few dictionary operations and an exporter is only needed when somebody reads.
`expose/prometheus.py` and `expose/otlp.py` render the same `Meters`; they can therefore not disagree.

A call is booked into a `_Row`: the series that calls of the same labels share, found by one dictionary look-up.
Dollars are kept as `Decimal`, exact, and become floating point only when they are rendered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan import conventions as names
from costspan.account.meter_rows import Row, RowKey, RunRow, ToolRow
from costspan.account.meter_state import MeterState
from costspan.normalise.partition import partition
from costspan.records import ESTIMATED, MISSING, REPORTED, Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from costspan.account.series import Number, Origin
    from costspan.records import Call, Run

ROWS_MAX: Final = 2048
"""Rows are only a short cut to series; when there are this many, all are forgotten and found again."""


class Exemplar(NamedTuple):
    """Where a value came from: hex trace id, hex span id, time in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    at_ns: int


class Ended(NamedTuple):
    """A finished run, as its metrics want it. What is None is not known and not observed (it is not 0)."""

    workflow: str | None
    outcome: str
    duration_seconds: float
    calls: int
    tokens: int | None
    cost_usd: Decimal | None
    trace_id: str
    ended_ns: int


class Meters(MeterState):
    """Every metric of `conventions.LABELS`, with bounded labels.

    `version` is the label of `costspan_build_info`. `active_runs` is asked at every reading and returns the runs in
    flight; `price_table_timestamp` returns seconds since the epoch, or None while no price table is loaded.
    `clock` gives nanoseconds since the epoch; it stamps the birth of each series (its created timestamp).

    Safe for any number of threads. A forked child starts with empty meters: what its parent counted, its parent exposes.
    """

    def _begin(self) -> None:
        super()._begin()
        self._rows: dict[tuple[str | None, ...], Row] = {}
        self._tools: dict[tuple[str | None, str | None, str], ToolRow] = {}
        self._runs: dict[tuple[str | None, str], RunRow] = {}
        self._known: set[tuple[str | None, ...]] = set()
        self._workflows: set[str | None] = {None}
        self._unattributed = self._families[names.UNATTRIBUTED_TOKENS].single(())

    def call(self, call: Call) -> None:
        """Book one model call. Nothing for a call that another process already metered, or that a cache answered."""
        if call.metered or call.cache_hit:
            return
        try:
            parts = partition(call.usage)
        except ValueError:
            call = replace(call, usage=without_parts(call.usage))
            parts = partition(call.usage)
        usage, owner, cost = call.usage, call.owner, call.cost
        # An estimate never shares a series with what was measured, in dollars no more than in tokens.
        priced = None if cost is None else ESTIMATED if usage.source == ESTIMATED else cost.source
        key = (call.provider, call.model, owner.agent, owner.workflow, usage.source, priced, call.outcome)
        origin = (call.trace_id, call.id, call.ended_ns or self._clock()) if call.trace_id else None
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                row = self._row(RowKey(*key))
            row.book(parts, cost, origin)
            row.measure(call, origin)
            if owner.agent is None and parts:
                self._add(self._unattributed, usage.total_tokens or 0, origin)
            if call.waste is not None or call.unpriced is not None or usage.source == MISSING:
                self._exceptions(call, origin)
            if self.mirror is not None:
                self.mirror(row.series())
        if self.mirror is not None:
            self.refresh_gauges()
        if self.on_first:
            self._notify_first()

    def _row(self, key: RowKey) -> Row:
        if len(self._rows) >= ROWS_MAX:
            self._rows.clear()
        row = self._rows[key] = Row(key, self._families)
        return row

    def _exceptions(self, call: Call, origin: Origin | None) -> None:
        """What only some calls have: no price, no usage, or waste."""
        if call.unpriced is not None and call.cost is None and call.usage.source != MISSING:
            self._count(names.UNPRICED_CALLS, (call.provider, call.model, call.unpriced.reason), 1, origin)
        if call.usage.source == MISSING and not call.refused:
            self._count(names.UNREPORTED_CALLS, (call.provider, call.model, unreported_reason(call)), 1, origin)
        if call.waste is not None and call.usage.source != ESTIMATED:
            labels = (call.owner.agent, call.waste)
            self._count(names.WASTED_TOKENS, labels, call.usage.total_tokens or 0, origin)
            if call.cost is not None:
                self._count(names.WASTED_COST_USD, labels, call.cost.amount_usd, origin)

    def tool(
        self,
        tool: str | None,
        agent: str | None = None,
        *,
        outcome: str = "ok",
        duration_seconds: float | None = None,
        exemplar: Origin | None = None,
    ) -> None:
        """Book one tool call of an agent; `duration_seconds` None is not observed."""
        key = (agent, tool, outcome)
        with self._lock:
            row = self._tools.get(key)
            if row is None:
                row = self._tool_row(key)
            row.book(duration_seconds, exemplar)
            if self.mirror is not None:
                self.mirror(row.series())

    def _tool_row(self, key: tuple[str | None, str | None, str]) -> ToolRow:
        if len(self._tools) >= ROWS_MAX:
            self._tools.clear()
        row = self._tools[key] = ToolRow(key, self._families)
        return row

    def tool_tokens(
        self,
        tool: str | None,
        part: str,
        tokens: int | None,
        cost_usd: Decimal | None = None,
        exemplar: Origin | None = None,
    ) -> None:
        """Book a part of the tool bill, one of `conventions.TOOL_PARTS`; None is not known and not booked."""
        with self._lock:
            if tokens is not None:
                self._count(names.TOOL_TOKENS, (tool, part), tokens, exemplar)
            if cost_usd is not None:
                self._count(names.TOOL_COST_USD, (tool, part), cost_usd, exemplar)

    def run(self, run: Run) -> None:
        """Book one finished run from its record."""
        total = run.totals
        trace_id = run.trace_ids[0] if run.trace_ids else ""
        told = run.workflow, run.outcome, run.duration_seconds, total.calls, total.usage.total_tokens, total.cost_usd
        self.run_ended(Ended(*told, trace_id, run.ended_ns))

    def run_ended(self, run: Ended) -> None:
        """Book one finished run."""
        origin = (run.trace_id, "", run.ended_ns or self._clock()) if run.trace_id else None
        key = (run.workflow, run.outcome)
        with self._lock:
            row = self._runs.get(key)
            if row is None:
                row = self._run_row(key)
            row.book(run, origin)
            if self.mirror is not None:
                self.mirror(row.series())
        if self.mirror is not None:
            self.refresh_gauges()

    def _run_row(self, key: tuple[str | None, str]) -> RunRow:
        if len(self._runs) >= ROWS_MAX:
            self._runs.clear()
        row = self._runs[key] = RunRow(key, self._families)
        return row

    def duplicate(self, kept_scope: str, dropped_scope: str) -> None:
        """Book one span that de-duplication folded into another; scopes are given as instrumentations write them."""
        with self._lock:
            self._count(names.DUPLICATE_SPANS, (scope_family(kept_scope), scope_family(dropped_scope)), 1, None)

    def add(self, metric: str, labels: tuple[str | None, ...], amount: int | Decimal, exemplar: Origin | None = None) -> None:
        """Add to any counter of `conventions` by name (budgets use it); labels in the order of `conventions.LABELS`."""
        with self._lock:
            self._count(metric, labels, amount, exemplar)

    def set(self, metric: str, labels: tuple[str | None, ...], value: Number) -> None:
        """Set any gauge of `conventions` by name (budgets use it)."""
        with self._lock:
            single = self._families[metric].single(labels)
            single.value = value
            if self.mirror is not None:
                self.mirror((single,))

    def known(
        self,
        *,
        workflow: str | None = None,
        agent: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        tool: str | None = None,
    ) -> None:
        """Create the series that these names will need, at 0, before anything is booked.

        A counter that first appears at 5 loses 5 for `increase()`; so call this as soon as a run, an agent's model or
        a tool is known. Repeating it is cheap. Nothing is created for a name that is not given.
        """
        given = (workflow, agent, provider, model, tool)
        if given in self._known:
            return
        with self._lock:
            if len(self._known) >= ROWS_MAX:
                self._known.clear()
            self._known.add(given)
            family = self._families
            if workflow is not None:
                family[names.WORKFLOW_COST_USD].get((workflow,))
                self._run_row((workflow, "ok"))
            if model is not None:
                self._known_call(RowKey(provider, model, agent, workflow, REPORTED, "table", "ok"))
            if tool is not None:
                self._tool_row((agent, tool, "ok"))

    def known_tool(self, agent: str | None, tool: str | None) -> None:
        """`known` of a tool: the short way, taken whenever one begins."""
        if (agent, tool, "ok") not in self._tools:
            self.known(agent=agent, tool=tool)

    def known_workflow(self, workflow: str | None) -> None:
        """`known` of a workflow: the short way, taken whenever a run or an agent begins."""
        if workflow not in self._workflows:
            self.known(workflow=workflow)
            with self._lock:
                if len(self._workflows) >= ROWS_MAX:
                    self._workflows = {None}
                self._workflows.add(workflow)

    def _known_call(self, key: RowKey) -> None:
        row = self._rows.get(key)
        if row is None:
            self._row(key).create()

    def _notify_first(self) -> None:
        waiting, self.on_first = self.on_first, ()
        for notify in waiting:
            notify()


def without_parts(usage: Usage) -> Usage:
    """The totals alone of a usage that contradicts itself, so that their sum still holds; what is no count is unknown."""
    taken, given = (count if type(count) is int and count >= 0 else None for count in (usage.input_tokens, usage.output_tokens))
    return Usage(input_tokens=taken, output_tokens=given, source=usage.source)


def unreported_reason(call: Call) -> str:
    """Why nobody told a call's usage, one of `conventions.UNREPORTED_REASONS`."""
    if call.missing_reason in names.UNREPORTED_REASONS:
        return call.missing_reason
    return {"error": "error", "cancelled": "aborted"}.get(call.outcome, "unknown")


def scope_family(scope: str) -> str:
    """The instrumentation family of a scope name, for the labels of the duplicates' counter.

    The first part of a dotted name (`openinference.instrumentation.openai` -> `openinference`), three parts of those
    in OpenTelemetry's own name space, which many authors share (`opentelemetry.instrumentation.genai`).
    """
    parts = scope.split(".")
    return ".".join(parts[:3] if parts[0] == "opentelemetry" else parts[:1])
