"""What each metric is: its kind, its help line, its unit and its buckets. The names and labels are in `conventions`.

Buckets: at most ten finite ones, each at a figure that an alert or a person asks about (5 USD, 200 calls, 1,000,000
tokens a run, 0.9 of a context window), so that an answer at that figure is exact and not interpolated.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from costspan import conventions as names

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

USD: Final = "{USD}"
SECONDS: Final = "s"
TOKENS: Final = "{token}"
CALLS: Final = "{call}"
RUNS: Final = "{run}"
SPANS: Final = "{span}"
ERRORS: Final = "{error}"
NONE: Final = ""


class Spec(NamedTuple):
    """One metric. `unit` is a UCUM unit; those in braces are only a remark and never part of a name."""

    name: str
    kind: str
    unit: str
    help: str
    bounds: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return names.LABELS[self.name]


_CALL_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0)
_FIRST_TOKEN_SECONDS: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
_CALL_TOKENS: Final = (100.0, 1e3, 4e3, 16e3, 32e3, 64e3, 128e3, 200e3, 500e3, 1e6)
_RATIO: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 1.0)
_TOOL_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
_RUN_USD: Final = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0)
_RUN_TOKENS: Final = (1e3, 5e3, 10e3, 50e3, 100e3, 250e3, 500e3, 1e6, 2e6, 10e6)
_RUN_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
_RUN_CALLS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

_ALL: Final = (
    Spec(names.TOKENS, COUNTER, TOKENS, "Tokens of model calls, each call once; token types add up to the total."),
    Spec(names.COST_USD, COUNTER, USD, "Dollars of model calls, each call once; cost types add up to the total."),
    Spec(names.WORKFLOW_COST_USD, COUNTER, USD, "Dollars of model calls by workflow; the counter that alert rules read."),
    Spec(names.CALLS, COUNTER, CALLS, "Model calls by outcome."),
    Spec(names.CALL_DURATION, HISTOGRAM, SECONDS, "Duration of model calls.", _CALL_SECONDS),
    Spec(names.TIME_TO_FIRST_TOKEN, HISTOGRAM, SECONDS, "Time to the first token, streams only.", _FIRST_TOKEN_SECONDS),
    Spec(names.CALL_TOKENS, HISTOGRAM, TOKENS, "Input and output tokens of one model call.", _CALL_TOKENS),
    Spec(names.CONTEXT_RATIO, HISTOGRAM, NONE, "Input plus output of one call over its model's context window.", _RATIO),
    Spec(names.AGENT_CALL_TOKENS_MAX, GAUGE, TOKENS, "Tokens of the agent's largest call since the process began."),
    Spec(names.TOOL_CALLS, COUNTER, CALLS, "Tool calls by outcome."),
    Spec(names.TOOL_DURATION, HISTOGRAM, SECONDS, "Duration of tool calls.", _TOOL_SECONDS),
    Spec(names.TOOL_TOKENS, COUNTER, TOKENS, "Tokens that a tool causes, by part of the tool bill; never add to agents' tokens."),
    Spec(names.TOOL_COST_USD, COUNTER, USD, "Dollars that a tool causes, by part of the tool bill; never add to agents' cost."),
    Spec(names.RUNS, COUNTER, RUNS, "Finished runs by outcome."),
    Spec(names.RUN_COST_USD, HISTOGRAM, USD, "Dollars of one finished run.", _RUN_USD),
    Spec(names.RUN_TOKENS, HISTOGRAM, TOKENS, "Tokens of one finished run.", _RUN_TOKENS),
    Spec(names.RUN_DURATION, HISTOGRAM, SECONDS, "Duration of one finished run.", _RUN_SECONDS),
    Spec(names.RUN_CALLS, HISTOGRAM, CALLS, "Model calls of one finished run.", _RUN_CALLS),
    Spec(names.ACTIVE_RUNS, GAUGE, RUNS, "Runs in flight."),
    Spec(names.ACTIVE_RUN_CALLS_MAX, GAUGE, CALLS, "Model calls so far of the run in flight that has most."),
    Spec(names.ACTIVE_RUN_TOKENS_MAX, GAUGE, TOKENS, "Tokens so far of the run in flight that has most."),
    Spec(names.ACTIVE_RUN_COST_USD_MAX, GAUGE, USD, "Dollars so far of the run in flight that has cost most."),
    Spec(names.UNPRICED_CALLS, COUNTER, CALLS, "Calls whose usage is known and whose price is not."),
    Spec(names.UNREPORTED_CALLS, COUNTER, CALLS, "Calls whose usage nobody told."),
    Spec(names.WASTED_TOKENS, COUNTER, TOKENS, "Tokens that bought nothing; part of the tokens above."),
    Spec(names.WASTED_COST_USD, COUNTER, USD, "Dollars that bought nothing; part of the dollars above."),
    Spec(names.DUPLICATE_SPANS, COUNTER, SPANS, "Spans that told of a call which another span already told of."),
    Spec(names.UNATTRIBUTED_TOKENS, COUNTER, TOKENS, "Tokens of calls that belong to no agent; part of the tokens above."),
    Spec(names.BUDGET_LIMIT_USD, GAUGE, USD, "Limit of a budget in dollars."),
    Spec(names.BUDGET_SPENT_USD, GAUGE, USD, "Dollars spent of a budget in its running period."),
    Spec(names.BUDGET_LIMIT_TOKENS, GAUGE, TOKENS, "Limit of a budget in tokens."),
    Spec(names.BUDGET_SPENT_TOKENS, GAUGE, TOKENS, "Tokens spent of a budget in its running period."),
    Spec(names.BUDGET_BLOCKED, COUNTER, CALLS, "Calls that a budget stopped before they were made."),
    Spec(names.INTERNAL_ERRORS, COUNTER, ERRORS, "Errors of costspan itself that it kept from the program, by place."),
    Spec(names.BUILD_INFO, GAUGE, NONE, "Always 1; the version of costspan is its label."),
    Spec(names.PRICE_TABLE_TIMESTAMP, GAUGE, SECONDS, "When the price table was made, in seconds since the epoch."),
)

SPECS: Final[dict[str, Spec]] = {spec.name: spec for spec in _ALL}
"""Every metric by name, in the order in which they are exposed."""

UNCOUNTED: Final = frozenset({"token_type", "cost_type"})
"""Labels that do not count as combinations: the closed lists that split one booking into its parts."""
FREE: Final = frozenset({"provider", "model", "agent", "workflow", "tool", "kept", "dropped", "budget", "where", "version"})
"""Labels whose values come from outside; these become `_other` when there are too many. The rest are closed lists."""
