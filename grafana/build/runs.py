"""Runs and steps: how much single runs and their calls cost, how long they take, and what is going on right now."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import closed_row, dashboard, row, variable
from grafana.build.promql import STEP, quantile, ratio, share, total, where

from costspan import conventions as names

UID: Final = "costspan-runs"
_ONE: Final = where("workflow")
_ALL: Final = where()
_NO_RUNS: Final = "No runs"
_STEPS: Final = (
    "Steps are spans, not metrics: **click a diamond** in a heatmap to open the run's trace, where each step and call has its "
    "tokens and dollars. Without a trace store, `costspan report` draws the steps from a trace file or a run record, and the "
    "process itself lists its runs in flight under `/debug/runs`."
)


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Runs and steps",
        "How much single runs cost, how long they take, and what is going on right now. Diamonds in the heatmaps are single runs "
        "and calls: click one to open its trace.",
        variable("workflow", "Workflow", names.RUNS),
        since="now-6h",
    )
    row(frame, "Finished runs", [*_figures(), *_heatmaps()])
    row(frame, "What is going on right now?", _in_flight())
    row(frame, "Steps", [p.words("Where the steps are", _STEPS)])
    closed_row(frame, "Calls inside the runs (all workflows)", _calls())
    return frame


def _figures() -> list[Any]:
    runs, good = total(names.RUNS, _ONE), total(names.RUNS, f'{_ONE}, outcome="ok"')

    def average(histogram: str) -> str:
        return ratio(total(f"{histogram}_sum", _ONE), total(f"{histogram}_count", _ONE))

    return [
        p.number("Runs", "Finished runs in this range.", runs, p.COUNT, nothing=_NO_RUNS),
        p.number("Ended well", "Share of the finished runs without an error.", share(good, runs), p.SHARE, nothing=_NO_RUNS,
                 steps=((None, "red"), (0.9, "orange"), (0.99, "green"))),
        p.number("Cost per run", "Dollars of the average run.", average(names.RUN_COST_USD), p.USD, nothing=_NO_RUNS),
        p.number("Tokens per run", "Tokens of the average run.", average(names.RUN_TOKENS), p.COUNT, nothing=_NO_RUNS),
        p.number("Calls per run", "Model calls of the average run.", average(names.RUN_CALLS), p.COUNT, nothing=_NO_RUNS),
        p.number("Time per run", "Seconds of the average run.", average(names.RUN_DURATION), p.SECONDS, nothing=_NO_RUNS),
    ]  # fmt: skip


def _heatmaps() -> list[Any]:
    def cells(title: str, about: str, histogram: str, unit: str) -> Any:
        buckets = total(f"{histogram}_bucket", _ONE, by=("le",), window=STEP)
        return p.cells(title, about, p.Query(buckets, exemplars=True), unit)

    return [
        cells("Cost of runs", "How many runs cost how many dollars.", names.RUN_COST_USD, p.USD),
        cells("Tokens of runs", "How many runs used how many tokens.", names.RUN_TOKENS, p.COUNT),
        cells("Calls of runs", "How many runs made how many model calls.", names.RUN_CALLS, p.COUNT),
        cells("Time of runs", "How many runs took how long.", names.RUN_DURATION, p.SECONDS),
        p.bars("Runs by outcome", "Runs that ended in each interval.",
               [p.Query(total(names.RUNS, _ONE, by=("outcome",), window=STEP), "{{outcome}}", exemplars=True)], p.COUNT),
        p.grid("Workflows", "Half of the runs are below the median; 95 of 100 are below the last column.",
               ("workflow", "Workflow"), [
            p.Column(total(names.RUNS, _ONE, by=("workflow",)), "Runs", bar=True),
            p.Column(total(f"{names.RUN_COST_USD}_sum", _ONE, by=("workflow",)), "Cost", p.USD, bar=True),
            p.Column(quantile(0.5, names.RUN_COST_USD, _ONE, by=("workflow",)), "Median cost", p.USD),
            p.Column(quantile(0.95, names.RUN_COST_USD, _ONE, by=("workflow",)), "95 of 100 cost below", p.USD),
        ], size=(12, 8), to=[p.link("Only this workflow", UID, "workflow")], nothing=_NO_RUNS),
    ]  # fmt: skip


def _in_flight() -> list[Any]:
    def now(metric: str, how: str) -> str:
        return f"{how} by (workflow) ({metric}{{{_ONE}}})"

    def most(title: str, about: str, metric: str, unit: str) -> Any:
        return p.lines(title, about, [p.Query(now(metric, "max"), "{{workflow}}")], unit, size=(6, 7))

    return [
        p.lines("Runs in flight", "Runs that were going on.", [p.Query(now(names.ACTIVE_RUNS, "sum"), "{{workflow}}")], p.COUNT,
                size=(6, 7)),
        most("Dearest run in flight", "Dollars so far of the run that has cost most: a runaway shows while it runs.",
             names.ACTIVE_RUN_COST_USD_MAX, p.USD),
        most("Most calls of a run in flight", "Calls so far of the run that has made most.", names.ACTIVE_RUN_CALLS_MAX, p.COUNT),
        most("Most tokens of a run in flight", "Tokens so far of the run that has used most.", names.ACTIVE_RUN_TOKENS_MAX,
             p.COUNT),
        p.listing("Now", "Runs in flight by process. Click one to see them one by one; the address must be reachable from here.",
                  f"sum by (instance, job, workflow) ({names.ACTIVE_RUNS}{{{_ONE}}}) > 0",
                  {"workflow": "Workflow", "job": "Service", "instance": "Process"}, p.Column("", "Runs"), size=(24, 6),
                  to=("Process", p.debug_runs()), nothing="None"),
    ]  # fmt: skip


def _calls() -> list[Any]:
    def sized(direction: str) -> str:
        return total(f"{names.CALL_TOKENS}_bucket", f'{_ALL}, direction="{direction}"', by=("le",), window=STEP)

    return [
        p.cells("Time of calls", "How many model calls took how long.",
                p.Query(total(f"{names.CALL_DURATION}_bucket", _ALL, by=("le",), window=STEP), exemplars=True), p.SECONDS,
                size=(8, 8)),
        p.cells("Input of calls", "How many calls had how many input tokens.", p.Query(sized("input"), exemplars=True), p.COUNT,
                size=(8, 8)),
        p.cells("Output of calls", "How many calls had how many output tokens.", p.Query(sized("output"), exemplars=True),
                p.COUNT,
                size=(8, 8)),
    ]  # fmt: skip
