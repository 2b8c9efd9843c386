"""Owners in threads, executors, tasks, children and workers: a call belongs to whom it was made for."""

from __future__ import annotations

import asyncio
import contextvars
import json
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import costspan
from costspan.instrument import owners
from costspan.instrument.owners import OwnerPropagator, decode, encode
from costspan.records import NOBODY, Owner
from costspan.testing import measure

CHILD = """
    import costspan, json, sys
    from costspan.testing import measure
    with measure() as seen:
        {inside}
        owners = [dict(agent=c.owner.agent, workflow=c.owner.workflow) for r in seen.runs for c in r.calls]
        spans = [dict(s.attributes) | dict(trace=f"{{s.context.trace_id:032x}}", parent=s.parent and f"{{s.parent.span_id:016x}}")
                 for s in seen.spans]
        print(json.dumps(dict(tokens=seen.tokens(agent="writer", workflow="nightly"), all=seen.tokens(), spans=spans,
                              runs=seen.metric("costspan_runs_total"), notes=[r.notes for r in seen.runs])))
"""


def call():
    costspan.record_call(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=100)


def as_writer(work):
    with costspan.run("nightly"), costspan.agent("writer"):
        return work()


def in_thread():
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def in_timer():
    timer = threading.Timer(0, call)
    timer.start()
    timer.join()


def in_executor():
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: call(), [1]))


def in_thread_of_a_thread():
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()


def in_to_thread():
    asyncio.run(asyncio.to_thread(call))


def in_run_in_executor():
    async def work():
        await asyncio.get_running_loop().run_in_executor(None, call)

    asyncio.run(work())


def in_task():
    async def work():
        async def one():
            call()

        await asyncio.gather(one())

    asyncio.run(work())


def in_callback():
    async def work():
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0, lambda: (call(), done.set()))
        await done.wait()

    asyncio.run(work())


WAYS = [in_thread, in_timer, in_executor, in_thread_of_a_thread, in_to_thread, in_run_in_executor, in_task, in_callback]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_work_that_hops_keeps_its_owner(seen, way):
    as_writer(way)
    assert seen.tokens(agent="writer", workflow="nightly") == seen.tokens() == 1100
    assert seen.runs[0].agents[0].self_totals.calls == 1


def test_one_pool_for_several_agents_tells_them_apart(seen):
    with ThreadPoolExecutor(max_workers=1) as pool:
        for name in ("writer", "editor", "writer"):
            with costspan.run("nightly"), costspan.agent(name):
                pool.submit(call).result()
    assert (seen.tokens(agent="writer"), seen.tokens(agent="editor")) == (2200, 1100)


def worker(jobs):
    while (job := jobs.get()) is not None:
        job()
        jobs.task_done()


def test_a_worker_that_was_there_before_is_told_by_a_copied_context(seen):
    jobs = queue.Queue()
    thread = threading.Thread(target=worker, args=(jobs,))
    thread.start()
    for name in ("writer", "editor"):
        with costspan.run("nightly"), costspan.agent(name):
            here = contextvars.copy_context()
            jobs.put(lambda here=here: here.run(call))
            jobs.join()
    jobs.put(None)
    thread.join()
    assert (seen.tokens(agent="writer"), seen.tokens(agent="editor")) == (1100, 1100)


def test_a_thread_pool_without_contexts_is_told_by_a_carrier(seen):
    def work(carrier):
        with owners.continued(carrier):
            call()

    with ThreadPool(1) as pool:
        for name in ("writer", "editor"):
            with costspan.run("nightly"), costspan.agent(name):
                pool.apply(work, (owners.carrier(),))
    assert (seen.tokens(agent="writer"), seen.tokens(agent="editor")) == (1100, 1100)


def child(inside, **variables):
    code = "\n".join(line[4:] for line in CHILD.format(inside=inside).splitlines())
    env = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


RECORD = 'costspan.record_call(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=100)'


def test_a_child_process_takes_its_owner_from_the_environment(seen):
    found = as_writer(lambda: child(RECORD, **owners.environment()))
    assert (found["tokens"], found["all"]) == (1100, 1100)
    (span,) = found["spans"]
    (above,) = [each for each in seen.spans if each.name == "invoke_agent writer"]
    assert span["trace"] == f"{above.context.trace_id:032x}"
    assert span["parent"] == f"{above.context.span_id:016x}"
    assert span["gen_ai.agent.name"] == "writer"


def test_what_a_child_process_does_is_a_part_and_no_run_of_its_own(seen):
    found = as_writer(lambda: child(f'with costspan.tool("search"): {RECORD}', **owners.environment()))
    assert (found["tokens"], found["runs"]) == (1100, 0)
    assert found["notes"] == [["part of a run that another process has begun"]]


def test_a_child_process_without_the_variables_or_with_broken_ones_is_on_its_own(seen):
    for variables in ({}, {"TRACEPARENT": "nonsense", "COSTSPAN_OWNER": "=;%%"}):
        found = as_writer(lambda variables=variables: child(RECORD, **variables))
        assert (found["tokens"], found["all"]) == (0, 1100)


def forked(pipe):
    # What the parent has counted is in the copy too: only the difference is the child's.
    from costspan.instrument.spans import SWITCH

    before = SWITCH.spans.desk.meters.collect()
    call()
    after = SWITCH.spans.desk.meters.collect()
    pipe.send((tokens(before), tokens(after)))


def tokens(metrics):
    found = [series for each in metrics if each.spec.name == "costspan_tokens_total" for series in each.series]
    return {series.labels[2]: series.value for series in found if "input_uncached" in series.labels}


def test_a_forked_child_keeps_the_owner_it_was_forked_in(seen):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=forked, args=(theirs,))
    as_writer(lambda: (process.start(), process.join(20)))
    before, after = ours.recv()
    assert after.get("writer", 0) - before.get("writer", 0) == 1000


@pytest.fixture
def standard():
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), OwnerPropagator()]))
    yield
    propagate.set_global_textmap(before)


def test_a_queues_worker_goes_on_for_the_owner_by_the_standard_propagator(seen, standard):
    message = {}
    as_writer(lambda: propagate.inject(message))
    assert set(message) == {"traceparent", "costspan-owner"}
    token = otel_context.attach(propagate.extract(message))
    with costspan.tool("search"):
        call()
    call()
    otel_context.detach(token)
    assert seen.tokens(agent="writer", workflow="nightly") == 2200
    assert len({span.context.trace_id for span in seen.spans}) == 1
    assert seen.metric("costspan_runs_total") == 1  # the sender's


def test_nothing_is_injected_where_nobody_owns_or_nobody_asked(seen):
    message = {}
    OwnerPropagator().inject(message)
    assert message == {}
    as_writer(lambda: propagate.inject(message))
    assert "costspan-owner" not in message


def test_names_survive_the_way_and_nonsense_does_not():
    owner = Owner("night, ly=", "the writer / é", None, "sëarch")
    assert decode(encode(owner)) == owner
    assert encode(owner).isascii()
    for text in ("", "agent", "agent=", "who=x", None, 7, "a=b,c=d", ",,,,,,,,,,,,,,agent=x"):
        assert decode(text) == NOBODY, text
    assert len(decode("agent=" + "x" * 5000).agent) == 200


def test_going_on_puts_the_context_back(seen):
    before = otel_context.get_current()
    with owners.continued(as_writer(owners.carrier)):
        assert trace.get_current_span().get_span_context().is_remote
        call()
    assert otel_context.get_current() is before
    with owners.continued({}):
        call()
    assert seen.tokens(agent="writer") == 1100


def test_switching_off_leaves_the_context_of_the_environment(monkeypatch):
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    monkeypatch.setenv("COSTSPAN_OWNER", "agent=writer")
    with measure() as seen:
        call()
        assert seen.tokens(agent="writer") == 1100
    assert not otel_context.get_current()


def test_a_celery_like_worker_in_a_process_of_its_own(seen, tmp_path):
    job = tmp_path / "job.json"
    as_writer(lambda: job.write_text(json.dumps({"headers": owners.carrier(), "args": ["x"]})))
    inside = (
        "import pathlib; from costspan.instrument.owners import continued\n"
        f"        job = json.loads(pathlib.Path({str(job)!r}).read_text())\n"
        f"        with continued(job['headers']): {RECORD}"
    )
    assert child(inside)["tokens"] == 1100
    assert Path(job).exists()


def test_each_part_of_a_run_that_one_process_does_is_a_record_of_its_own(seen):
    with costspan.run("nightly"), costspan.agent("writer"):
        message = owners.carrier()
    with owners.continued(message):
        for _ in range(3):
            with costspan.agent("helper"):
                costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    parts = seen.runs[1:]
    assert [part.totals.usage.total_tokens for part in parts] == [11, 11, 11]
    assert len({part.id for part in seen.runs}) == 4
