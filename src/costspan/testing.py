"""Fixtures for tests of code that uses costspan: a fake model provider with a log of its own.

    from costspan.testing import FakeProvider, Reply, Usage

    with FakeProvider(seed=1) as provider:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "[[agent:PM]] hello"}])
        assert provider.log[0].agent == "PM"

Addresses: `openai_url` (chat, responses, completions, embeddings), `anthropic_url` (messages, beta, count_tokens, batches),
`azure_url` (as `azure_endpoint`), `gemini_url`, `vertex_url`, `bedrock_url`, `gateway_url` (OpenAI chat, never tells a
stream's usage).

Who asks: `[[agent:NAME]]` anywhere in the system text, else in the newest message that has it; else "unknown".

What is answered: without a script, words drawn from the seed and usage that is counted from what was sent and answered
(a conversation's prefix is read from the cache, Anthropic's cache only with `cache_control`); a forced tool is called
and a JSON schema is filled with fitting values. Reasoning tokens with o1, o3, o4 and gpt-5 models, or `thinking`.
`provider.script(Reply(...), Reply(...), agent="PM")` queues replies, one per request: a retry is a request, so
`script(Reply(status=429), Reply(text="hello"))` is a rate limit and then an answer. Without `agent`, for whoever asks
next. `provider.always(Reply(...))` answers whenever no queue has anything. `Reply` lists what can be scripted: usage,
tool calls, status, cuts, delays, odd bodies.

What happened: `provider.log`, one `Entry` per request: who, which model, `usage` that was billed (None when nothing),
`told` (all of it reached the client), `told_usage` (the part that did), `response_id`, `status`, `retry_count`,
`tools_asked`, `results` of tools, `cut`, `client_left`, times. Reading it waits for requests in flight. For a client that
leaves a stream early, give the reply a `chunk_delay`, so that the provider still has something to say when it leaves.
`billed(provider.log)` adds up usage per agent.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from costspan.demo.provider import FakeProvider
from costspan.demo.provider_log import Entry, billed
from costspan.demo.replies import Reply, ToolCall
from costspan.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from costspan.enabling import Costspan
    from costspan.records import Run

__all__ = ["Entry", "FakeProvider", "Measured", "Reply", "ToolCall", "Usage", "billed", "measure"]


@dataclass(slots=True)
class Measured:
    """What costspan saw inside `measure()`: finished spans, finished runs, and totals of the metrics."""

    handle: Costspan
    exporter: Any
    runs: list[Run] = field(default_factory=list)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Every span that has ended, ours and others'."""
        self.handle.flush()
        found: tuple[ReadableSpan, ...] = self.exporter.get_finished_spans()
        return found

    def metric(self, name: str, **labels: str) -> Any:
        """The sum of a metric's series that have these labels; 0 without any. Counters and gauges only."""
        from costspan.conventions import LABELS

        at = {label: place for place, label in enumerate(LABELS[name])}
        total: Any = 0
        for metric in self.handle.pipeline.meters.collect():
            if metric.spec.name == name:
                for series in metric.series:
                    if all(series.labels[at[label]] == value for label, value in labels.items()):
                        total += getattr(series, "value", 0)
        return total

    def tokens(self, kind: str = "", **labels: str) -> int:
        """Tokens in the metrics: `kind` "input" or "output", or both; labels such as `agent="PM"`."""
        from costspan.conventions import TOKEN_TYPES, TOKENS

        return sum(self.metric(TOKENS, token_type=each, **labels) for each in TOKEN_TYPES if each.startswith(kind))


@contextmanager
def measure(**switches: Any) -> Iterator[Measured]:
    """Enable costspan with a TracerProvider of its own that keeps spans in memory; `switches` go to `enable()`.

    Bugs of costspan itself raise here instead of being swallowed.
    """
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    import costspan
    from costspan import guard

    exporter = InMemorySpanExporter()
    provider = switches.pop("tracer_provider", None) or TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runs: list[Run] = []
    guard.reset()
    guard.raise_in_tests(True)
    try:
        handle = costspan.enable(tracer_provider=provider, on_run=runs.append, **switches)
        if handle is None:
            message = "OTEL_SDK_DISABLED is true: nothing can be measured"
            raise RuntimeError(message)
        try:
            yield Measured(handle, exporter, runs)
        finally:
            costspan.disable()
    finally:
        guard.raise_in_tests(False)
