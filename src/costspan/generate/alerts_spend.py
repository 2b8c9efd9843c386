"""Alerts on money: budgets, burn, forecast, spikes, and runs that get out of hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan import conventions as names
from costspan.generate.alerts import BUDGET, CRITICAL, EVERYTHING, INFO, THIS_PROCESS, WARNING, WORKFLOW, Alert
from costspan.generate.budget_rules import labels, matchers
from costspan.generate.ledger import by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.budgets.limits import Limit
    from costspan.generate.thresholds import RunLimits, Thresholds

_OF_BUDGET: Final = "on (budget) group_left ()"
_TODAY: Final = f"<usd {names.WORKFLOW_COST_TODAY}> today."


def spend_alerts(knobs: Thresholds, limits: Sequence[Limit]) -> list[Alert]:
    """Every alert that reads the ledger or the runs in flight."""
    day = _budget_share(knobs, "Daily", "day", names.BUDGET_COST_TODAY, names.BUDGET_DAY_LIMIT)
    month = _budget_share(knobs, "Monthly", "month", names.BUDGET_COST_MONTH, names.BUDGET_MONTH_LIMIT)
    found = [*day, *month, _burn_fast(knobs), _burn_slow(knobs), _forecast(knobs), _none_set(knobs)]
    found += [_workflow_spend(knobs), _spike(knobs), *_in_flight(knobs.run_in_flight)]
    for limit in limits:
        found += _in_flight_of(limit)
    return [*found, *_finished(knobs.run_finished)]


def _budget_share(knobs: Thresholds, word: str, period: str, spent: str, limit: str) -> list[Alert]:
    ratio, of = knobs.budget.warn_ratio, f"<$> of <usd {limit}> spent this {period}."
    return [
        Alert(
            f"Costspan{word}BudgetNearlySpent",
            WARNING,
            "budget",
            BUDGET,
            f"{spent} > {_OF_BUDGET} {ratio:g} * {limit}",
            f"Budget <budget> is over {ratio * 100:g} %: {of}",
            labels={"period": period},
        ),
        Alert(
            f"Costspan{word}BudgetExceeded",
            CRITICAL,
            "budget",
            BUDGET,
            f"{spent} > {_OF_BUDGET} {limit}",
            f"Budget <budget> is exceeded: {of}",
            labels={"period": period},
        ),
    ]


def _burn_summary(factor: float) -> str:
    allowed, today = f"<usd {names.BUDGET_HOURLY_LIMIT}>", f"<usd {names.BUDGET_COST_TODAY}>"
    return f"Budget <budget> burns <$> an hour, over {factor:g} times the {allowed} an hour that it allows; {today} spent today."


def _burn_fast(knobs: Thresholds) -> Alert:
    """Two windows: the long one says that it matters, the short one that it still goes on."""
    factor = knobs.budget.burn_fast_factor
    allowed = f"> {_OF_BUDGET} {factor:g} * {names.BUDGET_HOURLY_LIMIT}"
    return Alert(
        "CostspanBudgetBurnFast",
        CRITICAL,
        "burn",
        BUDGET,
        f"{names.BUDGET_COST_LAST_HOUR} {allowed}\nand {names.BUDGET_COST_HOURLY_5M} {allowed}",
        _burn_summary(factor),
        for_=knobs.budget.burn_fast_for,
        labels={"long": "1h", "short": "5m"},
    )


def _burn_slow(knobs: Thresholds) -> Alert:
    factor = knobs.budget.burn_slow_factor
    allowed = f"> {_OF_BUDGET} {factor:g} * {names.BUDGET_HOURLY_LIMIT}"
    return Alert(
        "CostspanBudgetBurnSlow",
        WARNING,
        "burn",
        BUDGET,
        f"{names.BUDGET_COST_HOURLY_6H} {allowed}\nand {names.BUDGET_COST_HOURLY_30M} {allowed}",
        _burn_summary(factor),
        for_=knobs.budget.burn_slow_for,
        labels={"long": "6h", "short": "30m"},
    )


def _forecast(knobs: Thresholds) -> Alert:
    limit = f"> {_OF_BUDGET} {names.BUDGET_MONTH_LIMIT}"
    return Alert(
        "CostspanMonthForecastOverBudget",
        WARNING,
        "forecast",
        BUDGET,
        f"{names.BUDGET_COST_FORECAST} {limit}\nunless {names.BUDGET_COST_MONTH} {limit}",
        f"Budget <budget> is heading for <$> this month, its limit is <usd {names.BUDGET_MONTH_LIMIT}>; "
        f"<usd {names.BUDGET_COST_MONTH}> spent so far.",
        for_=knobs.budget.forecast_for,
    )


def _none_set(knobs: Thresholds) -> Alert:
    return Alert(
        "CostspanNoBudgetSet",
        INFO,
        "budget",
        EVERYTHING,
        f"(sum({names.WORKFLOW_COST_TODAY}) or 0 * count({names.BUILD_INFO}))\n"
        f"unless on () (count({names.BUDGET_DAY_LIMIT}) or count({names.BUDGET_MONTH_LIMIT}))",
        "No budget is set, and <$> was spent today. Write budgets.yaml and run: costspan rules --budgets budgets.yaml.",
        for_=knobs.budget.none_set_for,
    )


def _workflow_spend(knobs: Thresholds) -> Alert:
    limit = knobs.workflow_spend.usd_per_hour
    return Alert(
        "CostspanWorkflowSpendHigh",
        CRITICAL,
        "spend",
        WORKFLOW,
        f"{names.WORKFLOW_COST_HOURLY_10M} > {limit:g}",
        f"Workflow <workflow> spends <$> an hour, over {_usd(limit)}; {_TODAY}",
        for_=knobs.workflow_spend.for_,
    )


def _spike(knobs: Thresholds) -> Alert:
    """The hour against the hours before it, the hour itself left out; with floors, and not what was usual a week ago."""
    spike, hour = knobs.spike, names.WORKFLOW_COST_LAST_HOUR
    before = f"{hour}[{spike.baseline}:1h] offset 1h"
    expr = f"""(
  {hour} > avg_over_time({before}) + {spike.sigmas:g} * stddev_over_time({before})
  and {hour} > {spike.ratio:g} * avg_over_time({before})
  and {hour} > {spike.floor_usd:g}
  and count_over_time({before}) >= {spike.history_hours:g}
)
unless {hour} < {spike.same_hour_last_week_ratio:g} * ({hour} offset 1w)"""
    summary = f"Workflow <workflow> spent <$> in the last hour, far above its {spike.baseline} before; {_TODAY}"
    return Alert("CostspanSpendSpike", WARNING, "anomaly", WORKFLOW, expr, summary, for_=spike.for_)


def _in_flight(limits: RunLimits) -> list[Alert]:
    return [
        _in_flight_cost(f"{limits.cost_usd:g}"),
        _in_flight_count("calls", f"{limits.calls:.0f}"),
        _in_flight_count("tokens", f"{limits.tokens:.0f}"),
    ]


def _in_flight_of(limit: Limit) -> list[Alert]:
    which, put = matchers(limit), labels(limit)
    found = []
    if limit.run_usd is not None:
        found.append(_in_flight_cost(format(limit.run_usd, "f"), which, put))
    if limit.run_calls is not None:
        found.append(_in_flight_count("calls", str(limit.run_calls), which, put))
    if limit.run_tokens is not None:
        found.append(_in_flight_count("tokens", str(limit.run_tokens), which, put))
    return found


def _in_flight_cost(bound: str, which: str = "", put: Mapping[str, str] | None = None) -> Alert:
    return Alert(
        "CostspanRunawayRun",
        CRITICAL,
        "runaway",
        WORKFLOW,
        f"{names.ACTIVE_RUN_COST_USD_MAX}{which} > {bound}",
        f"A run of <workflow> still going has cost <$>, over {_usd(float(bound))}.",
        labels={"limit": "cost", **(put or {})},
        debug_url=THIS_PROCESS,
    )


def _in_flight_count(what: str, bound: str, which: str = "", put: Mapping[str, str] | None = None) -> Alert:
    metric, verb = (names.ACTIVE_RUN_CALLS_MAX, "made") if what == "calls" else (names.ACTIVE_RUN_TOKENS_MAX, "used")
    return Alert(
        "CostspanRunawayRun",
        CRITICAL,
        "runaway",
        WORKFLOW,
        f"{metric}{which} > {bound}",
        f"A run of <workflow> still going has {verb} <n> {what}, over {bound}; "
        f"the dearest run in flight is at <usd-max {names.ACTIVE_RUN_COST_USD_MAX}>.",
        labels={"limit": what, **(put or {})},
        debug_url=THIS_PROCESS,
    )


def _finished(limits: RunLimits) -> list[Alert]:
    kinds = (
        ("cost", names.RUN_COST_USD, limits.cost_usd, _usd(limits.cost_usd)),
        ("calls", names.RUN_CALLS, limits.calls, f"{limits.calls:.0f} calls"),
        ("tokens", names.RUN_TOKENS, limits.tokens, f"{limits.tokens:.0f} tokens"),
    )
    return [_finished_over(what, metric, bound, words) for what, metric, bound, words in kinds]


def _finished_over(what: str, metric: str, bound: float, words: str) -> Alert:
    """Runs that ended above a limit: all runs less those up to the bucket bound."""
    every, below = f'{metric}_bucket{{le="+Inf"}}', f'{metric}_bucket{{le=~"{bound_pattern(bound)}"}}'
    sum_by = f"sum {by(WORKFLOW.labels)}"
    return Alert(
        "CostspanRunFinishedOverLimit",
        WARNING,
        "runaway",
        WORKFLOW,
        f"{sum_by} (\n{_ended(every)}\n)\n- {sum_by} (\n{_ended(below)}\n)\n> 0",
        f"<n> run(s) of <workflow> ended over {words} in the last 15 minutes; "
        f"the workflow spent <usd {names.WORKFLOW_COST_LAST_HOUR}> in the last hour.",
        labels={"limit": what},
    )


def bound_pattern(bound: float) -> str:
    """The ways in which expositions write a bucket bound: `5` and `5.0`, `1000000`, `1000000.0` and `1e+06`."""
    ways = {f"{bound:g}", repr(float(bound)), f"{bound:.0f}" if bound == int(bound) else f"{bound:g}"}
    return "|".join(sorted(way.replace("+", "[+]").replace(".", "[.]") for way in ways))


def _ended(series: str) -> str:
    """Growth in 15 minutes; a series born in that time counts whole, for `increase()` would not see its first run."""
    now = f"last_over_time({series}[5m])"
    return f"  ({now} - last_over_time({series}[5m] offset 15m) >= 0)\n  or {now}"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}"
