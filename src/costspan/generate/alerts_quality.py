"""Alerts on the measurement and on efficiency: what the totals lack, and tokens that are spent badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan import conventions as names
from costspan.generate.alerts import AGENT, CRITICAL, EVERYTHING, INFO, JOB, NONE, THIS_PROCESS, WARNING, WORKFLOW, Alert
from costspan.generate.ledger import Record, by, created, recent

if TYPE_CHECKING:
    from costspan.generate.thresholds import Thresholds

_BOOKED: Final = f"<usd {names.WORKFLOW_COST_TODAY}> was booked today."
_SPENT_TODAY: Final = f"<usd {names.WORKFLOW_COST_TODAY}> today."
_AGENT_SPENT: Final = f"it spent <usd {names.AGENT_COST_LAST_HOUR}> in the last hour."


def quality_records(knobs: Thresholds) -> list[Record]:
    """How much input each agent had in the last hour, and which share of it came from the prompt cache."""
    fresh = knobs.ledger.fresh
    all_input = recent(names.TOKENS, AGENT.labels, "1h", matchers='{token_type=~"input_.*"}', fresh=fresh)
    cached = recent(names.TOKENS, AGENT.labels, "1h", matchers='{token_type="input_cache_read"}', fresh=fresh)
    return [
        Record(names.AGENT_INPUT_LAST_HOUR, all_input),
        Record(names.AGENT_CACHE_RATIO, f"{cached}\n/ ({names.AGENT_INPUT_LAST_HOUR} > 0)"),
    ]


def quality_alerts(knobs: Thresholds) -> list[Alert]:
    """Unpriced, estimated and unreported calls, the cache, the context window, duplicates, an old price table."""
    return [
        _unpriced(knobs),
        _estimated(knobs),
        _unreported(knobs),
        _cache(knobs),
        _context(knobs),
        _per_run(knobs),
        _duplicates(),
        _price_table(knobs),
    ]


def telemetry_alerts(knobs: Thresholds) -> list[Alert]:
    """Is anybody measuring at all?"""
    return [_blind(knobs), _target_down(knobs), _missing(knobs), _watchdog()]


def _unpriced(knobs: Thresholds) -> Alert:
    calls, window = names.UNPRICED_CALLS, knobs.unpriced.window
    # What is born comes first: increase() of a series born at 1 exists, is 0, and would win the `or`.
    expr = f"""sum {by((*JOB.labels, "provider", "model", "reason"))} (
  ({calls} unless {calls} offset {window})
  or increase({calls}[{window}])
) > 0"""
    summary = "<n> call(s) to <provider>/<model> have no price (<reason>): their cost is in no total, budget or alert. " + _BOOKED
    return Alert("CostspanUnpricedModel", WARNING, "data", JOB, expr, summary)


def _estimated(knobs: Thresholds) -> Alert:
    part = recent(names.TOKENS, JOB.labels, "1h", matchers='{usage_source="estimated"}')
    # The histogram of call sizes has the same tokens in far fewer series than the counter by agent and type.
    total = recent(f"{names.CALL_TOKENS}_sum", JOB.labels, "1h")
    expr = f"{part}\n/ ({total} > {knobs.estimated.floor_tokens:g})\n> {knobs.estimated.ratio:g}"
    summary = f"<%> of the tokens of <job> are estimates, and so is their share of the dollars. {_BOOKED}"
    return Alert("CostspanEstimatedShareHigh", WARNING, "data", JOB, expr, summary, for_=knobs.estimated.for_)


def _unreported(knobs: Thresholds) -> Alert:
    part, total = recent(names.UNREPORTED_CALLS, JOB.labels, "1h"), recent(names.CALLS, JOB.labels, "1h")
    expr = f"{part}\n/ ({total} > {knobs.unreported.floor_calls:g})\n> {knobs.unreported.ratio:g}"
    summary = f"<%> of the calls of <job> came back without usage: billed, but their dollars are in no total. {_BOOKED}"
    return Alert("CostspanUnreportedShareHigh", WARNING, "data", JOB, expr, summary, for_=knobs.unreported.for_)


def _cache(knobs: Thresholds) -> Alert:
    ratio, cache = names.AGENT_CACHE_RATIO, knobs.cache
    usual = f"avg_over_time({ratio}[1d] offset 2h)"
    expr = f"""{ratio} < {cache.ratio:g} * {usual}
and {usual} > {cache.usual_share:g}
and {names.AGENT_INPUT_LAST_HOUR} > {cache.floor_tokens:g}"""
    summary = f"Agent <agent> reads only <%> of its input from the prompt cache, far below its usual share; {_AGENT_SPENT}"
    return Alert("CostspanCacheHitCollapse", WARNING, "efficiency", AGENT, expr, summary, for_=cache.for_)


def _context(knobs: Thresholds) -> Alert:
    metric, limits = f"{names.CONTEXT_RATIO}_bucket", knobs.context
    below = recent(metric, AGENT.labels, "15m", matchers='{le="0.9"}')
    every = recent(metric, AGENT.labels, "15m", matchers='{le="+Inf"}')
    expr = f"1 - {below}\n/ ({every} >= {limits.floor_calls:g})\n> {limits.ratio:g}"
    summary = f"Agent <agent>: <%> of its calls fill over 90 % of the context window and pay for all of it; {_AGENT_SPENT}"
    return Alert("CostspanContextNearLimit", WARNING, "efficiency", AGENT, expr, summary, for_=limits.for_)


def _per_run(knobs: Thresholds) -> Alert:
    run, limits = names.WORKFLOW_COST_PER_RUN, knobs.cost_per_run
    before = f"{run}[7d:1h] offset 1d"
    expr = f"""{run} > {limits.ratio:g} * avg_over_time({before})
and {run} - avg_over_time({before}) > {limits.floor_usd:g}
and count_over_time({before}) >= 24"""
    over = f"over {limits.ratio:g} times the week before"
    summary = f"A successful run of <workflow> cost <$4> on average in the last day, {over}; {_SPENT_TODAY}"
    return Alert("CostspanCostPerRunRegression", WARNING, "efficiency", WORKFLOW, expr, summary, for_=limits.for_)


def _duplicates() -> Alert:
    seen = recent(names.DUPLICATE_SPANS, (*JOB.labels, "kept", "dropped"), "1h")
    summary = (
        "<n> span(s) of <dropped> told again of calls that <kept> had reported. They were folded and are counted once; "
        f"other tools on the same spans may bill them twice. {_BOOKED}"
    )
    return Alert("CostspanDuplicateLayers", INFO, "data", JOB, f"{seen} > 0", summary)


def _price_table(knobs: Thresholds) -> Alert:
    days = knobs.price_table.days
    expr = f"(time() - min {by(JOB.labels)} ({names.PRICE_TABLE_TIMESTAMP} > 0)) / 86400 > {days:g}"
    summary = f"The price table of <job> is <n> days old, over {days:g}: prices may have changed since. {_BOOKED}"
    return Alert("CostspanPriceTableOld", WARNING, "data", JOB, expr, summary, for_=knobs.price_table.for_)


def _blind(knobs: Thresholds) -> Alert:
    """A counter without a created timestamp: what it held when it was first seen cannot be told from old spend."""
    counter = names.WORKFLOW_COST_USD
    summary = (
        "<n> spend counter(s) of <job> have no created timestamp: what they held when first seen "
        f"(<usd-day {names.WORKFLOW_COST_UNBOOKED}> in the last day) is not in the ledger. {_BOOKED}"
    )
    return Alert(
        "CostspanLedgerBlind",
        WARNING,
        "telemetry",
        JOB,
        f"count {by(JOB.labels)} ({counter} unless {created(counter)}) > 0",
        summary,
        for_=knobs.telemetry.blind_for,
    )


def _target_down(knobs: Thresholds) -> Alert:
    # Targets that showed costspan's metrics in the last hour are watched whatever their job is called.
    ours = f"last_over_time({names.BUILD_INFO}[1h])"
    return Alert(
        "CostspanTargetDown",
        WARNING,
        "telemetry",
        JOB,
        f'up{{job=~"{knobs.rules.jobs}"}} == 0\nor (up == 0 and on (job, instance) {ours})',
        f"<instance> of <job> cannot be scraped: what it spends shows only when it is back. {_BOOKED}",
        for_=knobs.telemetry.down_for,
        debug_url=THIS_PROCESS,
    )


def _missing(knobs: Thresholds) -> Alert:
    after = knobs.telemetry.missing_after
    return Alert(
        "CostspanTelemetryMissing",
        CRITICAL,
        "telemetry",
        EVERYTHING,
        f"absent_over_time({names.BUILD_INFO}[{after}])",
        f"No costspan metrics for {after}: budgets and limits are blind. {_BOOKED}",
        for_=knobs.telemetry.missing_for,  # keeps it quiet while Prometheus itself starts, before its first scrape
    )


def _watchdog() -> Alert:
    summary = f"Cost alerting works (this alert always fires). {_BOOKED}"
    return Alert("CostspanWatchdog", NONE, "watchdog", EVERYTHING, "vector(1)", summary)
