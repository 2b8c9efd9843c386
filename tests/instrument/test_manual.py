"""The manual API: decorators and context managers on every kind of function, and hand-made calls."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import costspan
from costspan.instrument.spans import current
from costspan.records import ESTIMATED, MISSING, Usage
from costspan.report.console import render
from costspan.report.run_json import schema, to_record
from costspan.testing import measure


def spend(tokens: int = 100) -> None:
    costspan.record_call(model="gpt-4o", provider="openai", input_tokens=tokens, output_tokens=tokens // 10)


def test_a_run_with_agents_steps_and_tools_adds_up(seen):
    with costspan.run("report"):
        spend(10)
        with costspan.agent("writer"), costspan.step("draft"):
            spend(100)
            with costspan.tool("search"):
                spend(1000)
    (run,) = seen.runs
    (writer,) = run.agents
    assert (run.workflow, writer.name) == ("report", "writer")
    assert run.unattributed.usage.total_tokens == 11
    assert writer.self_totals.usage.total_tokens == 1210
    assert run.tools[0].nested.usage.total_tokens == 1100


def test_spans_carry_their_own_and_their_subtrees_totals(seen):
    with costspan.run("report"), costspan.agent("lead"):
        spend(100)
        with costspan.tool("ask"), costspan.agent("helper"):
            spend(1000)
    by_name = {span.name: span.attributes for span in seen.spans}
    lead = by_name["invoke_agent lead"]
    assert (lead["costspan.self.input_tokens"], lead["costspan.subtree.input_tokens"]) == (100, 1100)
    assert by_name["execute_tool ask"]["costspan.subtree.input_tokens"] == 1000
    assert by_name["invoke_workflow report"]["costspan.subtree.cost_usd"] == pytest.approx(0.00385)


def test_decorated_functions_keep_their_name_and_result(seen):
    @costspan.run
    def job(value):
        """Do it."""
        spend()
        return value

    assert (job(3), job.__name__, job.__doc__) == (3, "job", "Do it.")
    assert seen.runs[0].workflow == "job"


async def test_decorated_coroutines_run_side_by_side_with_their_own_owners(seen):
    @costspan.agent("a")
    async def first():
        await asyncio.sleep(0.01)
        spend(100)

    @costspan.agent("b")
    async def second():
        spend(1000)
        await asyncio.sleep(0.01)

    async with costspan.run("both"):
        await asyncio.gather(*[first() for _ in range(5)], *[second() for _ in range(5)])
    assert (seen.tokens(agent="a"), seen.tokens(agent="b")) == (550, 5500)


def test_a_generators_span_is_current_only_while_a_step_runs(seen):
    @costspan.agent("stream")
    def chunks():
        for _ in range(3):
            spend(100)
            yield 1

    with costspan.run("job"):
        for _ in chunks():
            spend(1)
    assert seen.tokens(agent="stream") == 330
    assert seen.runs[0].unattributed.usage.total_tokens == 3


def test_an_abandoned_generator_ends_its_span(seen):
    @costspan.agent("stream")
    def chunks():
        while True:
            spend(100)
            yield 1

    generator = chunks()
    next(generator)
    generator.close()
    assert [span.name for span in seen.spans if "agent" in span.name] == ["invoke_agent stream"]


def test_a_generator_still_takes_what_is_sent_and_returns(seen):
    @costspan.step
    def talk():
        heard = yield "first"
        return heard * 2

    generator = talk()
    assert next(generator) == "first"
    with pytest.raises(StopIteration) as stop:
        generator.send(21)
    assert stop.value.value == 42


async def test_async_generators_work_and_end_when_closed(seen):
    @costspan.agent("stream")
    async def chunks():
        while True:
            spend(100)
            yield 1

    generator = chunks()
    assert await anext(generator) == 1
    await generator.aclose()
    assert seen.tokens(agent="stream") == 110
    assert any(span.name == "invoke_agent stream" for span in seen.spans)


def test_what_a_generator_spends_while_it_is_closed_is_its_own(seen):
    @costspan.agent("stream")
    def chunks():
        try:
            yield spend(100)
        finally:
            spend(10)

    generator = chunks()
    next(generator)
    generator.close()
    assert seen.tokens(agent="stream") == seen.tokens() == 121


async def test_what_an_async_generator_spends_while_it_is_closed_is_its_own(seen):
    @costspan.agent("stream")
    async def chunks():
        try:
            yield spend(100)
        finally:
            await asyncio.sleep(0)
            spend(10)

    generator = chunks()
    await anext(generator)
    await generator.aclose()
    assert seen.tokens(agent="stream") == seen.tokens() == 121


def test_the_loops_end_closes_an_async_generator_once(seen, caplog):
    closed = []

    @costspan.agent("stream")
    async def chunks():
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)
            closed.append(current().name)

    generator = chunks()

    async def look():
        await anext(generator)

    asyncio.run(look())
    assert closed == ["stream"]
    assert not caplog.records
    assert [span.name for span in seen.spans] == ["invoke_agent stream"]


def test_a_step_of_an_async_generator_that_is_closed_in_another_context_is_detached_there_only(seen, caplog):
    @costspan.agent("stream")
    async def chunks():
        await asyncio.sleep(0)
        yield 1

    step = chunks().asend(None)
    contextvars.copy_context().run(step.send, None)  # as a task does, which has a context of its own
    with pytest.raises(GeneratorExit):
        step.throw(GeneratorExit())  # as the collector does with a task whose loop is gone
    assert [span.name for span in seen.spans] == ["invoke_agent stream"]
    assert not caplog.records


def test_a_block_that_is_left_after_costspan_was_switched_off_ends_its_span_once(caplog):
    with measure() as seen:
        with costspan.agent("boss"):
            costspan.disable()
        assert [span.name for span in seen.exporter.get_finished_spans()] == ["invoke_agent boss"]
    assert not caplog.records


def test_the_hosts_exception_passes_unchanged_and_marks_the_span(seen):
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught, costspan.run("job"):
        raise error
    assert caught.value is error
    assert seen.runs[0].outcome == "error"


def test_threads_keep_the_owner_they_were_started_with(seen):
    with costspan.run("job"), costspan.agent("boss"):
        thread = threading.Thread(target=spend)
        thread.start()
        thread.join()
    assert seen.tokens(agent="boss") == 110


def test_record_call_reads_a_providers_response(seen):
    payload = {"id": "x", "model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
    costspan.record_call(payload, provider="openai")
    assert seen.tokens() == 10


def test_record_call_without_any_usage_is_counted_as_unreported(seen):
    costspan.record_call(model="gpt-4o", provider="openai")
    assert seen.metric("costspan_unreported_calls_total") == 1
    assert seen.tokens() == 0


def test_record_call_takes_our_usage_with_cache(seen):
    costspan.record_call(model="gpt-4o", provider="openai", usage=Usage(1000, 100, cache_read_tokens=800))
    assert seen.metric("costspan_tokens_total", token_type="input_cache_read") == 800


CONTRADICTIONS = (
    {"usage": Usage(10, 5, cache_read_tokens=50)},
    {"usage": Usage(10, 5, reasoning_tokens=50)},
    {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}}},
)


@pytest.mark.parametrize("told", CONTRADICTIONS)
def test_record_call_gives_no_price_to_a_usage_that_contradicts_itself(seen, told):
    with costspan.run("job"), costspan.agent("a"):
        costspan.record_call(model="gpt-4o", provider="openai", **told)
    assert (seen.tokens(), seen.metric("costspan_cost_usd_total")) == (15, 0)
    assert seen.metric("costspan_unpriced_calls_total", reason="invalid_usage") == 1
    assert (seen.runs[0].calls[0].problems, seen.runs[0].efficiency.cache_hit_ratio) == (("inconsistent_usage",), None)
    assert Draft202012Validator(schema()).is_valid(to_record(seen.runs[0]))


@pytest.mark.parametrize("told", [{"input_tokens": 10}, {"usage": Usage(10)}, {"input_tokens": 10, "output_tokens": -1}])
def test_record_call_of_one_direction_is_partly_known(seen, told):
    with costspan.run("job"), costspan.agent("a"):
        costspan.record_call(model="gpt-4o", provider="openai", **told)
    assert (seen.runs[0].calls[0].usage.source, seen.runs[0].totals.coverage.missing_calls) == (MISSING, 1)
    assert "10 + ? = 10+? (unknown)" in render(seen.runs[0])


def test_record_call_keeps_an_estimate_and_a_zero(seen):
    with costspan.run("job"):
        costspan.record_call(model="gpt-4o", provider="openai", usage=Usage(10, 5, source=ESTIMATED))
        costspan.record_call(model="text-embedding-3-small", provider="openai", input_tokens=400, output_tokens=0)
    assert [call.usage for call in seen.runs[0].calls] == [Usage(10, 5, source=ESTIMATED), Usage(400, 0)]
    assert seen.runs[0].totals.coverage.priced_calls == 2


def test_nothing_happens_while_costspan_is_off():
    with costspan.run("job"), costspan.agent("a"):
        spend()
    with measure() as seen:
        assert seen.tokens() == 0


def test_one_scope_may_be_entered_many_times_at_once(seen):
    scope = costspan.agent("same")
    with costspan.run("job"), scope:
        spend(100)
        with scope:
            spend(100)
    assert seen.tokens(agent="same") == 220


def test_a_scope_left_in_another_context_still_ends(seen):
    import contextvars

    scope = costspan.run("job")
    contextvars.copy_context().run(scope.__enter__)
    scope.__exit__(None, None, None)
    assert [run.workflow for run in seen.runs] == ["job"]


TREES = st.recursive(
    st.integers(0, 10_000),
    lambda inner: st.tuples(
        st.sampled_from(["agent", "step", "tool", "run"]), st.sampled_from("abc"), st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


def walk(tree) -> int:
    if isinstance(tree, int):
        spend(tree)
        return tree + tree // 10
    kind, name, inner = tree
    with getattr(costspan, kind)(name):
        return sum(walk(each) for each in inner)


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, max_size=4))
def test_for_any_tree_the_run_is_the_sum_of_its_agents_and_of_nobody(trees):
    with measure() as seen:
        with costspan.run("job"):
            total = sum(walk(tree) for tree in trees)
        (run,) = seen.runs
        parts = [agent.self_totals for agent in run.agents] + [run.unattributed]
        assert sum(part.usage.total_tokens or 0 for part in parts) == total == (run.totals.usage.total_tokens or 0)
        assert sum(part.cost_usd or 0 for part in parts) == (run.totals.cost_usd or 0)
        root = next(span for span in seen.spans if span.parent is None)
        counted = root.attributes["costspan.subtree.input_tokens"] + root.attributes["costspan.subtree.output_tokens"]
        assert counted == total == seen.tokens()


def test_a_call_recorded_without_its_duration_has_no_rate(seen):
    with costspan.run("report"):
        with costspan.agent("timed"):
            costspan.record_call(model="gpt-4o", provider="openai", input_tokens=90, output_tokens=10, duration_seconds=2)
        with costspan.agent("untimed"):
            spend(100)
    rates = {step.agent: step.tokens_per_second for step in seen.runs[0].steps}
    assert rates["untimed"] is None
    assert rates["timed"] > 0


def test_a_step_is_no_agent_in_the_record_nor_in_metrics(seen):
    with costspan.run("report"), costspan.step("draft for Mr. Smith"):
        spend(100)
    (run,) = seen.runs
    assert run.agents == ()
    assert [(step.agent, step.name, step.totals.calls) for step in run.steps] == [(None, "draft for Mr. Smith", 1)]
    metrics = {metric.spec.name: metric.series for metric in seen.handle.pipeline.meters.collect()}
    (nobody,) = metrics["costspan_unattributed_tokens_total"]
    assert nobody.value == run.unattributed.usage.total_tokens == 110


@pytest.mark.parametrize("odd", [-5, True, "12", 1.5, 10**30], ids=repr)
def test_a_stated_count_that_is_none_is_told_once_and_the_other_is_kept(odd, seen, caplog):
    with costspan.run("report"), costspan.agent("writer"):
        for _ in range(2):
            costspan.record_call(model="gpt-4o", provider="openai", input_tokens=odd, output_tokens=7)
        costspan.record_call(model="gpt-4o", provider="openai", usage=Usage(odd, 7))
    (run,) = seen.runs
    assert [(call.usage.input_tokens, call.usage.output_tokens, call.cost) for call in run.calls] == [(None, 7, None)] * 3
    (line,) = [record.getMessage() for record in caplog.records if record.name == "costspan"]
    assert line.startswith(f"costspan: record_call: input_tokens={odd!r} is not a whole number of tokens")
    assert run.totals.coverage.share == 0


def test_a_call_whose_provider_or_model_is_no_text_is_counted_all_the_same(seen, caplog):
    with costspan.run("report"):
        costspan.record_call(model=7, provider=["x"], input_tokens=10, output_tokens=1)
    assert seen.runs[0].totals.usage.total_tokens == 11
    assert [record.getMessage() for record in caplog.records if record.name == "costspan"] == [
        "costspan: record_call: provider is of type list, not text; it is left out",
        "costspan: record_call: model is of type int, not text; it is left out",
    ]


@pytest.mark.parametrize("odd", ["soon", float("nan"), -1, 10.0**12])
def test_a_call_whose_duration_is_no_length_of_time_is_counted_all_the_same(odd, seen, caplog):
    with costspan.run("job"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1, duration_seconds=odd)
    (call,) = seen.runs[0].calls
    assert (call.usage, call.duration_seconds) == (Usage(10, 1), 0)
    assert call.started_ns > 0
    assert caplog.messages == [f"costspan: record_call: duration_seconds={odd!r} is not a number of seconds; it is left out"]
