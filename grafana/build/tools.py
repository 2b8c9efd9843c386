"""Tools: what each tool costs, in calls, errors, time, and the tokens that it causes."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import dashboard, row, variable
from grafana.build.promql import STEP, quantile, ratio, share, total, where

from costspan import conventions as names

UID: Final = "costspan-tools"
_ONE: Final = where("tool")
_CALLED: Final = where("tool", "agent")
_BILL: Final = f'{_ONE}, part=~"call|result|carried"'
_NESTED: Final = f'{_ONE}, part="nested"'
_BY: Final = ("tool",)
_NO_TOOLS: Final = "No tool calls"


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Tools",
        "What each tool really costs. Its own tokens are an allocation of its agents' tokens: asking for it, reading its answer, "
        "and sending the answer again later. Nested are the model calls made inside it. Neither may be added to agents' totals.",
        variable("agent", "Agent", names.TOOL_CALLS),
        variable("tool", "Tool", names.TOOL_CALLS, "agent"),
        since="now-6h",
    )
    row(frame, "What do tools cost?", [*_figures(), _table()])
    row(frame, "When, and why?", _over_time())
    return frame


def _figures() -> list[Any]:
    calls, errors = total(names.TOOL_CALLS, _CALLED), total(names.TOOL_CALLS, f'{_CALLED}, outcome="error"')
    bill, nested = total(names.TOOL_COST_USD, _BILL), total(names.TOOL_COST_USD, _NESTED)
    time = ratio(total(f"{names.TOOL_DURATION}_sum", _ONE), total(f"{names.TOOL_DURATION}_count", _ONE))
    return [
        p.number("Tool calls", "Calls of the tools and agents above.", calls, p.COUNT, nothing=_NO_TOOLS),
        p.number("Failed", "Share of the calls that ended in an error.", share(errors, calls), p.SHARE, nothing=_NO_TOOLS,
                 steps=((None, "green"), (0.05, "orange"), (0.2, "red"))),
        p.number("Tokens caused", "Asking, reading, carrying along; without nested calls.", total(names.TOOL_TOKENS, _BILL),
                 p.COUNT, nothing="Not told"),
        p.number("Cost caused", "Dollars of the same tokens.", bill, p.USD, nothing="Not told"),
        p.number("Cost of nested calls", "Dollars of model calls made inside the tools: exact.", nested, p.USD, nothing="None"),
        p.number("Average time", "Seconds of one call.", time, p.SECONDS, nothing=_NO_TOOLS),
    ]  # fmt: skip


def _table() -> Any:
    calls = total(names.TOOL_CALLS, _CALLED, by=_BY)
    errors = total(names.TOOL_CALLS, f'{_CALLED}, outcome="error"', by=_BY)
    good = total(names.TOOL_CALLS, f'{_ONE}, outcome="ok"', by=_BY)
    every = total(names.TOOL_CALLS, _ONE, by=_BY)
    tokens = total(names.TOOL_TOKENS, _ONE, by=_BY)
    seconds, timed = (total(f"{names.TOOL_DURATION}_{part}", _ONE, by=_BY) for part in ("sum", "count"))
    return p.grid("Tools", "Click a heading to sort, a tool to keep only it. Calls and errors are those of the chosen agents, "
                  "the rest is of all agents.", ("tool", "Tool"), [
        p.Column(calls, "Calls", bar=True),
        p.Column(share(errors, calls), "Failed", p.SHARE, steps=((None, "text"), (0.05, "orange"), (0.2, "red"))),
        p.Column(total(names.TOOL_TOKENS, _BILL, by=_BY), "Tokens caused", bar=True),
        p.Column(total(names.TOOL_TOKENS, _NESTED, by=_BY), "Nested tokens", bar=True),
        p.Column(ratio(tokens, every), "Tokens per call"),
        p.Column(total(names.TOOL_COST_USD, _BILL, by=_BY), "Cost caused", p.USD, bar=True),
        p.Column(total(names.TOOL_COST_USD, _NESTED, by=_BY), "Nested cost", p.USD, bar=True),
        p.Column(ratio(total(names.TOOL_COST_USD, _ONE, by=_BY), good), "Cost per successful call", p.USD),
        p.Column(ratio(seconds, timed), "Average time", p.SECONDS),
        p.Column(quantile(0.95, names.TOOL_DURATION, _ONE, by=_BY), "95 of 100 below", p.SECONDS),
        p.Column(seconds, "Time in all", p.SECONDS),
        p.Column(errors, "Errors"),
    ], to=[p.link("Only this tool", UID, "tool")], nothing=_NO_TOOLS)  # fmt: skip


def _over_time() -> list[Any]:
    return [
        p.bars("Calls by tool", "Calls of each interval.",
               [p.Query(total(names.TOOL_CALLS, _CALLED, by=_BY, window=STEP), "{{tool}}", exemplars=True)], p.COUNT,
               size=(8, 8)),
        p.bars("Errors by tool", "Calls of each interval that ended in an error.",
               [p.Query(total(names.TOOL_CALLS, f'{_CALLED}, outcome="error"', by=_BY, window=STEP), "{{tool}}")], p.COUNT,
               size=(8, 8)),
        p.cells("Time of tool calls", "How many calls took how long.",
                p.Query(total(f"{names.TOOL_DURATION}_bucket", _ONE, by=("le",), window=STEP), exemplars=True), p.SECONDS,
                size=(8, 8)),
        p.ranking("Tokens by part", "Call: asking for it. Result: reading its answer. Carried: its answer, sent again. Nested: "
                  "model calls inside it.", p.Query(total(names.TOOL_TOKENS, _ONE, by=("part",)), "{{part}}"), p.COUNT,
                  size=(6, 8), nothing="Not told"),
        p.ranking("Cost by part", "Dollars of the same.",
                  p.Query(total(names.TOOL_COST_USD, _ONE, by=("part",)), "{{part}}"), p.USD, size=(6, 8), nothing="Not told"),
        p.listing("Who calls which tool", "Calls by agent and tool.", total(names.TOOL_CALLS, _CALLED, by=("agent", "tool")),
                  {"agent": "Agent", "tool": "Tool"}, p.Column("", "Calls", bar=True),
                  to=("Agent", p.link("Agent ${__value.text}", "costspan-agents", "agent")), nothing=_NO_TOOLS),
    ]  # fmt: skip
