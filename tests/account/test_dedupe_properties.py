"""Laws of de-duplication, for any tree of calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from account_cases import Span, Trace, make, play
from costspan.account.assemble import assemble
from costspan.account.dedupe import Folder, fold
from costspan.readings import Reading, SpanRecord
from costspan.records import AGENT, NO_USAGE, TOOL, Totals

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

BRIEF = settings(max_examples=150, deadline=None)
TOKENS = st.tuples(st.sampled_from([7, 100, 2303]), st.sampled_from([1, 20]))


@st.composite
def trees(draw: DrawFn) -> Trace:
    """Agents, tools and plain spans around up to eight calls of one scope: in turn or at once, some alike, some failed."""
    trace = Trace()
    around: list[Span | None] = [None]
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from([AGENT, TOOL, None]))
        reading = None if kind is None else Reading(kind, "test", name=draw(st.sampled_from(["PM", "Dev", "QA"])))
        around.append(trace.span(reading, 0, 1000, parent=draw(st.sampled_from(around)), scope="framework"))
    for number in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, 400))
        told = draw(st.none() | TOKENS)
        trace.call(
            start,
            start + draw(st.integers(20, 200)),
            told,
            outcome="error" if told is None else "ok",
            response_id=draw(st.sampled_from([None, f"id{number}"])) if told else None,
            request_model="gpt-5-mini",
            parent=draw(st.sampled_from(around)),
            scope="framework",
        )
    return trace


@st.composite
def layers(draw: DrawFn, trace: Trace, scope: str, first_trace: int) -> list[Span]:
    """For some calls of `trace` a second span of another scope: inside or around, same trace or another, with id or without."""
    found = []
    for place, (record, reading) in enumerate(list(trace.spans)):
        if reading is None or reading.kind != "call" or not draw(st.booleans()):
            continue
        early, late = draw(st.sampled_from([(2, 2), (2, 0), (0, 2), (-2, -2), (-2, 0), (0, 0)]))
        told = replace(reading, response_id=reading.response_id if draw(st.booleans()) else None)
        if draw(st.booleans()):
            told = replace(told, usage=NO_USAGE, response_id=reading.response_id) if reading.response_id else told
        beneath = draw(st.booleans())
        found.append((_layer(record, scope, early, late, 0 if beneath else first_trace + place), told))
    return found


def _layer(record: SpanRecord, scope: str, early: int, late: int, trace_id: int) -> SpanRecord:
    return SpanRecord(
        trace_id=trace_id or record.trace_id,
        span_id=next(Trace.ids),
        parent_id=0 if trace_id else record.span_id,
        name="layer",
        scope=scope,
        scope_version="",
        start_ns=record.start_ns + early * 1_000_000,
        end_ns=record.end_ns - late * 1_000_000,
        attributes={},
    )


def totals(spans: list[Span]) -> Totals:
    return replace(assemble(spans, make=make).totals, duration_seconds=0.0)


@BRIEF
@given(st.data())
def test_a_duplicate_layer_of_another_scope_changes_no_total(data: st.DataObject) -> None:
    trace = data.draw(trees())
    more = data.draw(layers(trace, "sdk", 100))
    assert totals([*trace.spans, *more]) == totals(trace.spans)


@BRIEF
@given(st.data())
def test_two_duplicate_layers_of_other_scopes_change_no_total(data: st.DataObject) -> None:
    trace = data.draw(trees())
    more = data.draw(layers(trace, "sdk", 100)) + data.draw(layers(trace, "gateway", 200))
    assert totals([*trace.spans, *more]) == totals(trace.spans)


@BRIEF
@given(st.data())
def test_the_order_of_the_spans_does_not_matter(data: st.DataObject) -> None:
    trace = data.draw(trees())
    spans = [*trace.spans, *data.draw(layers(trace, "sdk", 100))]
    shuffled = data.draw(st.permutations(spans))
    assert assemble(shuffled, make=make) == assemble(spans, make=make)


@BRIEF
@given(st.data())
def test_a_living_process_finds_the_same_calls(data: st.DataObject) -> None:
    trace = data.draw(trees())
    spans = [*trace.spans, *data.draw(layers(trace, "sdk", 100))]
    batch = [group.reading.usage for group in fold(spans)]
    live = [folded.reading.usage for folded in play(Folder(), spans) if not folded.already_booked]
    assert Counter(map(_counts, live)) == Counter(map(_counts, batch))


def _counts(usage: object) -> tuple[object, object]:
    return usage.input_tokens, usage.output_tokens


@BRIEF
@given(st.integers(1, 50), st.booleans(), st.integers(0, 30), st.sampled_from([None, (100, 20)]))
def test_identical_parallel_calls_never_fold(calls: int, ids: bool, lag: int, tokens: tuple[int, int] | None) -> None:
    trace = Trace()
    for each in range(calls):
        trace.call(each * lag / 10, 100 + each * lag / 10, tokens, response_id=f"id{each}" if ids else None)
    assert len(fold(trace.spans)) == calls


@BRIEF
@given(st.integers(1, 50), st.booleans(), st.integers(0, 30), st.booleans(), st.booleans())
def test_identical_parallel_calls_with_two_layers_stay_as_many(
    calls: int, ids: bool, lag: int, other_trace: bool, longest_first: bool
) -> None:
    trace = Trace()
    for each in range(calls):
        start, end = each * lag / 10, 300 + (-each if longest_first else each) * lag / 20
        outer = trace.call(start, end, (100, 20), scope="framework", response_id=f"id{each}" if ids else None)
        if other_trace:
            trace.call(start + 1, end - 1, (100, 20), scope="sdk", trace=each + 2)
        else:
            trace.call(start + 1, end - 1, (100, 20), scope="sdk", parent=outer)
    assert [len(group.members) for group in fold(trace.spans)] == [2] * calls


@BRIEF
@given(st.integers(0, 5_000), st.integers(1, 3_000))
def test_equal_ids_far_apart_in_time_stay_two_calls(duration: int, minutes: int) -> None:
    trace = Trace()
    for start in (0, duration + (60 + minutes) * 60_000):
        trace.call(start, start + duration, (100, 20), response_id="a")
    assert [group.cache_hit for group in fold(trace.spans)] == [False, False]
