"""One run in the making: its calls, agents, tools, steps and models, summed as they come."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from costspan.account import toolbill
from costspan.account.efficiency import efficiency
from costspan.account.owner import plain
from costspan.account.totals import Tally, total
from costspan.account.waste import waste
from costspan.conventions import RUN_ID
from costspan.records import AGENT, RUN, AgentTotals, ModelTotals, Run, Step, ToolTotals, span_hex, trace_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costspan.account.owner import Line, Unit
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call, Totals


class _AgentSum:
    """`own` are its calls, `below` those of the agents that it invoked, directly or not."""

    __slots__ = ("below", "is_agent", "models", "own")

    def __init__(self) -> None:
        self.own = Tally()
        self.below = Tally()
        self.models: set[str] = set()
        self.is_agent = False

    def freeze(self, name: str, steps: int) -> AgentTotals:
        own = self.own.freeze()
        subtree = own
        if not self.below.empty:
            self.below.merge(self.own)
            subtree = self.below.freeze()
        return AgentTotals(name, own, subtree, steps, tuple(sorted(self.models)))


class _ToolSum:
    __slots__ = ("agents", "calls", "duration_ns", "errors", "nested")

    def __init__(self) -> None:
        self.nested = Tally()
        self.calls = 0
        self.errors = 0
        self.duration_ns = 0
        self.agents: set[Unit] = set()


class RunSum:
    """Collects what happened inside one outermost unit, and freezes it into a `Run`."""

    def __init__(self, unit: Unit, record: SpanRecord, reading: Reading) -> None:
        self._unit = unit
        self._record = record
        self._reading = reading
        self._last_ns = max(record.end_ns, record.start_ns)
        self._traces = {record.trace_id: None}
        self._tally: Tally | None = None
        self._unattributed = Tally()
        self._agents: dict[str, _AgentSum] = {}
        self._tools: dict[str, _ToolSum] = {}
        self._tool_names: dict[str, str] = {}
        self._models: dict[tuple[str | None, str | None], list[Call]] = {}
        self._lines: list[Line] = []
        self._calls: list[Call] = []
        self._open_spans = 0

    # --- what happened -----------------------------------------------------------------------------
    def span(self, record: SpanRecord) -> None:
        """A span of this run, of whatever kind."""
        if record.end_ns > self._last_ns:
            self._last_ns = record.end_ns
        elif not record.end_ns:
            self._open_spans += 1

    def unit(self, unit: Unit, record: SpanRecord) -> None:
        """An agent, step, tool or run was executed. Parents come before their children."""
        self._traces[record.trace_id] = None
        line = unit.line
        if line is not None and (unit.parent is None or line is not unit.parent.line):
            self._lines.append(line)
        if unit.kind == AGENT and unit.name is not None:
            self._agent(unit.name).is_agent = True

    def tool(self, record: SpanRecord, reading: Reading, unit: Unit) -> None:
        """A tool was executed."""
        name = unit.name or ""
        tool = self._tools.get(name)
        if tool is None:
            tool = self._tools[name] = _ToolSum()
        tool.calls += 1
        tool.errors += reading.outcome == "error" or record.error
        tool.duration_ns += max(0, record.end_ns - record.start_ns)
        if unit.agent is not None:
            tool.agents.add(unit.agent)
        if reading.tool_call_id is not None:
            self._tool_names[reading.tool_call_id] = name
        if unit.line is not None:
            unit.line.busy = True

    def call(self, call: Call, unit: Unit, traces: tuple[int, ...]) -> None:
        """A model call of this run, made in `unit`, once; spans in `traces` told of it."""
        self._calls.append(call)
        for trace in traces:
            self._traces[trace] = None
        self._attribute(call, unit)
        self._line(call, unit)
        self._nested(call, unit)
        if not call.cache_hit:
            self._models.setdefault((call.provider, call.model), []).append(call)

    def _attribute(self, call: Call, unit: Unit) -> None:
        name = call.owner.agent
        if name is None:
            self._unattributed.add(call)
            return
        agent = self._agent(name)
        agent.own.add(call)
        if call.model is not None and not call.cache_hit:
            agent.models.add(call.model)
        counted = {name}
        at = unit.agent
        while at is not None:
            if at.name is not None and at.name not in counted:
                counted.add(at.name)
                self._agent(at.name).below.add(call)
            at = None if at.parent is None else at.parent.agent

    def _line(self, call: Call, unit: Unit) -> None:
        line = unit.line
        if line is None:
            return
        if line.virtual:
            if not line.calls:
                self._lines.append(line)
            line.started_ns = min(line.started_ns, call.started_ns)
            line.ended_ns = max(line.ended_ns, call.ended_ns)
            line.outcome = call.outcome
        line.busy = True
        line.calls.append(call)

    def _nested(self, call: Call, unit: Unit) -> None:
        """Exact: a call is inside every tool around it, each tool name counted once."""
        counted = set()
        at = unit
        while True:
            tool = at.tool
            if tool is not None and tool.name not in counted and tool.name in self._tools:
                counted.add(tool.name)
                self._tools[tool.name].nested.add(call)
            if tool is not None:
                at = tool
            elif at.agent is not None:
                at = at.agent
            if at.parent is None:
                return
            at = at.parent

    def _agent(self, name: str) -> _AgentSum:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = _AgentSum()
        return agent

    # --- the record ---------------------------------------------------------------------------------
    def worth_showing(self, *, folded_away: bool) -> bool:
        """A second layer's tree, whose calls were all folded into others, is no run; nor is a lone span that made no call."""
        if self._calls:
            return True
        return self._unit.kind == RUN and not folded_away

    def tally(self) -> Tally:
        """The run's sum: its agents' own calls and what belongs to nobody. To be asked for when all calls are there."""
        if self._tally is None:
            parts = [agent.own for agent in self._agents.values() if not agent.own.empty]
            if not self._unattributed.empty:
                parts.append(self._unattributed)
            self._tally = parts[0] if len(parts) == 1 else _sum_of(parts)
        return self._tally

    def freeze(self) -> Run:
        """The run's record."""
        totals = self.tally().freeze()
        self._calls.sort(key=lambda call: (call.started_ns, call.id))
        lines = self._shown_lines()
        agents = self._frozen_agents(lines)
        steps = self._frozen_steps(lines, {agent.name: agent.self_totals for agent in agents})
        record, reading = self._record, self._reading
        return Run(
            id=str(record.attributes.get(RUN_ID) or f"{trace_hex(record.trace_id)}-{span_hex(record.span_id)}"),
            workflow=self._unit.workflow,
            started_ns=record.start_ns,
            ended_ns=max(record.end_ns, record.start_ns) if record.end_ns else self._last_ns,
            outcome="error" if record.error and reading.outcome == "ok" else reading.outcome,
            trace_ids=tuple(map(trace_hex, self._traces)),
            totals=totals,
            agents=agents,
            tools=self._frozen_tools(),
            steps=steps,
            models=self._frozen_models(totals),
            calls=tuple(self._calls),
            unattributed=self._unattributed.freeze(),
            waste=waste(self._calls),
            efficiency=efficiency(totals, agents, self._calls, len(steps)),
            notes=self._notes(),
        )

    def _shown_lines(self) -> list[Line]:
        lines = sorted(self._lines, key=lambda line: line.started_ns)
        if all(line.busy for line in lines):
            return lines
        busy = _Busy(lines)
        return [line for line in lines if line.busy or not (line.wraps or busy.meets(line))]

    def _frozen_agents(self, lines: list[Line]) -> tuple[AgentTotals, ...]:
        steps = Counter(line.agent for line in lines)
        return tuple(
            agent.freeze(name, steps[name])
            for name, agent in self._agents.items()
            if not agent.own.empty or (agent.is_agent and not agent.below.empty)
        )

    def _frozen_models(self, totals: Totals) -> tuple[ModelTotals, ...]:
        return tuple(
            ModelTotals(*key, totals if len(calls) == len(self._calls) else total(calls), calls[0].context_window_tokens)
            for key, calls in self._models.items()
        )

    def _frozen_tools(self) -> tuple[ToolTotals, ...]:
        bills = toolbill.results(self._calls, self._tool_names) if self._tool_names else {}
        nothing = toolbill.Bill()
        return tuple(
            ToolTotals(
                name=name,
                calls=tool.calls,
                errors=tool.errors,
                duration_seconds=tool.duration_ns / 1e9,
                agents=tuple(sorted({unit.name for unit in tool.agents if unit.name is not None})),
                nested=tool.nested.freeze(),
                result_tokens=bills.get(name, nothing).tokens,
                result_cost_usd=bills.get(name, nothing).cost_usd,
            )
            for name, tool in self._tools.items()
        )

    @staticmethod
    def _frozen_steps(lines: list[Line], agents: Mapping[str, Totals]) -> tuple[Step, ...]:
        return tuple(
            Step(
                index=index,
                agent=line.agent,
                name=line.name,
                started_ns=line.started_ns,
                ended_ns=line.ended_ns,
                totals=_line_totals(line, agents),
                outcome=line.outcome,
            )
            for index, line in enumerate(lines)
        )

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._open_spans:
            notes.append(f"{self._open_spans} of its spans never ended")
        elif 0 < self._record.end_ns < self._record.start_ns:
            notes.append("it ended before it began: the clock jumped, its duration is unknown")
        return tuple(notes)


def _sum_of(parts: list[Tally]) -> Tally:
    whole = Tally()
    for part in parts:
        whole.merge(part)
    return whole


def _line_totals(line: Line, agents: Mapping[str, Totals]) -> Totals:
    """The line's sum; its agent's own where the line is all that the agent did."""
    own = agents.get(line.agent) if line.agent is not None else None
    if own is not None and own.calls + own.cache_hits == len(line.calls):
        return own
    return total(line.calls)


class _Busy:
    """When each agent was at work: tells an empty execution beside a busy one of the same agent (a second layer's span)."""

    def __init__(self, lines: list[Line]) -> None:
        self._spans: dict[str, tuple[list[int], list[int]]] = {}
        for line in lines:
            if line.busy:
                starts, ends = self._spans.setdefault(plain(line.agent or ""), ([], []))
                starts.append(line.started_ns)
                ends.append(max(line.ended_ns, ends[-1] if ends else 0))

    def meets(self, line: Line) -> bool:
        starts, ends = self._spans.get(plain(line.agent or ""), ([], []))
        before = bisect_right(starts, line.ended_ns)
        return before > 0 and ends[before - 1] >= line.started_ns
