"""The sections of a run's agents: what each took, gave, cost and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import many, share, tokens
from costspan.report.marks import known_cost, known_tokens, marked_tokens
from costspan.report.page.naming import UNATTRIBUTED, plain
from costspan.report.page.rows import CallRow, StepRow, call_row, step_row
from costspan.report.page.shares import NOBODYS, Bar, bar, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.records import AgentTotals, Call, Run, Step, Totals
    from costspan.report.page.place import Place

CALLS_MAX: Final = 200
"""In a run of more calls an agent's section shows its dearest ones only: a page must stay light."""
DEAREST: Final = 10
STEPS_MAX: Final = 50


class Fact(NamedTuple):
    """A figure of an agent, with what it is."""

    name: str
    value: str


class Agent(NamedTuple):
    """One section. `bar` None: no known share of the run's cost. `calls_more`, `steps_more`: how many are not listed."""

    name: str
    colour: str
    given: str
    made: str
    cost: str
    bar: Bar | None
    share: str
    facts: Sequence[Fact]
    steps: Sequence[StepRow]
    steps_more: int
    calls: Sequence[CallRow]
    calls_more: int


def agents(run: Run, place: Place, colour: Mapping[str | None, str]) -> list[Agent]:
    """A section for each agent, and one for the calls of nobody where there are some."""
    steps: dict[str | None, list[Step]] = {}
    for step in run.steps:
        steps.setdefault(step.agent, []).append(step)
    calls: dict[str | None, list[tuple[int, Call]]] = {}
    for index, call in enumerate(run.calls):
        calls.setdefault(call.owner.agent, []).append((index, call))
    found = []
    for agent in run.agents:
        own = (agent.self_totals, _facts(agent), steps.get(agent.name, []), calls.get(agent.name, []))
        found.append(_agent(plain(agent.name), own, run, place, colour))
    if run.unattributed.calls:
        own = (run.unattributed, [Fact("owner", "no agent owns these calls")], [], calls.get(None, []))
        found.append(_agent(UNATTRIBUTED, own, run, place, {None: NOBODYS}))
    return found


def _agent(
    name: str,
    own: tuple[Totals, list[Fact], list[Step], list[tuple[int, Call]]],
    run: Run,
    place: Place,
    colour: Mapping[str | None, str],
) -> Agent:
    totals, facts, steps, calls = own
    shade = colour.get(calls[0][1].owner.agent if calls else steps[0].agent if steps else None, NOBODYS)
    of = part_of(totals.cost_usd, run.totals.cost_usd)
    shown = calls
    if len(run.calls) > CALLS_MAX:
        shown = sorted(calls, key=lambda item: -(item[1].cost.amount_usd if item[1].cost else 0))[:DEAREST]
    return Agent(
        name,
        shade,
        marked_tokens(totals.usage.input_tokens, totals),
        marked_tokens(totals.usage.output_tokens, totals),
        known_cost(totals),
        bar(0, of, shade) if of else None,
        share(of) if of is not None else "",
        facts,
        [step_row(step, colour) for step in steps[:STEPS_MAX]],
        max(0, len(steps) - STEPS_MAX),
        [call_row(index, call, place, colour) for index, call in shown],
        len(calls) - len(shown),
    )


def _facts(agent: AgentTotals) -> list[Fact]:
    own, subtree, usage = agent.self_totals, agent.subtree, agent.self_totals.usage
    facts = [Fact("its own", f"{many(own.calls, 'call')}, {known_tokens(own)} tokens, {known_cost(own)}")]
    if subtree.calls > own.calls:
        spent = f"{many(subtree.calls, 'call')}, {known_tokens(subtree)} tokens, {known_cost(subtree)}"
        facts.append(Fact("with the agents it called", spent))
    counts = (
        ("read from cache", usage.cache_read_tokens),
        ("written to cache", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    )
    facts += [Fact(words, f"{tokens(count)} tokens") for words, count in counts if count]
    if agent.models:
        facts.append(Fact("models", ", ".join(plain(model) for model in agent.models)))
    return facts
