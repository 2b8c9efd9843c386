"""Every span attribute, metric, label, unit and scope name that costspan writes, in one place.

Names of the OpenTelemetry GenAI conventions are the newest ones (semantic-conventions-genai, 2026-10).
They are constants of our own, because the released `opentelemetry-semantic-conventions` package marks its
GenAI names as moved and lacks the newer ones. Names that only other emitters write belong to
`normalise/span_<dialect>.py`, not here.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "costspan"
"""Instrumentation scope of every span that our own hooks open."""

# --- OTel GenAI: what happened -------------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
REQUEST_STREAM: Final = "gen_ai.request.stream"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
ERROR_TYPE: Final = "error.type"
HTTP_STATUS_CODE: Final = "http.response.status_code"
"""On a call that the provider turned down: such a request is not billed."""

# Values of OPERATION_NAME.
CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
GENERATE_CONTENT: Final = "generate_content"
EMBEDDINGS: Final = "embeddings"
RETRIEVAL: Final = "retrieval"
INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_WORKFLOW: Final = "invoke_workflow"
CALL_OPERATIONS: Final = frozenset({CHAT, TEXT_COMPLETION, GENERATE_CONTENT, EMBEDDINGS})
"""Operations whose spans are model calls: the only ones that carry usage and cost."""

# --- OTel GenAI: usage (input inclusive of cache, output inclusive of reasoning) --------------------
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
CACHE_WRITE_1H_TOKENS: Final = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
OPENAI_SERVICE_TIER: Final = "openai.response.service_tier"
ANTHROPIC_SERVICE_TIER: Final = "anthropic.response.service_tier"

# --- Cost (open proposal semantic-conventions-genai #443) and context window (names of Sentry) ------
COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
COST_SOURCE: Final = "gen_ai.usage.cost.source"
CONTEXT_WINDOW_SIZE: Final = "gen_ai.context.window_size"
CONTEXT_UTILIZATION: Final = "gen_ai.context.utilization"

# --- Ours: what OTel has no name for ----------------------------------------------------------------
RUN_ID: Final = "costspan.run.id"
STEP: Final = "costspan.step"
TOOL: Final = "costspan.tool"
KIND: Final = "costspan.kind"
"""`run` | `agent` | `step` | `tool` | `call`: what one of our own spans is."""
USAGE_SOURCE: Final = "costspan.usage.source"
ESTIMATOR: Final = "costspan.usage.estimator"
"""Who made an estimated usage, such as `toktok o200k_base x1.13 (low confidence)`."""
USAGE_PROBLEMS: Final = "costspan.usage.problems"
"""Short words on what is wrong with the usage that was told, such as `inconsistent_usage`."""
PRICE_SOURCE: Final = "costspan.price.source"
PRICE_REF: Final = "costspan.price.ref"
DUPLICATE_OF: Final = "costspan.duplicate_of"
CACHE_HIT: Final = "costspan.cache_hit"
RETRY_COUNT: Final = "costspan.retry.count"
WASTE: Final = "costspan.waste"
METERED: Final = "costspan.metered"
"""True on a call that the metrics of its own process have counted."""
METERED_ROAD: Final = "costspan.metered.road"
"""By which road those metrics went: PROMETHEUS, OTLP (to the address that the span itself goes to), ELSEWHERE."""
PROMETHEUS: Final = "prometheus"
OTLP: Final = "otlp"
ELSEWHERE: Final = "elsewhere"
BATCH: Final = "costspan.batch"
FEES: Final = "costspan.fees"
REQUEST_HASH: Final = "costspan.request.hash"
REQUEST_LENGTHS: Final = "costspan.request.lengths"
STATED_COST: Final = "costspan.stated_cost_usd"
"""What the provider itself said the call cost (OpenRouter `usage.cost`), before it is priced."""
MISSING_REASON: Final = "costspan.usage.missing_reason"
"""Why a billed call has no usage: one of UNREPORTED_REASONS; or NOT_SENT, which nobody bills."""
NOT_SENT: Final = "not_sent"
SELF_INPUT_TOKENS: Final = "costspan.self.input_tokens"
SELF_OUTPUT_TOKENS: Final = "costspan.self.output_tokens"
SELF_COST_USD: Final = "costspan.self.cost_usd"
SELF_CALLS: Final = "costspan.self.calls"
SUBTREE_INPUT_TOKENS: Final = "costspan.subtree.input_tokens"
SUBTREE_OUTPUT_TOKENS: Final = "costspan.subtree.output_tokens"
SUBTREE_COST_USD: Final = "costspan.subtree.cost_usd"
SUBTREE_CALLS: Final = "costspan.subtree.calls"

GENAI_CALL_CONTEXT_KEY: Final = "opentelemetry.genai.client.inference.context"
"""OTel Context key by which an outer layer tells the official instrumentations that it reports the call."""

# --- Metric names ------------------------------------------------------------------------------------
TOKENS: Final = "costspan_tokens_total"
COST_USD: Final = "costspan_cost_usd_total"
WORKFLOW_COST_USD: Final = "costspan_workflow_cost_usd_total"
CALLS: Final = "costspan_calls_total"
CALL_DURATION: Final = "costspan_call_duration_seconds"
TIME_TO_FIRST_TOKEN: Final = "costspan_time_to_first_token_seconds"
CALL_TOKENS: Final = "costspan_call_tokens"
CONTEXT_RATIO: Final = "costspan_context_utilization_ratio"
AGENT_CALL_TOKENS_MAX: Final = "costspan_agent_call_tokens_max"
TOOL_CALLS: Final = "costspan_tool_calls_total"
TOOL_DURATION: Final = "costspan_tool_duration_seconds"
TOOL_TOKENS: Final = "costspan_tool_tokens_total"
TOOL_COST_USD: Final = "costspan_tool_cost_usd_total"
RUNS: Final = "costspan_runs_total"
RUN_COST_USD: Final = "costspan_run_cost_usd"
RUN_TOKENS: Final = "costspan_run_tokens"
RUN_DURATION: Final = "costspan_run_duration_seconds"
RUN_CALLS: Final = "costspan_run_calls"
ACTIVE_RUNS: Final = "costspan_active_runs"
ACTIVE_RUN_CALLS_MAX: Final = "costspan_active_run_calls_max"
ACTIVE_RUN_TOKENS_MAX: Final = "costspan_active_run_tokens_max"
ACTIVE_RUN_COST_USD_MAX: Final = "costspan_active_run_cost_usd_max"
UNPRICED_CALLS: Final = "costspan_unpriced_calls_total"
UNREPORTED_CALLS: Final = "costspan_unreported_calls_total"
WASTED_TOKENS: Final = "costspan_wasted_tokens_total"
WASTED_COST_USD: Final = "costspan_wasted_cost_usd_total"
DUPLICATE_SPANS: Final = "costspan_duplicate_spans_total"
UNATTRIBUTED_TOKENS: Final = "costspan_unattributed_tokens_total"
BUDGET_LIMIT_USD: Final = "costspan_budget_limit_usd"
BUDGET_SPENT_USD: Final = "costspan_budget_spent_usd"
BUDGET_LIMIT_TOKENS: Final = "costspan_budget_limit_tokens"
BUDGET_SPENT_TOKENS: Final = "costspan_budget_spent_tokens"
BUDGET_BLOCKED: Final = "costspan_budget_blocked_total"
INTERNAL_ERRORS: Final = "costspan_internal_errors_total"
BUILD_INFO: Final = "costspan_build_info"
PRICE_TABLE_TIMESTAMP: Final = "costspan_price_table_timestamp_seconds"

LABELS: Final[dict[str, tuple[str, ...]]] = {
    TOKENS: ("provider", "model", "agent", "workflow", "token_type", "usage_source"),
    COST_USD: ("provider", "model", "agent", "workflow", "cost_type", "price_source"),
    WORKFLOW_COST_USD: ("workflow",),
    CALLS: ("provider", "model", "agent", "outcome"),
    CALL_DURATION: ("provider", "model"),
    TIME_TO_FIRST_TOKEN: ("provider", "model"),
    CALL_TOKENS: ("model", "direction", "usage_source"),
    CONTEXT_RATIO: ("agent",),
    AGENT_CALL_TOKENS_MAX: ("agent",),
    TOOL_CALLS: ("agent", "tool", "outcome"),
    TOOL_DURATION: ("tool",),
    TOOL_TOKENS: ("tool", "part"),
    TOOL_COST_USD: ("tool", "part"),
    RUNS: ("workflow", "outcome"),
    RUN_COST_USD: ("workflow",),
    RUN_TOKENS: ("workflow",),
    RUN_DURATION: ("workflow",),
    RUN_CALLS: ("workflow",),
    ACTIVE_RUNS: ("workflow",),
    ACTIVE_RUN_CALLS_MAX: ("workflow",),
    ACTIVE_RUN_TOKENS_MAX: ("workflow",),
    ACTIVE_RUN_COST_USD_MAX: ("workflow",),
    UNPRICED_CALLS: ("provider", "model", "reason"),
    UNREPORTED_CALLS: ("provider", "model", "reason"),
    WASTED_TOKENS: ("agent", "reason"),
    WASTED_COST_USD: ("agent", "reason"),
    DUPLICATE_SPANS: ("kept", "dropped"),
    UNATTRIBUTED_TOKENS: (),
    BUDGET_LIMIT_USD: ("budget",),
    BUDGET_SPENT_USD: ("budget",),
    BUDGET_LIMIT_TOKENS: ("budget",),
    BUDGET_SPENT_TOKENS: ("budget",),
    BUDGET_BLOCKED: ("budget",),
    INTERNAL_ERRORS: ("where",),
    BUILD_INFO: ("version",),
    PRICE_TABLE_TIMESTAMP: (),
}
"""Labels of each metric. A run, trace, conversation or user is never a label."""

# --- Written by recording rules (level:metric:operation), read by alerts and dashboards ------------------
TARGET_LABELS: Final = ("job", "instance", "environment")
"""Labels that the scraper gives to every series (`service.name` is `job`, `deployment.environment.name` is `environment`)."""
_WORKFLOW: Final = ("job", "environment", "workflow")
_BUDGET: Final = ("budget",)

LEDGER_HEARTBEAT: Final = "ledger:costspan_rules:heartbeat_seconds"
LEDGER_CALENDAR: Final = "ledger:costspan_rules:calendar"
INSTANCE_COST_SEEN: Final = "instance:costspan_cost_usd:seen"
INSTANCE_COST_BORN: Final = "instance:costspan_cost_usd:born"
INSTANCE_COST_BEFORE: Final = "instance:costspan_cost_usd:before"
INSTANCE_RUNS_OK_SEEN: Final = "instance:costspan_runs_ok:seen"
INSTANCE_RUNS_OK_BORN: Final = "instance:costspan_runs_ok:born"
INSTANCE_RUNS_OK_BEFORE: Final = "instance:costspan_runs_ok:before"
INSTANCE_BUDGET_SEEN: Final = "instance:costspan_budget_usd:seen"
INSTANCE_BUDGET_BORN: Final = "instance:costspan_budget_usd:born"
INSTANCE_BUDGET_BEFORE: Final = "instance:costspan_budget_usd:before"
WORKFLOW_COST_DELTA: Final = "workflow:costspan_cost_usd:delta"
WORKFLOW_COST_UNBOOKED: Final = "workflow:costspan_cost_usd:unbooked"
WORKFLOW_COST_LAST_HOUR: Final = "workflow:costspan_cost_usd:last1h"
WORKFLOW_COST_HOURLY_5M: Final = "workflow:costspan_cost_usd_per_hour:avg5m"
WORKFLOW_COST_HOURLY_10M: Final = "workflow:costspan_cost_usd_per_hour:avg10m"
WORKFLOW_COST_HOURLY_30M: Final = "workflow:costspan_cost_usd_per_hour:avg30m"
WORKFLOW_COST_HOURLY_6H: Final = "workflow:costspan_cost_usd_per_hour:avg6h"
WORKFLOW_COST_HOURLY_1D: Final = "workflow:costspan_cost_usd_per_hour:avg1d"
WORKFLOW_DAY_COST_DELTA: Final = "workflow_day:costspan_cost_usd:delta"
WORKFLOW_DAY_COST: Final = "workflow_day:costspan_cost_usd:sum"
WORKFLOW_COST_TODAY: Final = "workflow:costspan_cost_usd:today"
WORKFLOW_COST_MONTH: Final = "workflow:costspan_cost_usd:month_to_date"
WORKFLOW_COST_FORECAST: Final = "workflow:costspan_cost_usd:month_forecast"
WORKFLOW_RUNS_OK_DELTA: Final = "workflow:costspan_runs_ok:delta"
WORKFLOW_COST_PER_RUN: Final = "workflow:costspan_cost_usd_per_run_ok:avg1d"
AGENT_COST_LAST_HOUR: Final = "agent:costspan_cost_usd:last1h"
AGENT_INPUT_LAST_HOUR: Final = "agent:costspan_input_tokens:last1h"
AGENT_CACHE_RATIO: Final = "agent:costspan_cache_read_tokens:ratio1h"
BUDGET_AGENT_COST_LAST_HOUR: Final = "budget_agent:costspan_cost_usd:last1h"
BUDGET_DAY_LIMIT: Final = "budget:costspan_limit_usd:day"
BUDGET_MONTH_LIMIT: Final = "budget:costspan_limit_usd:month"
BUDGET_HOURLY_LIMIT: Final = "budget:costspan_limit_usd:per_hour"
BUDGET_COST_DELTA: Final = "budget:costspan_cost_usd:delta"
BUDGET_COST_LAST_HOUR: Final = "budget:costspan_cost_usd:last1h"
BUDGET_COST_HOURLY_5M: Final = "budget:costspan_cost_usd_per_hour:avg5m"
BUDGET_COST_HOURLY_30M: Final = "budget:costspan_cost_usd_per_hour:avg30m"
BUDGET_COST_HOURLY_6H: Final = "budget:costspan_cost_usd_per_hour:avg6h"
BUDGET_COST_HOURLY_1D: Final = "budget:costspan_cost_usd_per_hour:avg1d"
BUDGET_DAY_COST_DELTA: Final = "budget_day:costspan_cost_usd:delta"
BUDGET_DAY_COST: Final = "budget_day:costspan_cost_usd:sum"
BUDGET_COST_TODAY: Final = "budget:costspan_cost_usd:today"
BUDGET_COST_MONTH: Final = "budget:costspan_cost_usd:month_to_date"
BUDGET_COST_FORECAST: Final = "budget:costspan_cost_usd:month_forecast"

RECORDED: Final[dict[str, tuple[str, ...]]] = {
    LEDGER_HEARTBEAT: (),
    LEDGER_CALENDAR: ("day", "month"),
    INSTANCE_COST_SEEN: ("instance", *_WORKFLOW),
    INSTANCE_COST_BORN: ("instance", *_WORKFLOW),
    INSTANCE_COST_BEFORE: ("instance", *_WORKFLOW),
    INSTANCE_RUNS_OK_SEEN: ("instance", *_WORKFLOW),
    INSTANCE_RUNS_OK_BORN: ("instance", *_WORKFLOW),
    INSTANCE_RUNS_OK_BEFORE: ("instance", *_WORKFLOW),
    INSTANCE_BUDGET_SEEN: ("instance", "budget", *_WORKFLOW),
    INSTANCE_BUDGET_BORN: ("instance", "budget", *_WORKFLOW),
    INSTANCE_BUDGET_BEFORE: ("instance", "budget", *_WORKFLOW),
    WORKFLOW_COST_DELTA: _WORKFLOW,
    WORKFLOW_COST_UNBOOKED: _WORKFLOW,
    WORKFLOW_COST_LAST_HOUR: _WORKFLOW,
    WORKFLOW_COST_HOURLY_5M: _WORKFLOW,
    WORKFLOW_COST_HOURLY_10M: _WORKFLOW,
    WORKFLOW_COST_HOURLY_30M: _WORKFLOW,
    WORKFLOW_COST_HOURLY_6H: _WORKFLOW,
    WORKFLOW_COST_HOURLY_1D: _WORKFLOW,
    WORKFLOW_DAY_COST_DELTA: (*_WORKFLOW, "day", "month"),
    WORKFLOW_DAY_COST: (*_WORKFLOW, "day", "month"),
    WORKFLOW_COST_TODAY: _WORKFLOW,
    WORKFLOW_COST_MONTH: _WORKFLOW,
    WORKFLOW_COST_FORECAST: _WORKFLOW,
    WORKFLOW_RUNS_OK_DELTA: _WORKFLOW,
    WORKFLOW_COST_PER_RUN: _WORKFLOW,
    AGENT_COST_LAST_HOUR: (*_WORKFLOW, "agent"),
    AGENT_INPUT_LAST_HOUR: ("job", "environment", "agent"),
    AGENT_CACHE_RATIO: ("job", "environment", "agent"),
    BUDGET_AGENT_COST_LAST_HOUR: ("budget", "agent"),
    BUDGET_DAY_LIMIT: _BUDGET,
    BUDGET_MONTH_LIMIT: _BUDGET,
    BUDGET_HOURLY_LIMIT: _BUDGET,
    BUDGET_COST_DELTA: _BUDGET,
    BUDGET_COST_LAST_HOUR: _BUDGET,
    BUDGET_COST_HOURLY_5M: _BUDGET,
    BUDGET_COST_HOURLY_30M: _BUDGET,
    BUDGET_COST_HOURLY_6H: _BUDGET,
    BUDGET_COST_HOURLY_1D: _BUDGET,
    BUDGET_DAY_COST_DELTA: ("budget", "day", "month"),
    BUDGET_DAY_COST: ("budget", "day", "month"),
    BUDGET_COST_TODAY: _BUDGET,
    BUDGET_COST_MONTH: _BUDGET,
    BUDGET_COST_FORECAST: _BUDGET,
}
"""What the rules in `deploy/prometheus/rules/` record, and the labels of each. Days and months are the rules' calendar (UTC).

`…:today` and `…:month_to_date` are dollars; `budget:` series exist only once `costspan rules --budgets` wrote them.
"""

# --- Values of labels and of evidence ------------------------------------------------------------------
TOKEN_TYPES: Final = (
    "input_uncached",
    "input_cache_read",
    "input_cache_write",
    "input_audio",
    "output_visible",
    "output_reasoning",
    "output_audio",
)
"""A partition: the sum over token types is the total, over `input_*` the inclusive input."""
COST_TYPES: Final = (*TOKEN_TYPES, "fee", "unsplit")
OUTCOMES: Final = ("ok", "error", "cancelled")
UNPRICED_REASONS: Final = ("unknown_model", "unknown_provider", "invalid_usage")
UNREPORTED_REASONS: Final = ("stream_without_usage", "aborted", "error", "unknown")
REPEATED: Final = "repeated_call"
WASTE_REASONS: Final = ("failed_parse", "error", "retry", "truncated", REPEATED, "aborted")
TOOL_PARTS: Final = ("nested", "call", "result", "carried")
OTHER_LABEL: Final = "_other"
"""Where the values of a label go once it has too many."""
LABEL_VALUES_MAX: Final = 200
LABEL_COMBINATIONS_MAX: Final = 130
