"""Overview: is spending under control, where does it go, how long will the budget last."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import closed_row, dashboard, row, variable
from grafana.build.promql import RATE, STEP, quantile, rate, ratio, readable, share, total, where

from costspan import conventions as names

UID: Final = "costspan-overview"
_ALL: Final = where()
_FLOW: Final = where("workflow")
_BUDGET: Final = 'budget=~"$budget"'
_SPENT: Final = (names.BUDGET_SPENT_USD, names.BUDGET_SPENT_TOKENS)
_LIMIT: Final = (names.BUDGET_LIMIT_USD, names.BUDGET_LIMIT_TOKENS)
_UTC_DAY: Final = "(hour(vector(time())) * 60 + minute(vector(time()))) / 1440"
_UTC_MONTH: Final = f"(day_of_month(vector(time())) - 1 + {_UTC_DAY}) / days_in_month(vector(time()))"
_NO_RULES: Final = "No spend recorded"


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Overview",
        "What the agents spend, against the budget. Days and months are UTC. The dollars of this page come from the spend ledger "
        "of costspan's recording rules, which counts every counter from its birth.",
        variable("workflow", "Workflow", names.WORKFLOW_COST_USD, "job", "environment", here=False),
        variable("budget", "Budget", names.BUDGET_COST_TODAY, here=False),
    )
    row(frame, "Is spending under control?", _control())
    row(frame, "How long will the budget last?", _budget())
    row(frame, "Where does it go?", _where())
    row(frame, "How do the runs go?", _runs())
    closed_row(frame, "Limits that the processes enforce themselves", _enforced())
    return frame


def spent(by: str = "", window: str = "$__range") -> str:
    """Dollars of a window out of the ledger."""
    grouped = f" by ({by})" if by else ""
    return readable(f"sum{grouped} (sum_over_time({names.WORKFLOW_COST_DELTA}{{{_FLOW}}}[{window}]))", (by,))


def _control() -> list[Any]:
    known = total(f"{names.CALL_TOKENS}_count", f'{_ALL}, direction="input", usage_source="reported"')
    answered = total(f"{names.CALL_TOKENS}_count", f'{_ALL}, direction="input", usage_source!="missing"')
    unreported, unpriced = total(names.UNREPORTED_CALLS, _ALL), total(names.UNPRICED_CALLS, _ALL)
    measured = f"({known} - ({unpriced} or vector(0)))"
    coverage = ratio(measured, f"({answered} + ({unreported} or vector(0)))")
    runs = total(names.RUNS, _FLOW)
    ended_well = total(names.RUNS, f'{_FLOW}, outcome="ok"')
    per_run = ratio(total(f"{names.RUN_COST_USD}_sum", _FLOW), total(f"{names.RUN_COST_USD}_count", _FLOW))
    firing = 'count(ALERTS{alertname=~"Costspan.*", alertstate="firing", severity=~"warning|critical"}) or vector(0)'
    agents = p.link("Which agent spends it?", "costspan-agents")
    health = p.link("What is not measured?", "costspan-health")
    each_run = p.link("Runs and steps", "costspan-runs")
    return [
        p.number("Spend today", "Dollars since midnight UTC.", f"sum({names.WORKFLOW_COST_TODAY}{{{_FLOW}}})", p.USD,
                 nothing=_NO_RULES, to=agents),
        p.number("Spend in this range", "Dollars in the time range above, to the cent: what the run records add up to.",
                 spent(), p.USD, nothing=_NO_RULES, to=agents),
        p.number("Spend this month", "Dollars since the first of the month, UTC.",
                 f"sum({names.WORKFLOW_COST_MONTH}{{{_FLOW}}})", p.USD, nothing=_NO_RULES),
        p.number("Month's forecast", "What the month will have cost if the rest of it goes on like the last 24 hours.",
                 f"sum({names.WORKFLOW_COST_FORECAST}{{{_FLOW}}})", p.USD, nothing=_NO_RULES),
        p.number("Coverage", "Share of the billed calls whose usage was told and whose price is known. Below 100 % the dollars "
                 "of this page are a lower bound.", coverage, p.SHARE,
                 steps=((None, "red"), (0.95, "orange"), (0.999, "green")), nothing="No calls", to=health),
        p.number("Alerts", "Warnings and worse of costspan's rules that are firing now.", firing, p.COUNT,
                 steps=((None, "green"), (1, "red"))),
        p.number("Runs", "Finished runs in this range.", runs, p.COUNT, nothing="No runs", to=each_run),
        p.number("Cost per run", "Dollars of the average finished run.", per_run, p.USD, nothing="No runs", to=each_run),
        p.number("Cost per successful run", "All dollars of this range over the runs that ended well.",
                 ratio(spent(), ended_well), p.USD, nothing="No runs", to=each_run),
        p.number("Runs that ended well", "Share of the finished runs without an error.", share(ended_well, runs), p.SHARE,
                 steps=((None, "red"), (0.9, "orange"), (0.99, "green")), nothing="No runs", to=each_run),
        p.number("Runs in flight", "Runs that are going on now.", f"sum({names.ACTIVE_RUNS}{{{_FLOW}}})", p.COUNT,
                 nothing="None", to=each_run),
        p.number("Wasted", "Share of the dollars that bought nothing: failed parses, errors, retries, truncated answers. Of all "
                 "workflows.", share(total(names.WASTED_COST_USD, _ALL), total(names.COST_USD, _ALL)), p.SHARE,
                 nothing="No spend", to=agents),
    ]  # fmt: skip


def _budget() -> list[Any]:
    day, month = f"{names.BUDGET_DAY_LIMIT}{{{_BUDGET}}}", f"{names.BUDGET_MONTH_LIMIT}{{{_BUDGET}}}"
    today, this_month = f"{names.BUDGET_COST_TODAY}{{{_BUDGET}}}", f"{names.BUDGET_COST_MONTH}{{{_BUDGET}}}"
    forecast = f"{names.BUDGET_COST_FORECAST}{{{_BUDGET}}}"
    of_budget = "/ on (budget)"
    none = "No budget set: costspan rules --budgets"
    return [
        p.ranking("Today against the budget", "Spend since midnight UTC over the day's limit.",
                  p.Query(f"{today} {of_budget} {day}", "{{budget}}"), p.SHARE, steps=p.BAD, top=1.0, nothing=none,
                  size=(6, 8)),
        p.lines("Budget left today", "The day's limit less what was spent; dashed is an even pace.", [
            p.Query(f"{day} - on (budget) {today}", "{{budget}}"),
            p.Query(f"{day} * on () group_left () (1 - {_UTC_DAY})", "{{budget}}: even pace", dashed=True),
        ], p.USD, size=(6, 8)),
        p.ranking("This month against the budget", "Spend since the first of the month, UTC, over the month's limit.",
                  p.Query(f"{this_month} {of_budget} {month}", "{{budget}}"), p.SHARE, steps=p.BAD, top=1.0, nothing=none,
                  size=(6, 8)),
        p.lines("Burn-down of the month", "The month's limit less what was spent; dashed are an even pace, and what will be left "
                "at the month's end if it goes on like the last 24 hours (below 0: the budget will not last).", [
            p.Query(f"{month} - on (budget) {this_month}", "{{budget}}"),
            p.Query(f"{month} * on () group_left () (1 - {_UTC_MONTH})", "{{budget}}: even pace", dashed=True),
            p.Query(f"{month} - on (budget) {forecast}", "{{budget}}: at the month's end", dashed=True),
        ], p.USD, size=(6, 8), floor=None),
    ]  # fmt: skip


def _where() -> list[Any]:
    cost = names.COST_USD
    return [
        p.bars("Spend by workflow", "Dollars of each interval, out of the ledger.",
               [p.Query(spent("workflow", "$__interval"), "{{workflow}}")], p.USD),
        p.lines("Spend per hour by agent", "Dollars per hour. Diamonds are single calls: click one to open its trace.",
                [p.Query(f"3600 * {rate(cost, _FLOW, by=('agent',))}", "{{agent}}", exemplars=True)], p.USD),
        p.ranking("Dearest agents", "Dollars in this range. Click one for its section.",
                  p.Query(f"topk(10, {total(cost, _FLOW, by=('agent',))})", "{{agent}}"), p.USD, nothing="No spend",
                  to=p.link("Agent ${__field.labels.agent}", "costspan-agents", "agent",
                            "${__field.labels.agent:percentencode}")),
        p.ranking("Dearest models", "Dollars in this range.",
                  p.Query(f"topk(10, {total(cost, _FLOW, by=('model',))})", "{{model}}"), p.USD, nothing="No spend",
                  to=p.link("Model ${__field.labels.model}", "costspan-models", "model",
                            "${__field.labels.model:percentencode}")),
        p.grid("Workflows", "Dollars from the ledger, and the finished runs.", ("workflow", "Workflow"), [
            p.Column(spent("workflow"), "Spend", p.USD, bar=True),
            p.Column(total(names.RUNS, _FLOW, by=("workflow",)), "Runs"),
            p.Column(ratio(total(f"{names.RUN_COST_USD}_sum", _FLOW, by=("workflow",)),
                           total(f"{names.RUN_COST_USD}_count", _FLOW, by=("workflow",))), "Cost per run", p.USD),
        ], size=(8, 8), to=[p.link("Runs of this workflow", "costspan-runs", "workflow")], nothing="No spend"),
    ]  # fmt: skip


def _runs() -> list[Any]:
    middle, high = (quantile(q, names.RUN_COST_USD, _FLOW, window=None) for q in (0.5, 0.95))
    average = f"sum(rate({names.RUN_COST_USD}_sum{{{_FLOW}}}[{RATE}])) / sum(rate({names.RUN_COST_USD}_count{{{_FLOW}}}[{RATE}]))"
    return [
        p.bars("Finished runs by outcome", "Runs that ended in each interval.",
               [p.Query(total(names.RUNS, _FLOW, by=("outcome",), window=STEP), "{{outcome}}", exemplars=True)], p.COUNT),
        p.lines("Cost per run over time", "Dollars of a finished run. Diamonds are single runs: click one to open its trace.", [
            p.Query(average, "average", exemplars=True), p.Query(middle, "median"), p.Query(high, "95 of 100 are below"),
        ], p.USD),
    ]  # fmt: skip


def _enforced() -> list[Any]:
    chosen = f"{_ALL}, {_BUDGET}"
    spent_usd, spent_tokens = (f"sum by (budget) ({name}{{{chosen}}})" for name in _SPENT)
    limit_usd, limit_tokens = (f"max by (budget) ({name}{{{chosen}}})" for name in _LIMIT)
    return [
        p.grid("Limits in the processes", "Budgets that stop a call before it is made, as the processes know them.",
               ("budget", "Budget"), [
            p.Column(spent_usd, "Spent", p.USD, bar=True),
            p.Column(limit_usd, "Limit", p.USD),
            p.Column(ratio(spent_usd, limit_usd), "Used", p.SHARE, steps=p.BAD),
            p.Column(spent_tokens, "Tokens spent"),
            p.Column(limit_tokens, "Token limit"),
            p.Column(ratio(spent_tokens, limit_tokens), "Tokens used", p.SHARE, steps=p.BAD),
            p.Column(total(names.BUDGET_BLOCKED, chosen, by=("budget",)), "Calls stopped"),
        ], nothing="No limits in the processes"),
        p.bars("Calls stopped by a budget", "Calls that were not made.",
               [p.Query(total(names.BUDGET_BLOCKED, chosen, by=("budget",), window=STEP), "{{budget}}")], p.COUNT, size=(24, 6)),
    ]  # fmt: skip
