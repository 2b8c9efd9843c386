from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from account_cases import PRICE, Trace, make
from costspan.account.assemble import Assembled, assemble, noted
from costspan.account.totals import Tally
from costspan.records import AGENT, MONEY, RUN, STEP, TOOL, ZERO, Run, Totals

if TYPE_CHECKING:
    from decimal import Decimal


def assembled(trace: Trace) -> Assembled:
    return assemble(trace.spans, make=make)


def only_run(trace: Trace) -> Run:
    (run,) = assembled(trace).runs
    return run


def test_the_nearest_enclosing_agent_owns_a_call_and_its_caller_sees_it_in_subtree() -> None:
    trace = Trace()
    run = trace.run("pipeline", 0, 100)
    dev = trace.agent("Dev", 0, 90, parent=run)
    trace.call(1, 10, (100, 20), parent=dev)
    tool = trace.tool("ask_researcher", 20, 60, parent=dev)
    researcher = trace.agent("Researcher", 21, 59, parent=tool)
    trace.call(22, 50, (500, 60), parent=researcher)
    found = only_run(trace)
    assert {a.name: (a.self_totals.usage.total_tokens, a.subtree.usage.total_tokens) for a in found.agents} == {
        "Dev": (120, 680),
        "Researcher": (560, 560),
    }
    assert [tuple(call.owner) for call in found.calls] == [
        ("pipeline", "Dev", "Dev", None),
        ("pipeline", "Researcher", "Researcher", None),
    ]
    (bill,) = found.tools
    assert (bill.name, bill.calls, bill.agents, bill.nested.usage.total_tokens) == ("ask_researcher", 1, ("Dev",), 560)


def test_a_call_made_inside_a_tool_belongs_to_the_agent_and_names_the_tool() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 90)
    tool = trace.tool("summarise", 20, 60, parent=dev, outcome="error")
    trace.call(22, 50, (500, 60), parent=trace.span(None, 21, 55, parent=tool))
    run = only_run(trace)
    assert (run.calls[0].owner.agent, run.calls[0].owner.tool) == ("Dev", "summarise")
    assert (run.tools[0].errors, run.tools[0].nested.calls, run.tools[0].duration_seconds) == (1, 1, 0.04)


def test_what_belongs_to_nobody_is_shown_as_unattributed() -> None:
    trace = Trace()
    run = trace.run("pipeline", 0, 100)
    trace.call(1, 2, (100, 20), parent=run)
    assert only_run(trace).unattributed.usage.total_tokens == 120


def test_a_plain_step_that_makes_calls_is_its_own_agent() -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    step = trace.step("qa", 0, 50, parent=run)
    trace.call(1, 2, (100, 20), parent=step)
    assert [(agent.name, agent.steps) for agent in only_run(trace).agents] == [("qa", 1)]


def test_an_agent_named_on_the_call_owns_it_where_no_agent_span_of_another_emitter_is_nearer() -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    trace.call(1, 2, (100, 20), parent=run, agent="PM")
    mine = trace.agent("Mine", 10, 20, parent=run, scope="costspan")
    trace.call(11, 12, (100, 20), parent=mine, agent="PM")
    assert [call.owner.agent for call in only_run(trace).calls] == ["PM", "Mine"]


def test_the_owner_comes_from_the_framework_even_if_the_sdk_span_sits_in_another_trace() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 90)
    trace.call(1, 10, None, parent=dev, scope="framework")
    trace.call(2, 9, (100, 20), response_id="a", scope="sdk", trace=2)
    found = assembled(trace)
    (run,) = found.runs
    assert run.agents[0].self_totals.usage.total_tokens == 120
    assert found.lone_calls == ()
    assert found.duplicates == (("framework", "sdk"),)
    assert [duplicate.scope for duplicate in run.calls[0].duplicates] == ["sdk"]
    assert len(run.trace_ids) == 2


def test_an_sdk_span_inside_an_agent_gives_its_owner_to_a_layer_that_has_none() -> None:
    trace = Trace()
    trace.call(1, 10, (100, 20), scope="framework", trace=2)
    dev = trace.agent("Dev", 0, 90)
    trace.call(2, 9, (100, 20), scope="sdk", parent=dev)
    assert only_run(trace).calls[0].owner.agent == "Dev"


def test_a_lone_call_opens_no_run_and_keeps_the_owner_that_it_names() -> None:
    trace = Trace()
    trace.call(1, 2, (100, 20), agent="PM", workflow="w")
    found = assembled(trace)
    assert found.runs == ()
    assert (found.lone_calls[0].owner.agent, found.lone_calls[0].owner.workflow) == ("PM", "w")
    assert found.totals.usage.total_tokens == 120


def test_a_second_layers_tree_without_calls_of_its_own_is_no_run() -> None:
    trace = Trace()
    dev = trace.run("pipeline", 0, 90, scope="framework")
    trace.call(1, 10, (100, 20), parent=dev, scope="framework")
    other = trace.run("pipeline", 1, 89, scope="other", trace=2)
    trace.call(2, 9, (100, 20), parent=other, scope="other", trace=2)
    found = assembled(trace)
    assert [run.totals.calls for run in found.runs] == [1]


def test_a_step_that_only_holds_an_agent_of_its_name_is_one_line() -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    step = trace.step("qa_agent", 0, 50, parent=run)
    agent = trace.agent("QA Agent", 1, 49, parent=step)
    trace.call(2, 3, (100, 20), parent=agent)
    found = only_run(trace)
    assert [(line.agent, line.name, line.totals.calls) for line in found.steps] == [("QA Agent", "qa_agent", 1)]
    assert [(agent.name, agent.steps) for agent in found.agents] == [("QA Agent", 1)]


def test_the_plumbing_inside_somebodys_agent_is_no_step_but_our_own_steps_are() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 100, scope="framework")
    trace.call(2, 3, (1, 1), parent=trace.step("model", 1, 9, parent=dev, scope="framework"))
    mine = trace.agent("Mine", 200, 300, scope="costspan")
    trace.call(202, 203, (1, 1), parent=trace.step("plan", 201, 209, parent=mine, scope="costspan"))
    first, second = assembled(trace).runs
    assert [line.name for line in first.steps] == ["Dev"]
    assert [(line.name, line.totals.calls) for line in second.steps] == [("plan", 1)]


def test_steps_are_in_order_of_time_and_each_call_is_in_one_of_them() -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    for name, start in (("QA", 60), ("PM", 0), ("Dev", 30)):
        agent = trace.agent(name, start, start + 20, parent=run)
        trace.call(start + 1, start + 5, (start, 5), parent=agent)
    found = only_run(trace)
    assert [(line.index, line.name) for line in found.steps] == [(0, "PM"), (1, "Dev"), (2, "QA")]
    assert sum(line.totals.calls for line in found.steps) == found.totals.calls


def test_two_layers_of_one_tool_are_one_execution_and_parallel_ones_stay_as_many() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 100)
    trace.call(0, 1, (1, 1), parent=dev)
    for each in range(5):
        trace.tool("run_tests", 10, 20 + each, parent=dev, scope="framework")
        trace.tool("run_tests", 11, 19 + each, parent=dev, scope="other")
    assert only_run(trace).tools[0].calls == 5


def test_a_nested_workflow_is_part_of_the_outermost_run() -> None:
    trace = Trace()
    run = trace.run("crew", 0, 100)
    tool = trace.tool("research", 1, 90, parent=trace.agent("Dev", 0, 99, parent=run))
    inner = trace.run("research_crew", 2, 80, parent=tool)
    trace.call(3, 4, (1, 1), parent=trace.agent("Researcher", 2, 70, parent=inner))
    found = only_run(trace)
    assert found.workflow == "crew"
    assert found.tools[0].nested.calls == 1


def test_a_cache_hit_costs_nothing_and_is_counted() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 100)
    trace.call(0, 1, (100, 20), parent=dev, cache_hit=True)
    run = only_run(trace)
    assert run.totals == Totals(cache_hits=1)
    assert run.models == ()


def test_agents_that_made_no_call_are_left_out() -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    trace.agent("Idle", 0, 10, parent=run)
    trace.call(20, 30, (1, 1), parent=trace.agent("Busy", 20, 40, parent=run))
    assert [agent.name for agent in only_run(trace).agents] == ["Busy"]


def test_models_are_summed_by_provider_and_model() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 100)
    for model in ("a", "b", "a"):
        trace.call(0, 1, (100, 20), parent=dev, provider="openai", request_model=model)
    assert [(m.model, m.totals.calls) for m in only_run(trace).models] == [("a", 2), ("b", 1)]


# --- odd input ---------------------------------------------------------------------------------------------
def test_cycles_missing_parents_and_repeated_spans_are_survived_and_noted() -> None:
    trace = Trace()
    one = trace.agent("A", 0, 10)
    two = trace.agent("B", 1, 9, parent=one)
    one[0].parent_id = two[0].span_id
    trace.call(2, 3, (100, 20), parent=two)
    trace.spans.append(trace.spans[-1])
    orphan = trace.call(4, 5, (1, 1))
    orphan[0].parent_id = 999_999
    found = assembled(trace)
    assert found.totals.usage.total_tokens == 122
    assert found.notes == (
        "1 span names a parent that is not here: its owner may be incomplete",
        "1 span was its own ancestor: that link was cut",
        "1 span came twice and was counted once",
    )


def test_a_run_that_never_ended_lasts_until_its_last_span() -> None:
    trace = Trace()
    run = trace.run("graph", 10, 0)
    trace.call(20, 30, (100, 20), parent=run)
    found = only_run(trace)
    assert (found.duration_seconds, found.notes) == (0.02, ("1 of its spans never ended",))


def test_a_span_that_ends_before_it_begins_counts_its_tokens_and_no_time() -> None:
    trace = Trace()
    run = trace.run("graph", 10, 100)
    trace.call(50, 20, (100, 20), parent=run)
    found = assembled(trace)
    assert (found.totals.usage.total_tokens, found.totals.duration_seconds) == (120, 0.0)
    assert "clock jumped" in found.notes[0]


def test_a_chain_of_a_hundred_thousand_spans_is_survived() -> None:
    trace = Trace()
    above = trace.agent("A", 0, 10)
    for _ in range(20_000):
        above = trace.span(None, 0, 10, parent=above)
    trace.call(1, 2, (1, 1), parent=above)
    assert only_run(trace).calls[0].owner.agent == "A"


# --- the conservation law -------------------------------------------------------------------------------------
@st.composite
def run_trees(draw: st.DrawFn) -> Trace:
    trace = Trace()
    units = [trace.unit(draw(st.sampled_from([RUN, AGENT])), "root", 0, 1000)]
    for _ in range(draw(st.integers(0, 10))):
        kind = draw(st.sampled_from([AGENT, AGENT, TOOL, STEP, RUN, None]))
        parent = draw(st.sampled_from(units))
        scope = draw(st.sampled_from(["a", "costspan"]))
        if kind is None:
            units.append(trace.span(None, 0, 1000, parent=parent, scope=scope))
        else:
            units.append(trace.unit(kind, draw(st.sampled_from("ABC")), 0, 1000, parent=parent, scope=scope))
    for _ in range(draw(st.integers(0, 10))):
        start = draw(st.integers(0, 900))
        trace.call(
            start,
            start + draw(st.integers(0, 100)),
            draw(st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))),
            parent=draw(st.sampled_from(units)),
            agent=draw(st.sampled_from([None, None, "A", "D"])),
            cache_hit=draw(st.sampled_from([False, False, False, True])),
            scope=draw(st.sampled_from(["a", "costspan"])),
        )
    return trace


def added(parts: list[Totals]) -> tuple[int, int, int, int, Decimal]:
    money = ZERO
    for part in parts:
        money = MONEY.add(money, part.cost_usd or ZERO)
    return (
        sum(part.calls for part in parts),
        sum(part.cache_hits for part in parts),
        sum(part.usage.input_tokens or 0 for part in parts),
        sum(part.usage.output_tokens or 0 for part in parts),
        money,
    )


@settings(max_examples=300, deadline=None)
@given(run_trees())
def test_a_run_is_the_sum_of_its_agents_and_what_is_unattributed_exactly(trace: Trace) -> None:
    found = assembled(trace)
    for run in found.runs:
        assert added([run.totals]) == added([*(agent.self_totals for agent in run.agents), run.unattributed])
        models = added([model.totals for model in run.models])
        assert added([run.totals]) == (models[0], run.totals.cache_hits, *models[2:])
        for agent in run.agents:
            assert agent.subtree.calls >= agent.self_totals.calls
    assert added([found.totals]) == added([*(run.totals for run in found.runs), _lone(found)])


def _lone(found: Assembled) -> Totals:
    tally = Tally()
    for call in found.lone_calls:
        tally.add(call)
    return tally.freeze()


@settings(max_examples=200, deadline=None)
@given(run_trees())
def test_the_subtree_of_an_outermost_agent_is_the_whole_run(trace: Trace) -> None:
    for run in assembled(trace).runs:
        root = trace.spans[0][1]
        if root is not None and root.kind == AGENT and run.totals.calls:
            assert next(agent for agent in run.agents if agent.name == "root").subtree == run.totals


def test_a_price_of_many_decimals_adds_up_exactly() -> None:
    trace = Trace()
    for name in ("A", "B", "C"):
        trace.call(0, 1, (10**9, 7), parent=trace.agent(name, 0, 10, trace=1))
    assert assembled(trace).totals.cost_usd == PRICE * 3 * (10**9 + 7)


@pytest.mark.parametrize("scopes", [("x", "y"), ("y", "x")])
def test_the_same_input_gives_the_same_record(scopes: tuple[str, str]) -> None:
    trace = Trace()
    run = trace.run("graph", 0, 100)
    for scope in scopes:
        trace.call(0, 10, (1, 1), parent=run, scope=scope)
    assert assemble(trace.spans, make=make) == assemble(trace.spans[::-1], make=make)


def test_notes_about_one_span_and_about_several_have_their_own_words():
    assert [noted(count, "came twice and was counted once") for count in (1, 2000)] == [
        "1 span came twice and was counted once",
        "2,000 spans came twice and were counted once",
    ]
