"""Agents: what each spends and why; one section for each agent, which asks nothing until it is opened."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import closed_row, dashboard, row, variable
from grafana.build.promql import RANGE, STEP, Window, quantile, rate, ratio, readable, share, total, where

from costspan import conventions as names

UID: Final = "costspan-agents"
_ONE: Final = where("agent")
_INPUT: Final = f'{_ONE}, token_type=~"input_.*"'
_OUTPUT: Final = f'{_ONE}, token_type=~"output_.*"'
_CACHED: Final = f'{_ONE}, token_type="input_cache_read"'
_BY: Final = ("agent",)


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Agents",
        "What each agent spends and why. An agent's figures are its own calls, without those of agents that it invoked, so that "
        "they add up. Calls that belong to no agent are shown as (unattributed).",
        variable("agent", "Agent", names.CALLS),
        since="now-6h",
    )
    row(frame, "Who spends it?", [_table(), *_over_time()])
    closed_row(frame, "Agent: $agent", _section(), repeat="agent")
    return frame


def _tokens(matchers: str = _ONE, by: tuple[str, ...] = (), window: Window = RANGE) -> str:
    return total(names.TOKENS, matchers, by=by, window=window)


def _calls(by: tuple[str, ...] = ()) -> str:
    return total(names.CALLS, _ONE, by=by)


def _near_limit(by: tuple[str, ...] = ()) -> str:
    """Share of the calls that filled more than 0.9 of their model's window."""
    below = total(f"{names.CONTEXT_RATIO}_bucket", _ONE, by=by, le="0.9")
    return f"1 -\n{ratio(below, total(f'{names.CONTEXT_RATIO}_count', _ONE, by=by))}"


def _table() -> Any:
    cost = total(names.COST_USD, _ONE, by=_BY)
    tokens = _tokens(by=_BY)
    return p.grid("Agents", "Click a heading to sort, an agent to keep only it. Sections of the agents are below.",
                  ("agent", "Agent"), [
        p.Column(cost, "Cost", p.USD, bar=True),
        p.Column(tokens, "Tokens", bar=True),
        p.Column(_calls(_BY), "Calls"),
        p.Column(ratio(tokens, _calls(_BY)), "Tokens per call"),
        p.Column(_largest(_BY), "Largest call"),
        p.Column(ratio(_tokens(_INPUT, _BY), _tokens(_OUTPUT, _BY)), "Input per output"),
        p.Column(share(_tokens(_CACHED, _BY), _tokens(_INPUT, _BY)), "Cache hits", p.SHARE),
        p.Column(_near_limit(_BY), "Calls near the context limit", p.SHARE,
                 steps=((None, "text"), (0.1, "orange"), (0.5, "red"))),
        p.Column(share(total(names.WASTED_COST_USD, _ONE, by=_BY), cost), "Wasted", p.SHARE,
                 steps=((None, "text"), (0.05, "orange"), (0.2, "red"))),
    ], to=[p.link("Only this agent", UID, "agent")], nothing="No calls")  # fmt: skip


def _largest(by: tuple[str, ...] = ()) -> str:
    """Tokens of the largest call since the processes began that were seen in the range."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return readable(f"max{grouped} (max_over_time({names.AGENT_CALL_TOKENS_MAX}{{{_ONE}}}[$__range]))", by)


def _over_time() -> list[Any]:
    return [
        p.lines("Spend per hour by agent", "Dollars per hour. Diamonds are single calls: click one to open its trace.",
                [p.Query(f"3600 * {rate(names.COST_USD, _ONE, by=_BY)}", "{{agent}}", exemplars=True)], p.USD),
        p.bars("Tokens by agent", "Tokens of each interval, input and output.",
               [p.Query(_tokens(by=_BY, window=STEP), "{{agent}}")], p.COUNT),
    ]  # fmt: skip


def _section() -> list[Any]:
    cost, tokens, calls = total(names.COST_USD, _ONE), _tokens(), _calls()
    small = (3, 4)
    return [
        p.number("Cost", "Dollars of its own calls.", cost, p.USD, size=small, nothing="No calls"),
        p.number("Tokens", "Input and output of its own calls.", tokens, p.COUNT, size=small, nothing="No calls"),
        p.number("Calls", "Model calls, failed ones too.", calls, p.COUNT, size=small, nothing="No calls"),
        p.number("Average tokens per call", "Tokens over all calls, failed ones too.", ratio(tokens, calls), p.COUNT,
                 size=small, nothing="No calls"),
        p.number("Largest call", "Tokens of its largest call since the process began.", _largest(), p.COUNT, size=small,
                 nothing="No calls"),
        p.number("Input per output", "Input tokens for one output token.", ratio(_tokens(_INPUT), _tokens(_OUTPUT)), p.COUNT,
                 size=small, nothing="No calls"),
        p.number("Cache hits", "Share of the input tokens that were read from the provider's cache.",
                 share(_tokens(_CACHED), _tokens(_INPUT)), p.SHARE, size=small, nothing="No calls"),
        p.number("Wasted", "Share of its dollars that bought nothing.", share(total(names.WASTED_COST_USD, _ONE), cost), p.SHARE,
                 size=small, steps=((None, "green"), (0.05, "orange"), (0.2, "red")), nothing="No spend"),
        p.bars("Tokens by type", "Tokens of each interval; the types add up to the total.",
               [p.Query(_tokens(by=("token_type",), window=STEP), "{{token_type}}")], p.COUNT, size=(8, 8)),
        p.bars("Cost by model", "Dollars of each interval.",
               [p.Query(total(names.COST_USD, _ONE, by=("model",), window=STEP), "{{model}}", exemplars=True)], p.USD,
               size=(8, 8)),
        p.bars("Calls by outcome", "Calls of each interval.",
               [p.Query(total(names.CALLS, _ONE, by=("outcome",), window=STEP), "{{outcome}}")], p.COUNT, size=(8, 8)),
        p.cells("Context in use", "How full the model's window was: input and output of one call over it.",
                p.Query(total(f"{names.CONTEXT_RATIO}_bucket", _ONE, by=("le",), window=STEP), exemplars=True), p.SHARE,
                size=(8, 8)),
        p.ranking("Waste by reason", "Dollars that bought nothing, by reason.",
                  p.Query(total(names.WASTED_COST_USD, _ONE, by=("reason",)), "{{reason}}"), p.USD, size=(4, 8), nothing="None"),
        p.ranking("Wasted tokens", "Tokens that bought nothing, by reason.",
                  p.Query(total(names.WASTED_TOKENS, _ONE, by=("reason",)), "{{reason}}"), p.COUNT, size=(4, 8), nothing="None"),
        p.ranking("Cost by workflow", "In which workflows it spent.",
                  p.Query(total(names.COST_USD, _ONE, by=("workflow",)), "{{workflow}}"), p.USD, size=(4, 8), nothing="No spend",
                  to=p.link("Runs of ${__field.labels.workflow}", "costspan-runs", "workflow",
                            "${__field.labels.workflow:percentencode}")),
        p.ranking("Tool calls", "The tools that it ran.",
                  p.Query(total(names.TOOL_CALLS, _ONE, by=("tool",)), "{{tool}}"), p.COUNT, size=(4, 8), nothing="None",
                  to=p.link("Tool ${__field.labels.tool}", "costspan-tools", "tool", "${__field.labels.tool:percentencode}")),
        p.lines("Fullest call", "At most this share of the window was in use by its fullest call.",
                [p.Query(quantile(1, names.CONTEXT_RATIO, _ONE, window=STEP), "at most")], p.SHARE, size=(24, 6), top=1.0),
    ]  # fmt: skip
