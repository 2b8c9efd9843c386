"""The plain data that every stage takes and returns. Imports nothing of ours but the
decorator that makes them, holds no behaviour beyond arithmetic.

Units are in the names: `_tokens`, `_usd`, `_seconds`, `_ns` (nanoseconds since the epoch). `None` means not known, never 0.
Money is `Decimal`; it is added with `MONEY`, a context of our own, because the host may have changed the precision
of its default context and a sum must still be exact.
"""

from __future__ import annotations

from dataclasses import field
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

MONEY: Final = Context(prec=60)
"""Decimal context in which money is multiplied and added: exact for any amount a table can hold."""
ZERO: Final = Decimal(0)

REPORTED: Final = "reported"
ESTIMATED: Final = "estimated"
MISSING: Final = "missing"


def trace_hex(number: int) -> str:
    """A trace id as 32 hex digits (five times as fast as formatting it)."""
    return number.to_bytes(16, "big").hex() if 0 <= number < 1 << 128 else f"{number:032x}"


def span_hex(number: int) -> str:
    """A span id as 16 hex digits."""
    return number.to_bytes(8, "big").hex() if 0 <= number < 1 << 64 else f"{number:016x}"


@frozen
class Usage:
    """Token counts of one call, or of a sum of calls.

    `input_tokens` is inclusive of cache reads, cache writes and audio; `output_tokens` of reasoning and audio (OTel GenAI).
    `cache_write_tokens` is all writes, `cache_write_1h_tokens` the part of them kept for an hour (Anthropic).
    `source` is the evidence: `reported`, `estimated` or `missing`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    source: str = REPORTED

    @property
    def total_tokens(self) -> int | None:
        """Input plus output; None when neither is known, the known one when only one is."""
        if self.input_tokens is None:
            return self.output_tokens
        return self.input_tokens + (self.output_tokens or 0)


COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
"""The counts of a `Usage`, in its order."""
NO_USAGE: Final = Usage(source=MISSING)


@frozen
class Cost:
    """What one call cost. `by_type` adds up to `amount_usd` exactly; its keys are `conventions.COST_TYPES`.

    `source` is `provider`, `override` or `table`; `ref` names the price row: `provider/model@start date`.
    """

    amount_usd: Decimal
    by_type: Mapping[str, Decimal]
    source: str
    ref: str


@frozen
class Unpriced:
    """Why a call has no cost: one of `conventions.UNPRICED_REASONS`, and a line for people."""

    reason: str
    detail: str = ""

    @property
    def amount_usd(self) -> None:
        """Unknown, so that `price.amount_usd` may be asked of either answer."""
        return


class Owner(NamedTuple):
    """Who a call belongs to, from its nearest enclosing spans."""

    workflow: str | None = None
    agent: str | None = None
    step: str | None = None
    tool: str | None = None


NOBODY: Final = Owner()


class ActiveRun(NamedTuple):
    """A run in flight, as gauges and `/debug/runs` show it."""

    id: str
    workflow: str | None
    trace_id: str
    started_ns: int
    calls: int
    tokens: int
    cost_usd: Decimal


CALL: Final = "call"
AGENT: Final = "agent"
TOOL: Final = "tool"
STEP: Final = "step"
RUN: Final = "run"
REMOTE: Final = "remote"
"""The kind of what encloses work of this process but is open in another one. No span has it."""


@frozen
class Duplicate:
    """A span that told of a call which another span already told of."""

    span_id: str
    trace_id: str
    scope: str
    usage: Usage


@frozen
class Call:
    """One billed request to a model, once. `id` and `trace_id` are hex span and trace ids.

    `model` is the canonical id prices and labels use; what the provider wrote is in `request_model` and `response_model`.
    `cost` None means unpriced, and `unpriced` then says why (or usage is missing). `outcome` is ok, error or cancelled.
    `refused`: the provider turned the request down (a status error such as 429), so that there was nothing to bill; or, with
    `missing_reason` "not_sent", nothing has reached it.
    """

    id: str
    trace_id: str
    provider: str | None
    model: str | None
    usage: Usage
    owner: Owner = NOBODY
    cost: Cost | None = None
    unpriced: Unpriced | None = None
    parent_id: str | None = None
    operation: str = "chat"
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    started_ns: int = 0
    ended_ns: int = 0
    time_to_first_token_seconds: float | None = None
    finish_reason: str | None = None
    outcome: str = "ok"
    error_type: str | None = None
    stream: bool = False
    service_tier: str | None = None
    batch: bool = False
    fees: Mapping[str, int] | None = None
    missing_reason: str | None = None
    refused: bool = False
    cache_hit: bool = False
    retry_count: int = 0
    waste: str | None = None
    metered: bool = False
    context_window_tokens: int | None = None
    conversation_id: str | None = None
    request_lengths: str | None = None
    request_hash: str | None = None
    scope: str = ""
    dialect: str = ""
    estimator: str | None = None
    problems: tuple[str, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()

    @property
    def duration_seconds(self) -> float:
        return max(0, self.ended_ns - self.started_ns) / 1e9


@frozen
class Coverage:
    """How much of a total is measured. `reported + estimated + missing + refused == calls` (cache hits are not calls).

    `priced_calls` have a cost. `share` is the part of the billed calls (all but the refused) that are both reported and
    priced, None without any.
    """

    calls: int = 0
    reported_calls: int = 0
    estimated_calls: int = 0
    missing_calls: int = 0
    refused_calls: int = 0
    priced_calls: int = 0
    share: float | None = None


@frozen
class Totals:
    """A sum of calls. `cost_usd` is None when no call had a price. `cost_by_type` and `cost_by_source` add up to it."""

    calls: int = 0
    usage: Usage = NO_USAGE
    cost_usd: Decimal | None = None
    cost_by_type: Mapping[str, Decimal] = field(default_factory=dict)
    cost_by_source: Mapping[str, Decimal] = field(default_factory=dict)
    price_refs: tuple[str, ...] = ()
    coverage: Coverage = Coverage()
    errors: int = 0
    cache_hits: int = 0
    duration_seconds: float = 0.0


@frozen
class AgentTotals:
    """One agent of a run. Only `self_totals` may be summed over agents; `subtree` includes the agents it invoked."""

    name: str
    self_totals: Totals
    subtree: Totals
    steps: int = 0
    models: tuple[str, ...] = ()


@frozen
class ToolTotals:
    """One tool of a run (the tool bill). `nested` is exact: calls made inside the tool. `call`, `result`, `carried` are
    allocations of the calling agents' tokens, None where they cannot be told. None of them may be added to agents' totals."""

    name: str
    calls: int = 0
    errors: int = 0
    duration_seconds: float = 0.0
    agents: tuple[str, ...] = ()
    nested: Totals = Totals()
    call_tokens: int | None = None
    call_cost_usd: Decimal | None = None
    result_tokens: int | None = None
    result_cost_usd: Decimal | None = None
    carried_tokens: int | None = None
    carried_cost_usd: Decimal | None = None

    @property
    def tokens_per_call(self) -> float | None:
        """(nested + result) tokens over calls: what the tool made the run read and spend; None when neither is known."""
        known = [n for n in (self.nested.usage.total_tokens, self.result_tokens) if n is not None]
        return sum(known) / self.calls if known and self.calls else None


@frozen
class Step:
    """One line of the execution log: one execution of an agent, task or graph node, in time order."""

    index: int
    agent: str | None
    name: str
    started_ns: int
    ended_ns: int
    totals: Totals
    outcome: str = "ok"

    @property
    def duration_seconds(self) -> float:
        return max(0, self.ended_ns - self.started_ns) / 1e9

    @property
    def tokens_per_second(self) -> float | None:
        """None where no time is known for the calls: one that was recorded after the fact, without its duration."""
        tokens = self.totals.usage.total_tokens
        known = self.duration_seconds > 0 and self.totals.duration_seconds > 0
        return tokens / self.duration_seconds if tokens is not None and known else None


@frozen
class ModelTotals:
    """One (provider, model) of a run."""

    provider: str | None
    model: str | None
    totals: Totals
    context_window_tokens: int | None = None


@frozen
class Waste:
    """Tokens and dollars that bought nothing, by reason (`conventions.WASTE_REASONS`) and agent."""

    reason: str
    agent: str | None
    calls: int
    tokens: int | None
    cost_usd: Decimal | None


@frozen
class Efficiency:
    """Ratios of a run; None where the denominator is 0 or unknown. Percentages are 0..100, ratios 0..1 or plain quotients."""

    average_tokens_per_agent: float | None = None
    max_agent_tokens: int | None = None
    max_agent: str | None = None
    input_output_ratio: float | None = None
    cache_hit_ratio: float | None = None
    output_tokens_per_second: float | None = None
    context_window_peak_percent: float | None = None
    cost_per_step_usd: Decimal | None = None


@frozen
class Run:
    """The outermost unit: what the console summary and the JSON record describe.

    Conservation: `totals` == sum of `agents[].self_totals` + `unattributed`, to the token and the last decimal.
    `notes` are clear lines about what is partial (spans dropped, a call that never ended, an input cut short).
    """

    id: str
    workflow: str | None
    started_ns: int
    ended_ns: int
    outcome: str
    trace_ids: tuple[str, ...]
    totals: Totals
    agents: tuple[AgentTotals, ...] = ()
    tools: tuple[ToolTotals, ...] = ()
    steps: tuple[Step, ...] = ()
    models: tuple[ModelTotals, ...] = ()
    calls: tuple[Call, ...] = ()
    unattributed: Totals = Totals()
    waste: tuple[Waste, ...] = ()
    efficiency: Efficiency = Efficiency()
    notes: tuple[str, ...] = ()

    @property
    def duration_seconds(self) -> float:
        return max(0, self.ended_ns - self.started_ns) / 1e9
