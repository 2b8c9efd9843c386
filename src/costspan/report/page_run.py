"""The detail of one run as HTML: the same sections in the one-file report and on the server's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.conventions import NOT_SENT
from costspan.report import charts, evidence
from costspan.report.figures import many, percent, ratio, seconds, share, tokens
from costspan.report.marks import call_cost, call_tokens, known_cost, known_tokens, marked_tokens
from costspan.report.markup import Cell, Column, Html, badge, maybe, number, table, text
from costspan.report.page_call import clock, model_name, per_million

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from costspan.records import AgentTotals, Call, ModelTotals, Run, Step, ToolTotals, Totals

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
AGENT_CALLS_MAX: Final = 200
"""In a run of more calls the agents' sections leave them to the list of calls: a page must stay light."""
_STEP_HEADS: Final = (
    Column("#"),
    Column("agent"),
    Column("step"),
    Column("calls", number=True),
    Column("tokens", number=True),
    Column("cost", number=True),
    Column("duration", number=True),
    Column("tokens/s", number=True),
    Column("outcome"),
)
_CALL_HEADS: Final = (
    Column("#"),
    Column("model"),
    Column("agent"),
    Column("in", number=True, hint="input tokens, cache included"),
    Column("out", number=True, hint="output tokens, reasoning included"),
    Column("cost", number=True),
    Column("duration", number=True),
    Column("evidence"),
)


class Place(NamedTuple):
    """Where a run stands on a page: a prefix of its ids, and where its calls' details are."""

    prefix: str
    link: Callable[[int], str]


def run_detail(run: Run, place: Place, *, running: bool = False) -> Html:
    """All sections of a run. The calls' details themselves are drawn by `page_call.drawer`."""
    colour = charts.colours(agent.name for agent in run.agents)
    bodies = {
        "agents": _agents(run, place, colour),
        "cost": _spend(run, colour),
        "timeline": charts.waterfall(run, place.link, colour),
        "context": charts.context_curve(run, colour),
        "tools": _tools(run.tools),
        "steps": _step_table("Step log", run.steps) if run.steps else _none("No steps were told."),
        "calls": _call_table("Calls", list(enumerate(run.calls)), place) if run.calls else _none("No calls."),
        "models": _models(run.models),
    }
    links = "".join(f'<a href="#{place.prefix}{key}">{title}</a>' for key, title in SECTIONS)
    parts = [f'<nav class="jump" aria-label="Sections of the run">{links}</nav>']
    for key, title in SECTIONS:
        name = f"{place.prefix}{key}"
        parts.append(f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>{bodies[key]}</section>')
    return Html(f"{head(run, running=running)}{''.join(parts)}")


def head(run: Run, *, running: bool = False) -> Html:
    """Name, outcome, the figures that matter, and how far they can be trusted."""
    totals, of = run.totals, run.efficiency
    cached = None if of.cache_hit_ratio is None else of.cache_hit_ratio * 100
    reasons = [many(totals.errors, "error")] if totals.errors else []
    reasons += [many(totals.cache_hits, "cached answer")] if totals.cache_hits else []
    lasted = seconds(run.duration_seconds) if run.ended_ns else "running"
    figures = (
        ("cost", known_cost(totals), ""),
        ("tokens", known_tokens(totals), f"{_in(totals)} in, {_out(totals)} out"),
        ("model calls", tokens(totals.calls), ", ".join(reasons)),
        ("measured", share(totals.coverage.share), "reported and priced"),
        ("duration", lasted, f"{tokens(of.output_tokens_per_second, 1)} output tokens/s"),
        ("context peak", percent(of.context_window_peak_percent), "of the model's window"),
        ("cache hits", percent(cached, 1), "of input tokens"),
        ("input/output", ratio(of.input_output_ratio), f"{tokens(of.average_tokens_per_agent)} tokens per agent"),
    )
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>" for name, value, note in figures)
    state = badge("running" if running else run.outcome)
    return Html(
        f'<header class="run-head"><h1>{text(run.workflow or "run")} {state}</h1>'
        f'<p class="quiet">started {clock(run.started_ns)} · run <code>{text(run.id)}</code></p>'
        f'<dl class="tiles">{tiles}</dl>{_trust(run)}</header>'
    )


def _trust(run: Run) -> str:
    lines = [f'<p class="{"warn" if evidence.gaps(run) else "good"}">{text(evidence.headline(run))}</p>']
    advice = [*evidence.gaps(run, ascii_only=False), *filter(None, (evidence.waste(run), evidence.unattributed(run)))]
    items = []
    for line in advice:
        what, _, mend = line.partition(evidence.MEND)
        items.append(f"<li>{text(what)}{f'<br>mend: <code>{text(mend)}</code>' if mend else ''}</li>")
    items += [f'<li class="quiet">note: {text(note)}</li>' for note in run.notes]
    return "".join(lines) + (f'<ul class="advice">{"".join(items)}</ul>' if items else "")


def _in(totals: Totals) -> str:
    return marked_tokens(totals.usage.input_tokens, totals)


def _out(totals: Totals) -> str:
    return marked_tokens(totals.usage.output_tokens, totals)


def _none(words: str) -> Html:
    return Html(f'<p class="quiet">{words}</p>')


# --- agents ----------------------------------------------------------------------------------------------
def _agents(run: Run, place: Place, colour: dict[str | None, str]) -> Html:
    if not run.agents and not run.unattributed.calls:
        return _none("No agents and no calls.")
    steps: dict[str | None, list[Step]] = {}
    for step in run.steps:
        steps.setdefault(step.agent, []).append(step)
    calls: dict[str | None, list[tuple[int, Call]]] = {}
    for index, call in enumerate(run.calls):
        calls.setdefault(call.owner.agent, []).append((index, call))
    parts = []
    for agent in run.agents:
        body = _body(agent, steps.get(agent.name, ()), calls.get(agent.name, []), place, len(run.calls))
        parts.append(_agent(text(agent.name), agent.self_totals, body, run, colour[agent.name]))
    if run.unattributed.calls:
        body = Html(_none("Calls that no agent owns.") + _call_table("Calls of no agent", calls.get(None, []), place))
        parts.append(_agent(Html("unattributed"), run.unattributed, body, run, "kx"))
    return Html(f'<div class="agents" data-folds>{"".join(parts)}</div>')


def _agent(name: Html, totals: Totals, body: Html, run: Run, colour: str) -> str:
    whole = run.totals.cost_usd
    part = float(totals.cost_usd / whole) if whole and totals.cost_usd is not None else 0.0
    return (
        f'<details class="agent"><summary><span class="what">{charts.chip(colour)}{name}</span>'
        f'<span class="n"><small>in</small> {_in(totals)}</span><span class="n"><small>out</small> {_out(totals)}</span>'
        f'<span class="n cost">{known_cost(totals)}</span>{charts.bar(0, part, colour) if part else "<span></span>"}'
        f'<span class="n quiet">{share(part) if whole else ""}</span></summary><div class="body">{body}</div></details>'
    )


def _body(agent: AgentTotals, steps: Sequence[Step], calls: list[tuple[int, Call]], place: Place, whole: int) -> Html:
    own, subtree = agent.self_totals, agent.subtree
    lines = [f"{many(own.calls, 'call')}, {known_tokens(own)} tokens, {known_cost(own)} of its own"]
    if subtree.calls > own.calls:
        spent = f"{known_tokens(subtree)} tokens, {known_cost(subtree)}"
        lines.append(f"with the agents it called: {many(subtree.calls, 'call')}, {spent}")
    usage = own.usage
    for words, count in (
        ("read from cache", usage.cache_read_tokens),
        ("written to cache", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    ):
        if count:
            lines.append(f"{tokens(count)} tokens {words}")
    if agent.models:
        lines.append("models: " + ", ".join(text(model) for model in agent.models))
    told = "".join(f"<li>{line}</li>" for line in lines)
    parts = [f'<ul class="facts">{told}</ul>']
    if steps:
        parts.append(_step_table(f"Steps of {agent.name}", steps))
    if calls and whole <= AGENT_CALLS_MAX:
        parts.append(_call_table(f"Calls of {agent.name}", calls, place))
    elif calls:
        parts.append(f'<p><a href="#{place.prefix}calls">{many(len(calls), "call")} in the list of calls</a></p>')
    return Html("".join(parts))


# --- tables ----------------------------------------------------------------------------------------------
def _step_table(caption: str, steps: Iterable[Step]) -> Html:
    rows = [
        (
            Cell(tokens(step.index), step.index),
            Cell(maybe(step.agent)),
            Cell(text(step.name)),
            number(tokens(step.totals.calls), step.totals.calls),
            number(known_tokens(step.totals), step.totals.usage.total_tokens),
            number(known_cost(step.totals), step.totals.cost_usd),
            number(seconds(step.duration_seconds), step.duration_seconds),
            number(tokens(step.tokens_per_second, 1), step.tokens_per_second),
            Cell(badge(step.outcome), step.outcome),
        )
        for step in steps
    ]
    return table(_plain(caption), _STEP_HEADS, rows)


def _call_table(caption: str, calls: Iterable[tuple[int, Call]], place: Place) -> Html:
    rows = [
        (
            Cell(f'<a class="open-call" href="{place.link(index)}" aria-label="Call {index + 1}">{index + 1}</a>', index),
            Cell(model_name(call)),
            Cell(maybe(call.owner.agent)),
            number(call_tokens(call, call.usage.input_tokens), call.usage.input_tokens),
            number(call_tokens(call, call.usage.output_tokens), call.usage.output_tokens),
            number(call_cost(call), call.cost.amount_usd if call.cost else None),
            number(seconds(call.duration_seconds), call.duration_seconds),
            Cell(_told(call)),
        )
        for index, call in calls
    ]
    return table(_plain(caption), _CALL_HEADS, rows)


def _told(call: Call) -> str:
    """Evidence in a word or two."""
    unbilled = "not sent" if call.missing_reason == NOT_SENT else "refused"
    words = "from cache" if call.cache_hit else unbilled if call.refused else call.usage.source
    parts = [str(text(words))]
    if call.duplicates:
        parts.append(many(len(call.duplicates), "duplicate"))
    if call.outcome != "ok":
        parts.append(str(badge(call.outcome)))
    return ", ".join(parts)


def _plain(caption: str) -> str:
    """A caption with a name in it: `table` escapes it, this takes out what cannot be seen."""
    from costspan.report.names import clean

    return clean(caption, ascii_only=False)


def _tools(tools: Sequence[ToolTotals]) -> Html:
    if not tools:
        return _none("No tools were used.")
    heads = (
        Column("tool"),
        Column("calls", number=True),
        Column("errors", number=True),
        Column("time", number=True),
        Column("nested", number=True, hint="tokens of model calls made inside the tool: exact"),
        Column("call", number=True, hint="output tokens of the turns that asked for it: allocated"),
        Column("result", number=True, hint="input tokens that its answers added: allocated"),
        Column("carried", number=True, hint="the same tokens sent again in later calls: allocated"),
        Column("per call", number=True, hint="(nested + result) tokens over calls"),
        Column("cost", number=True, hint="nested, call, result and carried together"),
    )
    rows = [
        (
            Cell(text(tool.name)),
            number(tokens(tool.calls), tool.calls),
            number(f'<span class="bad">{tokens(tool.errors)}</span>' if tool.errors else "0", tool.errors),
            number(seconds(tool.duration_seconds), tool.duration_seconds),
            number(known_tokens(tool.nested), tool.nested.usage.total_tokens),
            number(tokens(tool.call_tokens), tool.call_tokens),
            number(tokens(tool.result_tokens), tool.result_tokens),
            number(tokens(tool.carried_tokens), tool.carried_tokens),
            number(tokens(tool.tokens_per_call, 1), tool.tokens_per_call),
            _tool_cost(tool),
        )
        for tool in tools
    ]
    note = (
        '<p class="quiet">What a tool really costs: nested calls are exact; call, result and carried are shares of the tokens '
        "of the agents that used it, so they are in the agents' totals already.</p>"
    )
    return Html(table("Tools", heads, rows) + note)


def _tool_cost(tool: ToolTotals) -> Cell:
    from costspan.records import MONEY, ZERO
    from costspan.report.figures import dollars

    parts = [tool.nested.cost_usd, tool.call_cost_usd, tool.result_cost_usd, tool.carried_cost_usd]
    known = [part for part in parts if part is not None]
    if not known:
        return number("?", None)
    amount = ZERO
    for part in known:
        amount = MONEY.add(amount, part)
    return number(dollars(amount), amount)


def _models(models: Sequence[ModelTotals]) -> Html:
    if not models:
        return _none("No models were called.")
    heads = (
        Column("model"),
        Column("provider"),
        Column("calls", number=True),
        Column("in", number=True),
        Column("out", number=True),
        Column("cost", number=True),
        Column("$/M tokens", number=True, hint="mean price of a million tokens"),
        Column("window", number=True, hint="context window in tokens"),
        Column("price row"),
    )
    rows = [
        (
            Cell(maybe(model.model)),
            Cell(maybe(model.provider)),
            number(tokens(model.totals.calls), model.totals.calls),
            number(_in(model.totals), model.totals.usage.input_tokens),
            number(_out(model.totals), model.totals.usage.output_tokens),
            number(known_cost(model.totals), model.totals.cost_usd),
            number(per_million(model.totals.cost_usd, model.totals.usage.total_tokens), None),
            number(tokens(model.context_window_tokens), model.context_window_tokens),
            Cell(", ".join(f"<code>{text(ref)}</code>" for ref in model.totals.price_refs) or "unpriced"),
        )
        for model in models
    ]
    return table("Models", heads, rows)


def _spend(run: Run, colour: dict[str | None, str]) -> Html:
    if run.totals.cost_usd is None:
        return _none("Nothing in this run has a known price.")
    agents = [charts.Share(text(agent.name), agent.self_totals.cost_usd, colour[agent.name], "no price") for agent in run.agents]
    if run.unattributed.calls:
        agents.append(charts.Share("unattributed", run.unattributed.cost_usd, "kx", "no price"))
    models = [
        charts.Share(maybe(model.model), model.totals.cost_usd, f"k{place % charts.COLOURS}", "no price")
        for place, model in enumerate(run.models)
    ]
    parts = (charts.by_type(run.totals.cost_by_type), charts.shares("By model", models), charts.shares("By agent", agents))
    return Html(f'<div class="grid">{"".join(parts)}</div>')
