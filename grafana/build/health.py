"""Health of the measurement: how far the other dashboards can be trusted."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import dashboard, row
from grafana.build.promql import STEP, ratio, share, total, where

from costspan import conventions as names

UID: Final = "costspan-health"
_ALL: Final = where()


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Health of the measurement",
        "How far the other dashboards can be trusted: what was not told, not priced, told twice, or belongs to nobody.",
        since="now-6h",
    )
    row(frame, "How much is measured?", _figures())
    row(frame, "What is missing?", _missing())
    row(frame, "What was told twice, and what went wrong?", _wrong())
    return frame


def _figures() -> list[Any]:
    known = total(f"{names.CALL_TOKENS}_count", f'{_ALL}, direction="input", usage_source="reported"')
    answered = total(f"{names.CALL_TOKENS}_count", f'{_ALL}, direction="input", usage_source!="missing"')
    unreported, unpriced = total(names.UNREPORTED_CALLS, _ALL), total(names.UNPRICED_CALLS, _ALL)
    tokens = total(names.TOKENS, _ALL)
    ledger = f"sum(sum_over_time({names.WORKFLOW_COST_DELTA}{{{_ALL}}}[$__range]))"
    age = f"(time() - min({names.PRICE_TABLE_TIMESTAMP}{{{_ALL}}} > 0)) / 86400"
    return [
        p.number("Coverage", "Share of the billed calls whose usage was told and whose price is known.",
                 ratio(f"({known} - ({unpriced} or vector(0)))", f"({answered} + ({unreported} or vector(0)))"), p.SHARE,
                 steps=((None, "red"), (0.95, "orange"), (0.999, "green")), nothing="No calls"),
        p.number("Estimated", "Share of the tokens that costspan estimated because nobody told them.",
                 share(total(names.TOKENS, f'{_ALL}, usage_source="estimated"'), tokens), p.SHARE,
                 steps=((None, "green"), (0.05, "orange"), (0.2, "red")), nothing="No calls"),
        p.number("Without an owner", "Share of the tokens of calls that belong to no agent.",
                 share(total(names.UNATTRIBUTED_TOKENS, _ALL), tokens), p.SHARE,
                 steps=((None, "green"), (0.05, "orange"), (0.2, "red")), nothing="No calls"),
        p.number("Internal errors", "Errors of costspan itself that it kept from your programs. Should stay 0.",
                 f"{total(names.INTERNAL_ERRORS, _ALL)} or vector(0)", p.COUNT, steps=((None, "green"), (1, "red"))),
        p.number("Age of the price table", "Prices may have changed since; a new costspan brings a new table.", age, "d",
                 steps=((None, "green"), (45, "orange"), (90, "red")), nothing="Nothing priced yet"),
        p.number("Ledger less calls", "Dollars of the spend ledger less those of the calls. Near 0; a difference is what a "
                 "restart hid from the split by agent and model, or dollars from before the ledger.",
                 f"{ledger} - {total(names.COST_USD, _ALL)}", p.USD, nothing="No spend recorded"),
    ]  # fmt: skip


def _missing() -> list[Any]:
    which = {"provider": "Provider", "model": "Model", "reason": "Reason"}
    by = tuple(which)
    model = ("Model", p.link("Model ${__value.text}", "costspan-models", "model"))
    return [
        p.listing("Calls without a price", "Their tokens are counted, their dollars are in no total. A price file "
                  "(COSTSPAN_PRICES) mends it.", f"{total(names.UNPRICED_CALLS, _ALL, by=by)} > 0", which,
                  p.Column("", "Calls", bar=True), to=model, nothing="None"),
        p.listing("Calls without usage", "Billed, but nobody told how much: streams without usage, aborted calls.",
                  f"{total(names.UNREPORTED_CALLS, _ALL, by=by)} > 0", which, p.Column("", "Calls", bar=True), to=model,
                  nothing="None"),
        p.bars("Missing over time", "Calls of each interval that are in no total.", [
            p.Query(total(names.UNPRICED_CALLS, _ALL, by=("reason",), window=STEP), "no price: {{reason}}"),
            p.Query(total(names.UNREPORTED_CALLS, _ALL, by=("reason",), window=STEP), "no usage: {{reason}}"),
        ], p.COUNT),
        p.ranking("Where prices came from", "Dollars by source: told by the provider, your price file, the table.",
                  p.Query(total(names.COST_USD, _ALL, by=("price_source",)), "{{price_source}}"), p.USD, size=(6, 8),
                  nothing="No spend"),
        p.ranking("Where usage came from", "Tokens by source: reported by the provider, or estimated.",
                  p.Query(total(names.TOKENS, _ALL, by=("usage_source",)), "{{usage_source}}"), p.COUNT, size=(6, 8),
                  nothing="No calls"),
    ]  # fmt: skip


def _wrong() -> list[Any]:
    blind = f"sum by (job, workflow) (sum_over_time({names.WORKFLOW_COST_UNBOOKED}{{{_ALL}}}[$__range])) > 0"
    return [
        p.listing("Folded duplicates", "Spans that told of a call which another layer had told already. costspan counted them "
                  "once; other tools that read the same spans may bill them twice.",
                  f"{total(names.DUPLICATE_SPANS, _ALL, by=('kept', 'dropped'))} > 0",
                  {"kept": "Counted", "dropped": "Told again by"}, p.Column("", "Spans", bar=True), size=(8, 8), nothing="None"),
        p.bars("Internal errors by place", "Errors of costspan itself in each interval.",
               [p.Query(total(names.INTERNAL_ERRORS, _ALL, by=("where",), window=STEP), "{{where}}")], p.COUNT, size=(8, 8)),
        p.bars("Duplicates over time", "Folded spans of each interval.",
               [p.Query(total(names.DUPLICATE_SPANS, _ALL, by=("dropped",), window=STEP), "{{dropped}}")], p.COUNT, size=(8, 8)),
        p.listing("Dollars that the ledger could not book", "What counters without a created timestamp held when they were first "
                  "seen (several workers in one directory). It is in no budget.", blind,
                  {"job": "Service", "workflow": "Workflow"}, p.Column("", "Dollars", p.USD), size=(12, 7), nothing="None"),
        p.listing("Versions in use", "Processes by version of costspan.",
                  f"count by (version, job) ({names.BUILD_INFO}{{{_ALL}}})", {"job": "Service", "version": "Version"},
                  p.Column("", "Processes"), size=(12, 7), nothing="No process is being scraped"),
    ]  # fmt: skip
