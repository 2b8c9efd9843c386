"""Settled runs and calls into the metrics: each once, however often late spans have its trace settled again.

What a process has metered itself (its spans say so) is in its own metrics, and is left out of these.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from costspan.account.meters import Exemplar
from costspan.history.run_queries import signed
from costspan.records import TOOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from costspan.account.meters import Meters
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call, Run, ToolTotals

    Pair = tuple[SpanRecord, Reading | None]

RUNS_REMEMBERED: Final = 20_000


def tool_spans(spans: Iterable[Pair]) -> dict[int, list[Pair]]:
    """The spans of tools, by trace."""
    found: dict[int, list[Pair]] = {}
    for record, reading in spans:
        if reading is not None and reading.kind == TOOL:
            found.setdefault(record.trace_id, []).append((record, reading))
    return found


class Metering:
    """`booked` below are the (signed) span ids of calls that were counted when their trace was settled before."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._runs: OrderedDict[str, None] = OrderedDict()

    def calls(self, calls: Iterable[Call], booked: set[int]) -> None:
        """Count calls and the spans that were folded into them."""
        for call in calls:
            told = (call.id, *(duplicate.span_id for duplicate in call.duplicates))
            if booked and any(signed(int(span_id, 16)) in booked for span_id in told):
                continue
            self._meters.call(call)
            for duplicate in call.duplicates:
                self._meters.duplicate(call.scope, duplicate.scope)

    def run(self, run: Run, executions: Mapping[int, Sequence[Pair]]) -> None:
        """Count a finished run and its tools, once. `executions`: tool spans by trace, from `tool_spans`."""
        if run.id in self._runs or any(call.metered for call in run.calls):
            return
        self._runs[run.id] = None
        if len(self._runs) > RUNS_REMEMBERED:
            self._runs.popitem(last=False)
        self._meters.run(run)
        if run.tools:
            self._tools(run, executions)

    def _tools(self, run: Run, executions: Mapping[int, Sequence[Pair]]) -> None:
        inside: dict[str, list[Pair]] = {}
        for trace_id in run.trace_ids:
            for record, reading in executions.get(int(trace_id, 16), ()):
                inside.setdefault((reading.name if reading is not None else None) or record.name, []).append((record, reading))
        for tool in run.tools:
            found = sorted(inside.get(tool.name, ()), key=lambda pair: pair[0].start_ns)
            # Two instrumentations of one framework both tell of an execution; the run knows how many there were.
            for record, reading in found[: tool.calls]:
                self._tool(tool, record, reading)
            self._parts(tool)

    def _tool(self, tool: ToolTotals, record: SpanRecord, reading: Reading | None) -> None:
        exemplar = Exemplar(f"{record.trace_id:032x}", f"{record.span_id:016x}", record.end_ns)
        self._meters.tool(
            tool.name,
            tool.agents[0] if len(tool.agents) == 1 else None,
            outcome="error" if record.error or reading is None else reading.outcome,
            duration_seconds=max(0, record.end_ns - record.start_ns) / 1e9 if record.end_ns else None,
            exemplar=exemplar,
        )

    def _parts(self, tool: ToolTotals) -> None:
        if tool.nested.calls:
            self._meters.tool_tokens(tool.name, "nested", tool.nested.usage.total_tokens, tool.nested.cost_usd)
        for part, tokens, cost in (
            ("call", tool.call_tokens, tool.call_cost_usd),
            ("result", tool.result_tokens, tool.result_cost_usd),
            ("carried", tool.carried_tokens, tool.carried_cost_usd),
        ):
            self._meters.tool_tokens(tool.name, part, tokens, cost)
