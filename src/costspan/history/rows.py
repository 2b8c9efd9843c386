"""What queries of the history answer with: plain frozen rows, money as `Decimal` dollars, None where not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from costspan.history.money import from_nano

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Sums:
    """Figures of some calls, in the order of `schema.MEASURES`. Cache hits are no calls. None: no call told it."""

    calls: int = 0
    errors: int = 0
    cache_hits: int = 0
    reported_calls: int = 0
    estimated_calls: int = 0
    missing_calls: int = 0
    refused_calls: int = 0
    priced_calls: int = 0
    measured_calls: int = 0
    duration_ns: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_nano: int | None = None

    @property
    def cost_usd(self) -> Decimal | None:
        """Dollars of the priced calls; None when none was."""
        return from_nano(self.cost_nano)

    @property
    def total_tokens(self) -> int | None:
        """Input plus output; None when neither is known."""
        if self.input_tokens is None:
            return self.output_tokens
        return self.input_tokens + (self.output_tokens or 0)

    @property
    def share(self) -> float | None:
        """Part of the billed calls (all but the refused) that are reported and priced, 0..1; None without any."""
        billed = self.calls - self.refused_calls
        return self.measured_calls / billed if billed else None

    @property
    def unpriced_calls(self) -> int:
        """Calls that told usage and have no price."""
        return max(0, self.reported_calls + self.estimated_calls - self.priced_calls)


@dataclass(frozen=True, slots=True)
class Group:
    """The calls that share these values of the keys asked for, in their order; None is a call of which that is not known."""

    key: tuple[str | None, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list. `lone`: no run, but the calls of one trace that belong to none; its `id` is then `lone-<trace id>`.

    `key` is the number by which other queries know it. `agents`, `tools` are how many it has, `duplicates` how many
    spans were folded into others.
    """

    key: int
    id: str
    lone: bool
    workflow: str | None
    service: str | None
    environment: str | None
    trace_id: str | None
    started_ns: int
    ended_ns: int
    outcome: str
    agents: int
    tools: int
    duplicates: int
    sums: Sums

    @property
    def duration_seconds(self) -> float:
        return max(0, self.ended_ns - self.started_ns) / 1e9


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs: all conditions that are given hold. `since_ns` is inclusive, `until_ns` is not. `text` is looked for in
    the run's id, trace id, workflow and service. `lone` None = both kinds."""

    since_ns: int | None = None
    until_ns: int | None = None
    workflow: str | None = None
    service: str | None = None
    outcome: str | None = None
    agent: str | None = None
    model: str | None = None
    text: str | None = None
    lone: bool | None = False


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span of a run's timeline. `kind` is call, agent, tool, step, run, or None for a span that means nothing to costs.

    `ended_ns` 0: it never ended. Ids are hex; `parent_id` None is a root.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    scope: str
    service: str | None
    kind: str | None
    started_ns: int
    ended_ns: int
    error: bool


@dataclass(frozen=True, slots=True)
class SpanDetail:
    """One span with what it carried. Attributes that hold messages of people were never stored."""

    row: SpanRow
    scope_version: str = ""
    status_message: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict)
    events: tuple[tuple[str, int, Mapping[str, object]], ...] = ()
    resource: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolRow:
    """The tool bill of one tool over many runs. `nested` is exact, the other parts are allocations; see `records.ToolTotals`."""

    service: str | None
    workflow: str | None
    tool: str
    calls: int
    errors: int
    duration_ns: int
    nested_tokens: int | None
    nested_usd: Decimal | None
    call_tokens: int | None
    call_usd: Decimal | None
    result_tokens: int | None
    result_usd: Decimal | None
    carried_tokens: int | None
    carried_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model as it was billed. `price_refs` are the price rows used; `unpriced_calls` in `sums` come first on any list."""

    provider: str | None
    model: str | None
    price_refs: tuple[str, ...]
    price_sources: tuple[str, ...]
    first_day: str
    last_day: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls that lack a price or usage, and why: `reason` of `conventions.UNPRICED_REASONS` or `UNREPORTED_REASONS`."""

    provider: str | None
    model: str | None
    agent: str | None
    reason: str | None
    unpriced: bool
    calls: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Info:
    """How large the history is and what it spans. Bytes include the write-ahead log; times are None when it is empty.

    `dropped` counts, by place, what writers had to drop because they could not write fast enough or at all.
    """

    path: str
    bytes: int
    free_bytes: int
    schema: int
    runs: int
    lone_calls: int
    calls: int
    spans: int
    open_traces: int
    oldest_ns: int | None
    newest_ns: int | None
    dropped: Mapping[str, int]
