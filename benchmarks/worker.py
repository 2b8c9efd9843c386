"""One contender in one process: `python worker.py SUITE NAME speed|instructions|memory --out FILE`. Started by overhead.py.

Speed: process CPU (user and system, all threads, the exporter's flush included, garbage collector off) in blocks off, on,
on, off; or, under callgrind, instructions, which need no repeating. Memory: resident size after 10,000 and 50,000 calls,
growth of objects per call, spans that never ended.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import contenders
import counting

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = os.sysconf("SC_PAGE_SIZE")
_WARM = 20
"""Units of work before instructions are counted: the interpreter adapts its bytecode to what it sees."""


class Counting(SpanExporter):
    """Exports nowhere, counts."""

    def __init__(self) -> None:
        self.spans = 0
        self.last: list[Any] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += len(spans)
        self.last.extend(spans)
        del self.last[:-40]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        return


class Opened(SpanProcessor):
    """Counts the spans that are begun; only for the memory runs."""

    def __init__(self) -> None:
        self.spans = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.spans += 1


class Bench:
    """A contender attached to providers that export nothing."""

    def __init__(self, suite: str, name: str, *, count_opened: bool = False) -> None:
        self.speed = _workloads(suite)
        for workload in self.speed.keys() & {"invoke", "create", "stream"}:
            self.speed[workload][0]()  # so that whatever a contender patches is loaded
        resource = Resource.create({"service.name": "bench"})
        self.exporter = Counting()
        self.opened = Opened()
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter, max_queue_size=65536, schedule_delay_millis=3_600_000))
        if count_opened:
            self.provider.add_span_processor(self.opened)
        meters = MeterProvider(metric_readers=[InMemoryMetricReader()], resource=resource, shutdown_on_exit=False)
        self.attached = contenders.attach(suite, name, self.provider, meters)

    def flush(self) -> None:
        self.provider.force_flush()


def _workloads(suite: str) -> dict[str, Any]:
    if suite == "langchain":
        import workloads

        return workloads.SPEED
    import sdk_workloads

    return sdk_workloads.build(suite)


# --- speed -----------------------------------------------------------------------------------------------
def speed(bench: Bench, wanted: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """CPU microseconds per unit of work, off and on, medians over blocks off, on, on, off."""
    found: dict[str, Any] = {}
    for workload in wanted:
        run, units, _ = bench.speed[workload]
        for switch in (bench.attached.off, bench.attached.on):
            switch()
            _block(bench, run, 3)
        times = max(2, int(seconds / max(_block(bench, run, 5) / 5, 1e-6)))
        before = bench.exporter.spans
        off: list[float] = []
        on: list[float] = []
        for _ in range(rounds):
            for switch, into in ((bench.attached.off, off), *((bench.attached.on, on),) * 2, (bench.attached.off, off)):
                switch()
                into.append(_block(bench, run, times) / times / units)
        found[workload] = {
            "off": statistics.median(off) * 1e6,
            "on": statistics.median(on) * 1e6,
            "spans": (bench.exporter.spans - before) / (2 * rounds * times * units),
        }
    return found


def _block(bench: Bench, run: Callable[[], None], times: int) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        for _ in range(times):
            run()
        bench.flush()
        return time.process_time() - began
    finally:
        gc.enable()


def instructions(bench: Bench, wanted: list[str], folder: Path, share: float) -> dict[str, Any]:
    """Instructions per unit of work, off and on; only under callgrind. `share` of the usual repetitions."""
    counter = counting.Counter(folder)
    counter.start()
    nothing = counter.stop()
    found: dict[str, Any] = {}
    for workload in wanted:
        run, units, times = bench.speed[workload]
        repeat = max(1, round(times * share))
        counted: dict[str, float] = {}
        before = 0
        for state in ("off", "on"):
            (bench.attached.on if state == "on" else bench.attached.off)()
            for _ in range(max(2, round(_WARM / units * share))):
                run()
            bench.flush()
            before = bench.exporter.spans
            gc.collect()
            gc.disable()
            counter.start()
            for _ in range(repeat):
                run()
            bench.flush()
            counted[state] = (counter.stop() - nothing) / repeat / units
            gc.enable()
        found[workload] = {**counted, "spans": (bench.exporter.spans - before) / repeat / units}
    return found


# --- memory ----------------------------------------------------------------------------------------------
def memory(bench: Bench, small: int, large: int, calls: int) -> dict[str, Any]:
    """Resident bytes after `small` and `large` calls; per workload: objects gained per call, spans opened and ended."""
    import workloads

    bench.attached.on()
    found: dict[str, Any] = {"leaks": {}}
    _repeat(bench, workloads.invoke, small)
    first = _resident()
    _repeat(bench, workloads.invoke, large - small)
    found["resident"] = {"calls": [small, large], "bytes": [first, _resident()]}
    for workload, (run, each) in workloads.LEAKS.items():
        times = max(4, calls // each)
        _repeat(bench, run, times // 4)
        objects, opened, ended = _objects(), bench.opened.spans, bench.exporter.spans
        _repeat(bench, run, times)
        grown = _objects() - objects
        found["leaks"][workload] = {
            "objects": grown / (times * each),
            "opened": bench.opened.spans - opened,
            "ended": bench.exporter.spans - ended,
        }
    found["peak"] = _peak()
    return found


def _repeat(bench: Bench, run: Callable[[], None], times: int) -> None:
    for number in range(times):
        run()
        if number % 1000 == 999:
            bench.flush()
    bench.flush()
    bench.exporter.last.clear()
    gc.collect()


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions(suite: str, name: str) -> dict[str, str]:
    """What is installed beside this contender."""
    found = {"python": sys.version.split()[0]}
    hosts = ("langchain-core", "langgraph") if suite == "langchain" else (suite,)
    for package in (*hosts, "opentelemetry-sdk", *contenders.packages(suite, name)):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", choices=contenders.SUITES)
    parser.add_argument("name", choices=contenders.CONTENDERS)
    parser.add_argument("what", choices=("speed", "instructions", "memory"))
    parser.add_argument("--workloads", help="separated by commas; all without it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual repetitions, for instructions")
    parser.add_argument("--calls", type=int, nargs=3, default=(10_000, 50_000, 2_000))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    bench = Bench(asked.suite, asked.name, count_opened=asked.what == "memory")
    wanted = asked.workloads.split(",") if asked.workloads else list(bench.speed)
    if asked.what == "speed":
        result = speed(bench, wanted, asked.rounds, asked.seconds)
    elif asked.what == "instructions":
        result = instructions(bench, wanted, asked.folder, asked.share)
    else:
        result = memory(bench, *asked.calls)
    asked.out.write_text(json.dumps({"name": asked.name, "versions": versions(asked.suite, asked.name), "result": result}))


if __name__ == "__main__":
    main()
