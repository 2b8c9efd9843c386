"""Who owns what: the nearest enclosing agent, the nearest tool inside it, the step, the workflow.

A `Unit` is one execution of a run, agent, step or tool. Spans that say nothing (and model calls) stand in their parent's unit.
The order of evidence for a call's agent:

1. the agent that the emitter names on the call itself, when the nearest agent span is of the same emitter (it knows both),
   or when there is no agent span around the call;
2. the nearest enclosing agent span (an agent called as a tool owns its own calls);
3. the nearest enclosing step: a plain function node that makes calls is its own agent. costspan's own hooks say so on the
   step where it is one; a step that a person named freely is none, in records no more than in metrics.

A call that none of these reaches is unattributed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from costspan.conventions import SCOPE
from costspan.records import AGENT, CALL, NOBODY, RUN, STEP, TOOL, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costspan.account.tree import Tree
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call


class Line:
    """One execution in the step log: of an agent, a task or a graph node."""

    __slots__ = ("agent", "busy", "calls", "ended_ns", "name", "outcome", "started_ns", "virtual", "wraps")

    def __init__(self, agent: str | None, name: str, record: SpanRecord, outcome: str) -> None:
        self.agent = agent
        self.name = name
        self.started_ns = record.start_ns
        self.ended_ns = max(record.end_ns, record.start_ns)
        self.outcome = outcome
        self.calls: list[Call] = []
        self.busy = False
        self.virtual = False
        self.wraps = False
        """A node around an agent or a sub-graph: where it makes no call of its own, the lines inside say everything."""


class Unit:
    """One execution. `agent`, `tool` and `line` are the nearest ones, this unit included; `run` is the outermost unit."""

    __slots__ = ("agent", "agents", "kind", "line", "name", "parent", "place", "run", "scope", "tool", "workflow")

    def __init__(self, kind: str, name: str | None, parent: Unit | None, place: int, scope: str) -> None:
        self.kind = kind
        self.name = name
        self.parent = parent
        self.place = place
        self.scope = scope
        self.run: Unit = self if parent is None else parent.run
        self.agent: Unit | None = None if parent is None else parent.agent
        self.tool: Unit | None = None if parent is None else parent.tool
        self.line: Line | None = None if parent is None else parent.line
        self.workflow: str | None = None if parent is None else parent.workflow
        self.agents: dict[str, Unit] = {}

    def owner(self) -> Owner:
        """The owner of a call made directly in this unit."""
        agent, tool, line = self.agent, self.tool, self.line
        return Owner(
            self.workflow,
            None if agent is None else agent.name,
            None if line is None else line.name,
            None if tool is None else tool.name,
        )


def units(tree: Tree) -> list[Unit | None]:
    """For every span the unit that it stands in, or opens; None for what is inside no unit, and for repeated deliveries."""
    found: list[Unit | None] = [None] * len(tree.spans)
    parents, spans = tree.parent, tree.spans
    for place in tree.order:
        above = parents[place]
        around = found[above] if above >= 0 else None
        record, reading = spans[place]
        if reading is None or reading.kind == CALL:
            found[place] = around
        else:
            found[place] = enter(around, record, reading, place)
    return found


def dissolve(found: Iterable[Unit | None]) -> None:
    """Units that nobody needs any more: they name themselves, rings that only the collector would find, and late."""
    for outer in set(found):
        if outer is None:
            continue
        for unit in (outer, *outer.agents.values()):
            del unit.run
            unit.agent = unit.tool = unit.parent = None
        outer.agents = {}


def enter(around: Unit | None, record: SpanRecord, reading: Reading, place: int) -> Unit | None:
    """The unit that a span of an agent, step, tool or run opens inside `around`, or `around` when it only repeats it."""
    if around is not None and _repeats(around, record, reading):
        return around
    unit = Unit(reading.kind, reading.name or record.name, around, place, record.scope)
    if reading.kind == RUN or around is None:
        unit.workflow = unit.workflow or reading.workflow or _workflow_name(unit)
    if reading.kind == TOOL:
        unit.tool = unit
    elif reading.kind == AGENT:
        _enter_agent(unit, around, record, reading)
    elif reading.kind == STEP:
        _enter_step(unit, around, record, reading)
    return unit


def _workflow_name(unit: Unit) -> str | None:
    return unit.name if unit.kind in {RUN, AGENT} else None


def _enter_agent(unit: Unit, around: Unit | None, record: SpanRecord, reading: Reading) -> None:
    unit.agent = unit
    unit.tool = None
    if around is not None and around.kind == STEP and around.line is not None and alike(around.name, unit.name):
        # A node that only holds an agent of its own name is one line of the log.
        around.line.agent = unit.name
        return
    if around is not None and around.kind == STEP and around.line is not None:
        around.line.wraps = True
    unit.line = Line(unit.name, reading.step or unit.name or "", record, reading.outcome)


def _enter_step(unit: Unit, around: Unit | None, record: SpanRecord, reading: Reading) -> None:
    agent = around.agent if around is not None else None
    acts_as = reading.agent or (unit.name if record.scope != SCOPE else None)
    named: str | None = None if agent is None else agent.name
    if acts_as is not None and (agent is None or agent.kind == STEP):
        unit.agent, named = unit, acts_as
    unit.line = Line(named, unit.name or "", record, reading.outcome)
    if around is not None and around.kind == STEP and around.line is not None and _is_below(unit.line.name, around.line.name):
        around.line.wraps = True
    if unit.agent is unit:
        unit.name = acts_as


def _repeats(around: Unit, record: SpanRecord, reading: Reading) -> bool:
    """A span that adds no unit: the plumbing of somebody's agent, or a second layer's span of the same execution."""
    same_name = alike(around.name, reading.name or record.name)
    if reading.kind == STEP:
        agent = around.agent
        inside_agent = agent is not None and agent.kind == AGENT and around.tool is None
        return (same_name and around.kind in {STEP, AGENT}) or (inside_agent and record.scope != SCOPE)
    if reading.kind == TOOL:
        return same_name and around.kind == TOOL and around.scope != record.scope
    return same_name and around.kind == reading.kind


def _is_below(path: str, node: str) -> bool:
    """Whether a path of nodes (`team/writer`) begins with this one."""
    return path.startswith(f"{node}/")


def _ends_with(around: Unit, agent: str) -> bool:
    """Whether a node of a sub-graph, whose name is its path (`team/writer`), is this agent."""
    return around.kind == STEP and around.name is not None and alike(around.name.rpartition("/")[2], agent)


def alike(one: str | None, other: str | None) -> bool:
    """Whether two names differ at most in case and in how words are joined."""
    return one == other or (one is not None and other is not None and plain(one) == plain(other))


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A name without its case and without what joins its words."""
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


def hinted(unit: Unit | None, record: SpanRecord, reading: Reading) -> Unit | None:
    """The unit that owns a call: the one it stands in, or a virtual one for the agent that the emitter names on the call."""
    if unit is None or reading.agent is None or reading.kind != CALL:
        return unit
    around = unit.agent
    if around is not None and (alike(around.name, reading.agent) or _ends_with(around, reading.agent)):
        if around.kind == STEP:
            # The call spells the agent's name as its author did, the node need not.
            around.name = reading.agent
            if around.line is not None:
                around.line.agent = reading.agent
        return unit
    if around is not None and around.scope != record.scope:
        return unit
    virtual = unit.agents.get(reading.agent)
    if virtual is None:
        virtual = unit.agents[reading.agent] = Unit(AGENT, reading.agent, unit, -1, record.scope)
        virtual.agent = virtual
        virtual.line = Line(reading.agent, reading.step or reading.agent, record, "ok")
        virtual.line.virtual = True
    return virtual


def lone_owner(reading: Reading) -> Owner:
    """The owner of a call outside any unit: what its emitter says."""
    if reading.agent is None and reading.workflow is None and reading.step is None and reading.tool is None:
        return NOBODY
    return Owner(reading.workflow, reading.agent, reading.step, reading.tool)
