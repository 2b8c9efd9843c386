"""The detail of one run as plain data: the same sections in the one-file report and on the server's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.records import ZERO
from costspan.report import evidence
from costspan.report.figures import dollars, lasted, many, moment, percent, ratio, tokens
from costspan.report.marks import is_partly_priced, known_cost, known_tokens, marked_tokens, of_agents, rough, tilde
from costspan.report.page.agent_view import Agent, agents
from costspan.report.page.curve import Curve, curve
from costspan.report.page.naming import UNATTRIBUTED, maybe, plain, state
from costspan.report.page.place import window
from costspan.report.page.rows import CallRow, ModelRow, StepRow, ToolRow, call_row, model_row, step_row, tool_row
from costspan.report.page.shares import COLOURS, NOBODYS, Breakdown, Part, breakdown, by_type, colours
from costspan.report.page.timeline import Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.records import Run, Totals
    from costspan.report.page.place import Pager, Place

SECTIONS: Final = (
    ("agents", "Agents"),
    ("cost", "Where the cost went"),
    ("timeline", "Timeline"),
    ("context", "Context window"),
    ("tools", "Tools"),
    ("steps", "Step log"),
    ("calls", "Calls"),
    ("models", "Models"),
)
_LEGEND_MAX: Final = 16


class Tile(NamedTuple):
    """A figure that matters, what it is, and a note on it."""

    name: str
    value: str
    note: str = ""


class Advice(NamedTuple):
    """What is wrong, and the line that mends it ("" without)."""

    text: str
    mend: str = ""


class Head(NamedTuple):
    """Name, outcome, the figures that matter, and how far they can be trusted."""

    title: str
    outcome: str
    state: str
    started: str
    id: str
    tiles: Sequence[Tile]
    verdict: str
    sound: bool
    advice: Sequence[Advice]
    notes: Sequence[str]


class RunView(NamedTuple):
    """Everything the templates lay out. `legend` is (name, colour) of the agents."""

    prefix: str
    sections: Sequence[tuple[str, str]]
    head: Head
    legend: Sequence[tuple[str, str]]
    agents: Sequence[Agent]
    spend: Sequence[Breakdown]
    timeline: Timeline | None
    curve: Curve | None
    tools: Sequence[ToolRow]
    steps: Sequence[StepRow]
    steps_pager: Pager | None
    calls: Sequence[CallRow]
    calls_pager: Pager | None
    models: Sequence[ModelRow]


def run_view(run: Run, place: Place, *, running: bool = False) -> RunView:
    """All sections of a run. The calls' details themselves are `call_view`."""
    colour = colours(agent.name for agent in run.agents)
    steps, steps_pager = window(run.steps, "steps", place)
    calls, calls_pager = window(list(enumerate(run.calls)), "calls", place)
    legend = [(plain(agent.name), colour[agent.name]) for agent in run.agents[:_LEGEND_MAX]]
    if run.unattributed.calls:
        legend.append((UNATTRIBUTED, NOBODYS))
    return RunView(
        place.prefix,
        SECTIONS,
        head(run, running=running),
        legend,
        agents(run, place, colour),
        _spend(run, colour),
        timeline(run, place, colour),
        curve(run, colour),
        [tool_row(tool, run.totals) for tool in run.tools],
        [step_row(step, colour) for step in steps],
        steps_pager,
        [call_row(index, call, place, colour) for index, call in calls],
        calls_pager,
        [model_row(model) for model in run.models],
    )


def head(run: Run, *, running: bool = False) -> Head:
    """The top of a run's page."""
    totals, of = run.totals, run.efficiency
    cached = None if of.cache_hit_ratio is None else of.cache_hit_ratio * 100
    troubles = [many(totals.errors, "error")] if totals.errors else []
    troubles += [many(totals.cache_hits, "cached answer")] if totals.cache_hits else []
    given, made = (marked_tokens(count, totals) for count in (totals.usage.input_tokens, totals.usage.output_tokens))
    outcome = "running" if running else run.outcome
    average = of_agents(tokens(of.average_tokens_per_agent), run.agents, totals)
    gaps, guess = evidence.gaps(run, ascii_only=False), tilde(totals.coverage)
    lines = [*gaps, *evidence.waste(run, ascii_only=False), *filter(None, (evidence.unattributed(run),))]
    return Head(
        plain(run.workflow or "run"),
        plain(outcome),
        state(outcome),
        moment(run.started_ns),
        plain(run.id),
        (
            Tile(
                "cost",
                known_cost(totals),
                f"{guess}{dollars(of.cost_per_step_usd)} per step" if of.cost_per_step_usd is not None else "",
            ),
            Tile("tokens", known_tokens(totals), f"{given} in, {made} out"),
            Tile("model calls", tokens(totals.calls), ", ".join(troubles) or "no errors"),
            Tile(
                "duration",
                "running" if running and not run.ended_ns else lasted(run.started_ns, run.ended_ns),
                f"{rough(tokens(of.output_tokens_per_second, 1), guess)} output tokens/s",
            ),
            Tile("context peak", percent(of.context_window_peak_percent), "of the model's window"),
            Tile("cache hits", percent(cached, 1), "of input tokens"),
            Tile(
                "input / output",
                ratio(of.input_output_ratio),
                f"{average} tokens per agent",
            ),
        ),
        plain(evidence.headline(run)),
        not gaps,
        [Advice(plain(what), plain(mend) if mend else "") for what, _, mend in (line.partition(evidence.MEND) for line in lines)],
        [plain(note) for note in run.notes],
    )


def _part(name: str, totals: Totals, colour: str) -> Part:
    # An agent that made no call, or was refused each time, is known to have cost nothing.
    amount = ZERO if known_cost(totals) == "$0" else totals.cost_usd
    return Part(name, amount, colour, guess=tilde(totals.coverage), partly=is_partly_priced(totals))


def _spend(run: Run, colour: Mapping[str | None, str]) -> list[Breakdown]:
    if run.totals.cost_usd is None:
        return []
    owners = [_part(plain(agent.name), agent.self_totals, colour[agent.name]) for agent in run.agents]
    if run.unattributed.calls:
        owners.append(_part(UNATTRIBUTED, run.unattributed, NOBODYS))
    models = [_part(maybe(model.model), model.totals, f"k{place % COLOURS}") for place, model in enumerate(run.models)]
    guess = tilde(run.totals.coverage)
    kinds = by_type(run.totals.cost_by_type, guess, partly=is_partly_priced(run.totals))
    return [kinds, breakdown("By model", models), breakdown("By agent", owners)]
