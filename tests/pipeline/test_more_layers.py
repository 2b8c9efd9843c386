"""The recorded traces with what nobody recorded: further layers over each call, and all of them in one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.account.fold import fold
from costspan.intake.report_files import report_files
from costspan.normalise.dialects import read
from costspan.readings import Reading, SpanRecord
from costspan.records import REPORTED
from recorded_traces import BOOK, NAMES, TRACES, outcome, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.account.assemble import Assembled

    Pair = tuple[SpanRecord, Reading | None]


def convention(told: Reading, response_id: str | None) -> dict[str, object]:
    given: dict[str, object] = {
        "gen_ai.operation.name": told.operation or "chat",
        "gen_ai.provider.name": told.provider or "openai",
        "gen_ai.request.model": told.request_model or told.response_model or "unknown",
    }
    if told.response_model:
        given["gen_ai.response.model"] = told.response_model
    if told.usage.source == REPORTED:
        given["gen_ai.usage.input_tokens"] = told.usage.input_tokens
        given["gen_ai.usage.output_tokens"] = told.usage.output_tokens or 0
        given["gen_ai.response.finish_reasons"] = ["stop"]
    if response_id:
        given["gen_ai.response.id"] = response_id
    if told.outcome == "error":
        given["error.type"] = told.error_type or "RateLimitError"
    return given


def openinference(told: Reading, _response_id: str | None) -> dict[str, object]:
    kind = "EMBEDDING" if told.operation == "embeddings" else "LLM"
    given: dict[str, object] = {
        "openinference.span.kind": kind,
        "llm.model_name": told.response_model or told.request_model or "unknown",
        "llm.provider": told.provider or "openai",
    }
    if told.usage.source == REPORTED:
        given["llm.token_count.prompt"] = told.usage.input_tokens
        given["llm.token_count.completion"] = told.usage.output_tokens or 0
    return given


@dataclass(frozen=True)
class Added:
    """One more layer: who writes it and how, and where its spans sit."""

    scope: str
    write: Callable[[Reading, str | None], dict[str, object]]
    where: str
    with_id: bool = True

    def spans(self, pairs: list[Pair]) -> list[SpanRecord]:
        found = []
        for number, group in enumerate(fold(pairs), start=1):
            told = group.reading
            if told.kind != "call" or told.repeats_children or (group.cache_hit and self.where != "around"):
                continue
            members = [pairs[place][0] for place in group.members if not pairs[place][1].ends_stream]
            near = (max if self.where == "around" else min)(members, key=lambda span: span.end_ns - span.start_ns)
            found.append(self._span(near, told, number))
        return found

    def _span(self, near: SpanRecord, told: Reading, number: int) -> SpanRecord:
        margin = max(1, (near.end_ns - near.start_ns) // 50) * (-1 if self.where == "around" else 1)
        beneath = self.where in ("beneath", "beside")
        return SpanRecord(
            near.trace_id if beneath else crc32(self.scope.encode()) << 32 | number,
            near.span_id ^ (crc32(f"{self.scope} {self.where}".encode()) | 1),
            {"beneath": near.span_id, "beside": near.parent_id}.get(self.where, 0),
            "chat",
            self.scope,
            "1.0",
            near.start_ns + margin,
            near.end_ns - margin,
            self.write(told, told.response_id if self.with_id else None),
            error=told.outcome == "error",
        )


OFFICIAL, NATIVE = "opentelemetry.instrumentation.genai.openai", "com.anthropic.sdk.python"
OPENINFERENCE, OPENLLMETRY = "openinference.instrumentation.openai", "opentelemetry.instrumentation.openai"
STACKS = {
    "official_beneath": [Added(OFFICIAL, convention, "beneath")],
    "native_beside_without_id": [Added(NATIVE, convention, "beside", with_id=False)],
    "openinference_in_other_traces": [Added(OPENINFERENCE, openinference, "apart")],
    "openllmetry_around": [Added(OPENLLMETRY, convention, "around")],
    "two_more": [Added(OPENINFERENCE, openinference, "around"), Added(OPENLLMETRY, convention, "beside", with_id=False)],
    "three_more": [
        Added(OPENINFERENCE, openinference, "around"),
        Added(OFFICIAL, convention, "beneath", with_id=False),
        Added(NATIVE, convention, "apart"),
    ],
}


def sums(found: Assembled) -> tuple[object, ...]:
    """Calls, tokens, and each agent's part of them."""
    agents: dict[str, list[int]] = {}
    for run in found.runs:
        for agent in run.agents:
            part = agents.setdefault(agent.name, [0, 0])
            part[0] += agent.self_totals.calls
            part[1] += agent.self_totals.usage.total_tokens or 0
    return found.totals.calls, found.totals.usage.input_tokens, found.totals.usage.output_tokens, agents


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", NAMES)
def test_further_layers_of_the_same_calls_change_no_total(name: str, stack: str) -> None:
    pairs = [(record, read(record)) for record in spans_of(name)]
    scopes = {record.scope for record, reading in pairs if reading is not None and reading.kind == "call"}
    more = [span for layer in STACKS[stack] if layer.scope not in scopes for span in layer.spans(pairs)]
    found = assemble(
        [*pairs, *((span, read(span)) for span in more)],
        make=lambda record, reading, owner: make_call(record, reading, owner, BOOK),
    )
    assert sums(found) == sums(outcome(name).found)
    assert len(found.duplicates) == len(outcome(name).found.duplicates) + len(more)


def test_all_traces_in_one_set_are_the_sum_of_each() -> None:
    """Other processes' calls, though they share response ids, models and tokens, are calls of their own."""
    whole = report_files([TRACES / f"{name}.json.gz" for name in NAMES], BOOK, lambda _: None).totals
    each = [outcome(name).found.totals for name in NAMES]
    assert whole.calls == sum(one.calls for one in each)
    assert whole.cache_hits == sum(one.cache_hits for one in each)
    assert whole.usage.input_tokens == sum(one.usage.input_tokens or 0 for one in each)
    assert whole.usage.output_tokens == sum(one.usage.output_tokens or 0 for one in each)
    assert whole.cost_usd == sum(one.cost_usd or 0 for one in each)
