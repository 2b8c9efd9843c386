"""What a span holds in neutral form, and what it means: the answer of `intake` and that of `normalise`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from costspan.records import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal


@dataclass(slots=True, eq=False)
class SpanRecord:
    """One ended (or, live, one running) span in neutral form, whichever door it came in by.

    Ids are ints (W3C trace and span ids); `parent_id` 0 means a root. `end_ns` 0 means not ended yet.
    `attributes` values are str, bool, int, float or sequences of these, as OTLP has them.
    `events` are (name, time_ns, attributes). `error` is the span's status being ERROR.
    """

    trace_id: int
    span_id: int
    parent_id: int
    name: str
    scope: str
    scope_version: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, object]
    events: Sequence[tuple[str, int, Mapping[str, object]]] = ()
    error: bool = False
    status_message: str = ""
    resource: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """What one span means, in costspan's words: the answer of `normalise`, the question to `account`.

    `kind` is `call`, `agent`, `tool`, `step` or `run` (a workflow). `name` is the agent's, tool's, step's or workflow's name.
    `agent`, `workflow`, `step`, `tool`: what the emitter says about the span's owner, used where no enclosing span tells.
    The rest describes a model call. `repeats_children` marks a parent that carries its children's sum (counted only where
    no call lies beneath it), `leaves_out_nested` one whose sum is without the sums of such parents inside it. `ends_stream`
    marks a log line that tells the usage of the streamed call before it (same scope and parent), whose own span has none.
    `refused`: an error status came back. `problems` are short words such as `inconsistent_usage`.
    """

    kind: str
    dialect: str
    name: str | None = None
    agent: str | None = None
    workflow: str | None = None
    step: str | None = None
    tool: str | None = None
    conversation_id: str | None = None
    operation: str | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    usage: Usage = NO_USAGE
    missing_reason: str | None = None
    stated_cost_usd: Decimal | None = None
    outcome: str = "ok"
    error_type: str | None = None
    finish_reason: str | None = None
    stream: bool = False
    time_to_first_token_seconds: float | None = None
    service_tier: str | None = None
    batch: bool = False
    fees: Mapping[str, int] | None = None
    cache_hit: bool = False
    retry_count: int = 0
    waste: str | None = None
    metered: bool = False
    refused: bool = False
    repeats_children: bool = False
    leaves_out_nested: bool = False
    ends_stream: bool = False
    tool_call_id: str | None = None
    request_lengths: str | None = None
    request_hash: str | None = None
    estimator: str | None = None
    problems: tuple[str, ...] = ()
