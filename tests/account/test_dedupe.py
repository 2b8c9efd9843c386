from __future__ import annotations

from account_cases import Trace
from costspan.account.dedupe import fold
from costspan.records import AGENT, NO_USAGE, Usage


def groups(trace: Trace) -> list[list[int]]:
    """Indexes of the spans of each call, outermost first, in order of time."""
    return [list(group.members) for group in fold(trace.spans)]


# --- the same call, told by several layers ---------------------------------------------------------------
def test_the_same_id_overlapping_in_another_scope_is_one_call_even_if_tokens_differ() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 298), response_id="a", scope="framework")
    trace.call(1, 9, Usage(100, 296, cache_read_tokens=50), response_id="a", scope="sdk", trace=2)
    (group,) = fold(trace.spans)
    assert group.members == (0, 1)
    assert group.reading.usage == Usage(100, 296, cache_read_tokens=50)


def test_without_ids_containment_in_another_trace_with_equal_tokens_is_one_call() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), scope="framework")
    trace.call(1, 9, (100, 20), scope="sdk", trace=2)
    assert groups(trace) == [[0, 1]]


def test_three_layers_are_one_call_whatever_each_of_them_knows() -> None:
    trace = Trace()
    outer = trace.call(0, 10, None, scope="framework")
    middle = trace.call(1, 9, (100, 20), scope="client", parent=outer)
    trace.call(2, 8, (100, 20), scope="sdk", response_id="a", parent=middle)
    assert groups(trace) == [[0, 1, 2]]


def test_three_layers_in_three_traces_are_one_call() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), scope="framework")
    trace.call(1, 9, (100, 20), scope="client", trace=2)
    trace.call(2, 8, (100, 20), response_id="a", scope="sdk", trace=3)
    assert groups(trace) == [[0, 1, 2]]


def test_a_layer_that_ends_before_the_one_beneath_it_is_the_same_call() -> None:
    trace = Trace()
    outer = trace.call(0, 5, None, scope="framework")
    trace.call(1, 9, (100, 20), response_id="a", scope="sdk", parent=outer)
    assert groups(trace) == [[0, 1]]


def test_spans_between_two_layers_that_mean_nothing_do_not_part_them() -> None:
    trace = Trace()
    outer = trace.call(0, 5, (100, 20), scope="framework")
    http = trace.span(None, 1, 9, parent=outer)
    trace.call(2, 8, (100, 20), scope="sdk", parent=http)
    assert groups(trace) == [[0, 2]]


def test_a_span_without_usage_around_one_with_usage_is_the_same_call() -> None:
    trace = Trace()
    trace.call(0, 10, None, scope="framework", stream=True)
    trace.call(1, 9, (100, 20), response_id="a", scope="sdk", trace=2)
    (group,) = fold(trace.spans)
    assert group.reading.usage == Usage(100, 20)
    assert group.reading.response_id == "a"


def test_an_error_seen_by_two_layers_is_one_call() -> None:
    trace = Trace()
    trace.call(0, 10, None, scope="framework", outcome="error", error_type="RateLimitError")
    trace.call(1, 9, None, scope="sdk", outcome="error", trace=2)
    assert groups(trace) == [[0, 1]]


def test_a_streams_report_on_a_span_of_its_own_belongs_to_the_call_before_it() -> None:
    trace = Trace()
    parent = trace.span(None, 0, 30)
    opener = trace.call(1, 5, None, scope="log", parent=parent)
    trace.call(2, 20, (100, 20), response_id="a", scope="sdk", parent=opener)
    trace.call(25, 25, (100, 20), scope="log", parent=parent, ends_stream=True)
    assert groups(trace) == [[1, 2, 3]]


def test_an_estimate_gives_way_to_what_the_provider_told_beneath_it() -> None:
    trace = Trace()
    trace.call(0, 10, Usage(90, 30, source="estimated"), scope="framework", estimator="words")
    trace.call(1, 9, (100, 20), scope="sdk", trace=2)
    (group,) = fold(trace.spans)
    assert (group.reading.usage, group.reading.estimator) == (Usage(100, 20), None)


def test_a_span_delivered_twice_counts_once() -> None:
    trace = Trace()
    span = trace.call(0, 10, (100, 20))
    trace.spans.append(span)
    assert groups(trace) == [[0]]


# --- calls of their own -----------------------------------------------------------------------------------
def test_different_known_ids_never_fold() -> None:
    trace = Trace()
    outer = trace.call(0, 10, (100, 20), response_id="a", scope="framework")
    trace.call(1, 9, (100, 20), response_id="b", scope="sdk", parent=outer)
    assert groups(trace) == [[0], [1]]


def test_two_calls_of_one_scope_never_fold() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), response_id="a")
    trace.call(1, 9, (100, 20), response_id="a")
    assert groups(trace) == [[0], [1]]


def test_equal_tokens_of_different_models_stay_two_calls() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), request_model="claude-sonnet-4-5", scope="framework")
    trace.call(1, 9, (100, 20), request_model="gpt-5-mini", scope="sdk", trace=2)
    assert groups(trace) == [[0], [1]]


def test_one_model_under_two_spellings_is_one_model() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), request_model="openai/gpt-5-mini", scope="framework")
    trace.call(1, 9, (100, 20), response_model="gpt-5-mini-2025-08-07", scope="sdk", trace=2)
    assert groups(trace) == [[0, 1]]


def test_an_embedding_inside_a_chats_time_is_another_call() -> None:
    trace = Trace()
    trace.call(0, 10, None, scope="framework", operation="chat")
    trace.call(1, 9, Usage(42), scope="sdk", operation="embeddings", trace=2)
    assert groups(trace) == [[0], [1]]


def test_a_call_made_by_an_agent_inside_a_call_is_another_call() -> None:
    trace = Trace()
    outer = trace.call(0, 10, (100, 20), scope="framework", response_id="a")
    agent = trace.agent("Researcher", 1, 9, parent=outer)
    trace.call(2, 8, (50, 10), scope="sdk", parent=agent)
    assert groups(trace) == [[0], [2]]


def test_of_several_attempts_the_last_one_is_the_outer_call_and_the_others_are_calls_too() -> None:
    trace = Trace()
    outer = trace.call(0, 30, (100, 20), scope="framework")
    trace.call(1, 5, None, outcome="error", scope="sdk", parent=outer)
    trace.call(6, 10, None, outcome="error", scope="sdk", parent=outer)
    trace.call(11, 29, (100, 20), response_id="a", scope="sdk", parent=outer)
    assert groups(trace) == [[0, 3], [1], [2]]


def test_attempts_that_all_failed_are_as_many_calls_as_the_inner_layer_saw() -> None:
    trace = Trace()
    outer = trace.call(0, 30, None, outcome="error", scope="framework")
    for start in (1, 6, 11):
        trace.call(start, start + 4, None, outcome="error", scope="sdk", parent=outer)
    assert groups(trace) == [[0, 3], [1], [2]]


def test_a_failed_attempt_alone_is_not_the_call_that_succeeded_around_it() -> None:
    trace = Trace()
    outer = trace.call(0, 30, (100, 20), scope="framework")
    trace.call(1, 5, None, outcome="error", scope="sdk", parent=outer)
    assert groups(trace) == [[0], [1]]


def test_parallel_calls_keep_their_own_layers() -> None:
    trace = Trace()
    for each in range(5):
        trace.call(each, 20 + each, (100, 20), scope="framework")
        trace.call(each + 1, 19 + each, (100, 20), scope="sdk", trace=2 + each)
    assert [len(group.members) for group in fold(trace.spans)] == [2] * 5


def test_layers_that_miss_some_of_the_failed_calls_do_not_pair_off_with_each_other() -> None:
    trace = Trace()
    asked = [trace.call(start, start + 20, None, outcome="error", scope="framework") for start in (0, 1, 0)]
    trace.call(-2, 22, None, outcome="error", scope="sdk", parent=asked[2])
    trace.call(2, 18, None, outcome="error", scope="gateway", parent=asked[0])
    trace.call(3, 19, None, outcome="error", scope="gateway", trace=2)
    trace.call(0, 18, None, outcome="error", scope="gateway", trace=3)
    assert len(fold(trace.spans)) == 3


# --- cache hits ---------------------------------------------------------------------------------------------
def test_a_repeated_id_at_once_from_the_same_scope_is_a_cache_hit() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="a", response_model="m")
    trace.call(500, 500.6, (100, 20), response_id="a", response_model="m")
    assert [(group.cache_hit, group.reading.cache_hit) for group in fold(trace.spans)] == [(False, False), (True, True)]


def test_a_repeated_id_with_a_span_beneath_it_was_asked_again() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="a")
    again = trace.call(500, 500.6, (100, 20), response_id="a")
    trace.span(None, 500.1, 500.5, parent=again)
    assert not any(group.cache_hit for group in fold(trace.spans))


def test_a_repeated_id_that_took_as_long_as_the_first_was_asked_again() -> None:
    trace = Trace()
    for start in (0, 100, 200):
        trace.call(start, start + 80, (100, 20), response_id="chatcmpl-123")
    assert not any(group.cache_hit for group in fold(trace.spans))


def test_an_id_that_real_calls_repeat_is_not_believed_again() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="chatcmpl-7")
    trace.call(100, 180, (300, 20), response_id="chatcmpl-7")
    trace.call(200, 201, (300, 20), response_id="chatcmpl-7")
    assert not any(group.cache_hit for group in fold(trace.spans))


def test_a_hit_that_two_frameworks_tell_of_is_a_hit() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="a", scope="framework")
    trace.call(1, 79, (100, 20), response_id="a", scope="sdk")
    trace.call(-1, 81, (100, 20), scope="other framework", trace=2)
    trace.call(500, 500.6, (100, 20), response_id="a", scope="framework")
    trace.call(500.1, 500.5, (100, 20), scope="other framework", trace=3)
    assert [group.cache_hit for group in fold(trace.spans)] == [False, True]


def test_the_same_answer_to_a_program_that_was_started_anew_without_its_sdk_layer_is_a_call() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="a", scope="framework")
    trace.call(1, 79, (100, 20), response_id="a", scope="sdk")
    trace.call(5_000, 5_030, (100, 20), response_id="a", scope="framework", trace=2)
    assert [group.cache_hit for group in fold(trace.spans)] == [False, False]


def test_a_hit_in_a_program_that_was_started_anew_is_a_hit() -> None:
    trace = Trace()
    for start in (0, 60_000):
        trace.call(start, start + 80, (100, 20), response_id="a", trace=1 + start)
    trace.call(60_100, 60_100.6, (100, 20), response_id="a", trace=60_001)
    assert [group.cache_hit for group in fold(trace.spans)] == [False, False, True]


def test_equal_ids_hours_apart_are_two_calls() -> None:
    trace = Trace()
    trace.call(0, 80, (100, 20), response_id="a")
    trace.call(7_200_000, 7_200_000.6, (100, 20), response_id="a")
    assert not any(group.cache_hit for group in fold(trace.spans))


def test_a_hit_that_the_emitter_marks_is_a_hit() -> None:
    trace = Trace()
    trace.call(0, 1, (100, 20), cache_hit=True)
    assert fold(trace.spans)[0].cache_hit


# --- parents that repeat their children ------------------------------------------------------------------------
def test_a_parents_sum_counts_only_where_no_call_lies_beneath() -> None:
    trace = Trace()
    for inner in (True, False):
        agent = trace.unit(AGENT, "Dev", 0, 10, usage=Usage(100, 20), repeats_children=True)
        cycle = trace.span(None, 1, 9, parent=agent)
        if inner:
            trace.call(2, 8, (100, 20), parent=cycle)
    assert sorted(groups(trace)) == [[2], [3]]


def test_of_nested_sums_the_inner_one_counts() -> None:
    trace = Trace()
    outer = trace.unit(AGENT, "Boss", 0, 10, usage=Usage(100, 20), repeats_children=True)
    trace.unit(AGENT, "Dev", 1, 9, usage=Usage(100, 20), repeats_children=True, parent=outer)
    assert groups(trace) == [[1]]


def test_a_sum_whose_calls_lost_their_parents_is_not_counted_again() -> None:
    trace = Trace()
    trace.unit(AGENT, "Dev", 0, 10, usage=Usage(300, 50), repeats_children=True)
    trace.call(1, 4, (100, 20), scope="sdk", trace=2)
    trace.call(5, 9, (200, 30), scope="sdk", trace=3)
    assert groups(trace) == [[1], [2]]


def test_a_call_span_that_tells_the_sum_of_calls_beneath_it_is_no_call_whoever_told_them() -> None:
    for scope in ("app", "sdk"):
        trace = Trace()
        outer = trace.call(0, 100, (300, 50))
        between = trace.span(None, 1, 99, parent=outer)
        trace.call(2, 20, (100, 20), parent=between, scope=scope)
        trace.call(30, 60, (200, 30), parent=between, scope=scope)
        assert groups(trace) == [[2], [3]]


def test_a_call_span_that_repeats_the_one_call_of_its_own_scope_beneath_it_is_no_call() -> None:
    trace = Trace()
    outer = trace.call(0, 100, (100, 20))
    trace.call(2, 20, (100, 20), parent=outer, response_id="a")
    assert groups(trace) == [[1]]


def test_a_call_span_with_other_calls_beneath_it_stays_a_call() -> None:
    trace = Trace()
    outer = trace.call(0, 100, (300, 50), response_id="a")
    trace.call(2, 20, (100, 20), parent=outer, response_id="b")
    trace.call(22, 40, (300, 50), parent=outer, response_id="c", scope="sdk")
    assert groups(trace) == [[0], [1], [2]]


def test_a_sum_without_usage_is_nothing() -> None:
    trace = Trace()
    trace.unit(AGENT, "Dev", 0, 10, usage=NO_USAGE, repeats_children=True)
    assert groups(trace) == []


# --- what the kept call knows ---------------------------------------------------------------------------------
def test_the_outermost_span_gives_owner_and_time_and_the_innermost_the_providers_words() -> None:
    trace = Trace()
    trace.call(0, 10, (100, 20), scope="framework", agent="Dev", request_model="gpt", conversation_id="c")
    trace.call(1, 9, (100, 20), scope="sdk", trace=2, response_model="gpt-2025", response_id="a", service_tier="flex", agent="x")
    (group,) = fold(trace.spans)
    reading = group.reading
    assert (group.kept, reading.agent, reading.conversation_id) == (0, "Dev", "c")
    assert (reading.response_model, reading.response_id, reading.service_tier) == ("gpt-2025", "a", "flex")


def test_parts_of_the_usage_come_from_whichever_layer_tells_them() -> None:
    trace = Trace()
    trace.call(0, 10, Usage(100, 20, reasoning_tokens=5), scope="framework")
    trace.call(1, 9, Usage(100, 20, cache_read_tokens=60, cache_write_tokens=10), scope="sdk", trace=2)
    usage = fold(trace.spans)[0].reading.usage
    assert usage == Usage(100, 20, cache_read_tokens=60, cache_write_tokens=10, reasoning_tokens=5)


def test_parts_that_do_not_fit_into_the_sum_are_left_out() -> None:
    trace = Trace()
    trace.call(0, 10, Usage(100, 20, cache_write_tokens=60, reasoning_tokens=3), scope="framework")
    trace.call(1, 9, Usage(100, 20, cache_read_tokens=70), scope="sdk", trace=2)
    usage = fold(trace.spans)[0].reading.usage
    assert usage.cache_read_tokens is None or usage.cache_write_tokens is None
