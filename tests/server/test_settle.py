"""Traces of real instrumentations, cut up, shuffled and sent in pieces, come to what they come to as a whole."""

from __future__ import annotations

import gc
import gzip
import json
import random
from pathlib import Path

import pytest

from costspan.account.assemble import assemble
from costspan.account.booking import make_call
from costspan.history.money import to_nano
from costspan.intake.files import read_files
from costspan.normalise.dialects import read
from costspan.server.inbox import sane
from otlp_build import SCOPE, agent, chat, request, to_protobuf, tool, workflow
from serve_parts import BOOK, SECOND, Bench

TRACES = Path(__file__).parents[1] / "pipeline" / "traces"
NAMES = sorted(path.name for path in TRACES.glob("*.json.gz"))


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "history.db")
    yield made
    made.close()


def expected(path):
    pairs = [(sane(record), read(record)) for record in read_files([path])]
    return assemble(pairs, make=lambda record, reading, owner: make_call(record, reading, owner, BOOK))


def pieces(path, seed, size):
    """The file's spans in any order as requests of a few spans each."""
    text = gzip.decompress(path.read_bytes()).decode()
    documents = (
        [json.loads(text)]
        if text.lstrip().startswith("{") and "\n{" not in text
        else [json.loads(line) for line in text.splitlines() if line]
    )
    spans = [
        (rs.get("resource"), ss.get("scope"), span)
        for document in documents for rs in document["resourceSpans"] for ss in rs["scopeSpans"] for span in ss["spans"]
    ]  # fmt: skip
    random.Random(seed).shuffle(spans)
    for start in range(0, len(spans), size):
        yield json.dumps(
            {
                "resourceSpans": [
                    {"resource": r, "scopeSpans": [{"scope": s, "spans": [span]}]} for r, s, span in spans[start : start + size]
                ]
            }
        ).encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_shuffled_trace_comes_to_what_it_comes_to_as_a_whole(name, bench):
    truth = expected(TRACES / name)
    for body in pieces(TRACES / name, seed=1, size=3):
        bench.send(body, is_json=True)
    bench.wait()
    runs = [run for run in bench.whole() if not run.id.startswith("lone-")]
    assert [(run.id, run.totals, run.agents, run.tools) for run in runs] == [
        (r.id, r.totals, r.agents, r.tools) for r in truth.runs
    ]
    total = bench.total()
    assert (total.calls, total.input_tokens, total.output_tokens) == (
        truth.totals.calls, truth.totals.usage.input_tokens, truth.totals.usage.output_tokens,
    )  # fmt: skip
    assert total.cost_nano == sum_nano(truth)


def sum_nano(truth):
    costs = [call.cost.amount_usd for run in truth.runs for call in run.calls if call.cost and not call.cache_hit]
    costs += [call.cost.amount_usd for call in truth.lone_calls if call.cost and not call.cache_hit]
    return sum(to_nano(cost) for cost in costs) if costs else None


@pytest.mark.parametrize("name", NAMES[::4])
def test_late_spans_replace_what_was_settled_too_early(name, bench):
    truth = expected(TRACES / name)
    for number, body in enumerate(pieces(TRACES / name, seed=2, size=5)):
        bench.send(body, is_json=True)
        if number % 2:
            bench.wait()
    bench.wait()
    total = bench.total()
    assert (total.calls, total.cost_nano, total.cache_hits) == (truth.totals.calls, sum_nano(truth), truth.totals.cache_hits)
    assert len([run for run in bench.runs() if not run.lone]) == len(truth.runs)


def whole_run(trace=1):
    return (
        workflow(1, "pipeline", trace=trace, seconds=9),
        agent(2, "planner", trace=trace, parent=1, at=1, seconds=4),
        chat(3, trace=trace, parent=2, at=1, seconds=1),
        tool(4, "search", trace=trace, parent=2, at=2, seconds=1),
        chat(5, trace=trace, parent=2, at=3, seconds=1),
    )


def test_a_trace_waits_for_its_root_and_a_quiet_moment(bench):
    root, *rest = whole_run()
    bench.send(to_protobuf(request(*rest)))
    bench.wait(10)
    assert bench.runs() == []
    bench.send(to_protobuf(request(root)))
    bench.wait(1)
    assert bench.runs() == []
    bench.wait(4)
    (run,) = bench.runs()
    assert (run.workflow, run.sums.calls, run.agents, run.tools) == ("pipeline", 2, 1, 1)


def test_a_trace_without_a_root_settles_after_two_quiet_minutes(bench):
    bench.send(to_protobuf(request(*whole_run()[1:])))
    bench.wait(121)
    (run,) = bench.runs()
    assert (run.sums.calls, run.agents) == (2, 1)


def test_a_restart_in_the_middle_of_a_trace_gives_one_run_with_right_totals(tmp_path):
    root, *rest = whole_run()
    before = Bench(tmp_path / "history.db")
    before.send(to_protobuf(request(*rest[:2])))
    before.settler.stop()
    before.close()
    after = Bench(tmp_path / "history.db")
    assert after.settler.restore(0) == 1
    after.send(to_protobuf(request(root, *rest[2:])))
    after.wait()
    (run,) = after.runs()
    assert (run.workflow, run.sums.calls, run.sums.input_tokens) == ("pipeline", 2, 2000)
    assert after.metric("costspan_calls_total") == 2
    after.close()


def test_a_layer_in_another_trace_that_comes_with_a_later_export_is_not_counted_again(bench):
    inner = chat(9, trace=77, at=1.1, seconds=0.8, attributes={"gen_ai.response.id": "resp-5-3"})
    bench.send(to_protobuf(request(inner, scope="opentelemetry.instrumentation.genai.openai")))
    bench.send(to_protobuf(request(*whole_run(trace=5), scope=SCOPE)))  # another scope: layers are possible from now on
    bench.wait(10)
    bench.wait()
    assert bench.total().calls == 2
    (run,) = bench.runs()
    assert run.duplicates == 1


def test_traces_that_only_run_at_the_same_time_do_not_wait_for_one_another(bench):
    """Two scopes tell of the calls, and one of the traces goes on: the other is settled all the same."""
    for trace in (1, 2):
        told = {"trace": trace, "at": 1, "tokens": (1000 + trace, 100)}
        spans = [agent(2, "planner", trace=trace, parent=1, seconds=8), chat(3, parent=2, seconds=2, **told)]
        if trace == 1:
            spans.append(workflow(1, "pipeline", trace=trace, seconds=9))
        bench.send(to_protobuf(request(*spans)))
        inner = chat(9, parent=3, seconds=1, attributes={"gen_ai.response.id": f"resp-{trace}-3"}, **told)
        bench.send(to_protobuf(request(inner, scope="opentelemetry.instrumentation.genai.openai")))
    bench.wait(4)
    assert [run.trace_id for run in bench.runs()] == [f"{1:032x}"]


def test_calls_count_once_in_metrics_however_often_their_trace_settles(bench):
    root, *rest = whole_run()
    bench.send(to_protobuf(request(root, *rest[:3])))
    bench.wait()
    bench.send(to_protobuf(request(rest[3])))
    bench.wait()
    assert bench.metric("costspan_calls_total") == 2
    assert bench.metric("costspan_runs_total") == 1
    assert bench.metric("costspan_tool_calls_total") == 1
    assert bench.total().calls == 2


@pytest.mark.parametrize("road", [None, "prometheus", "elsewhere"])
def test_metered_spans_are_stored_and_shown_but_not_counted(bench, road):
    bench.send(metered(road))
    bench.wait()
    assert bench.total().calls == 1
    assert bench.metric("costspan_calls_total") == 0
    assert bench.metric("costspan_runs_total") == 0


def test_spans_whose_metrics_came_here_and_were_dropped_are_counted(bench):
    bench.send(metered("otlp"))
    bench.wait()
    assert bench.metric("costspan_calls_total") == 1
    assert bench.metric("costspan_runs_total") == 1


def metered(road):
    told = {"costspan.kind": "call", "costspan.metered": True} | ({"costspan.metered.road": road} if road else {})
    spans = [workflow(1, "job", seconds=5, attributes={"costspan.kind": "run"}), chat(2, parent=1, at=1, attributes=told)]
    return to_protobuf(request(*spans, scope="costspan"))


def test_a_batch_that_comes_twice_counts_once(bench):
    body = to_protobuf(request(*whole_run()))
    bench.send(body)
    bench.wait()
    bench.send(body)
    bench.wait()
    assert bench.total().calls == 2
    assert len(bench.runs()) == 1
    assert bench.metric("costspan_calls_total") == 2


def test_spans_that_another_process_wrote_are_settled_with_ours(tmp_path):
    root, *rest = whole_run()
    one, other = Bench(tmp_path / "history.db"), Bench(tmp_path / "history.db")
    one.send(to_protobuf(request(*rest)))
    other.send(to_protobuf(request(root)))
    one.wait()
    other.wait()
    assert [(run.workflow, run.sums.calls) for run in other.runs()] == [("pipeline", 2)]
    assert other.total().calls == 2
    one.close()
    other.close()


def test_memory_stays_bounded_while_thousands_of_traces_are_open(bench, monkeypatch):
    monkeypatch.setattr("costspan.server.traces.PAIRS_MAX", 200)
    for trace in range(1, 101):
        bench.send(to_protobuf(request(*whole_run(trace)[1:])))  # no roots: none may settle
    assert bench.settler.open_spans <= 200
    for trace in range(1, 101):
        bench.send(to_protobuf(request(whole_run(trace)[0])))
        bench.wait(0)
    bench.wait()
    assert bench.total().calls == 200
    assert len(bench.runs()) == 100


def test_what_is_settled_leaves_memory_without_the_garbage_collector():
    """A server that receives thousands of spans a second puts the collector off; rings would pile up until it comes."""
    expected(TRACES / NAMES[0])
    gc.collect()
    gc.disable()
    try:
        for name in NAMES:
            expected(TRACES / name)
            assert gc.collect() < 20, name
    finally:
        gc.enable()


def test_live_runs_show_what_has_come_so_far(bench):
    bench.send(to_protobuf(request(*whole_run()[1:4])))
    (run,) = bench.settler.live_runs()
    assert (run.totals.calls, [each.name for each in run.agents]) == (1, ["planner"])
    assert SECOND  # live runs are not booked
    assert bench.runs() == []
