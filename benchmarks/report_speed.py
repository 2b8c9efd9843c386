"""How fast `costspan report` is on one core, with the bare decode beside it as the limit, and how much memory it takes.

    python benchmarks/report_speed.py [--spans 50000] [--rounds 5] [--traces GLOB]
    python benchmarks/report_speed.py --gigabyte      # writes a file of 1 GB to a temporary folder and reports on it

Processor time, best of several rounds, taken in turns, because other programs on the machine only ever add to it.
The traces: pipelines of three agents with nine model calls, tools and HTTP spans, lean (no message content). With --traces,
real files instead, repeated with new ids.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

import otlp_build as build
from costspan.intake.files import read_files
from costspan.intake.report_files import report_files
from costspan.normalise.dialects import read
from costspan.price.book import PriceBook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGETS = {"protobuf": 40_000, "json": 20_000}
BATCH = 500


def pipeline(chance: random.Random, at: float) -> Iterator[dict[str, Any]]:
    """One run: a workflow, three agents, three model calls each, a tool, an HTTP span."""
    trace = chance.getrandbits(128) | 1

    def new() -> int:
        return chance.getrandbits(64) | 1

    root = new()
    yield build.workflow(root, "pipeline", trace=trace, at=at, seconds=30)
    for place, name in enumerate(("PM", "Dev", "QA")):
        begin, agent = at + place * 10, new()
        yield build.agent(agent, name, trace=trace, parent=root, at=begin, seconds=9)
        for turn in range(3):
            told = {
                "gen_ai.usage.cache_read.input_tokens": 50,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.agent.name": name,
                "server.address": "api.openai.com",
            }
            tokens = (chance.randint(100, 9000), chance.randint(10, 900))
            yield build.chat(new(), trace=trace, parent=agent, at=begin + turn * 3, seconds=2, tokens=tokens, attributes=told)
        yield build.tool(new(), "run_tests", trace=trace, parent=agent, at=begin + 2.2, seconds=0.5)
        web = {"http.request.method": "POST", "url.full": "http://example/", "http.response.status_code": 200}
        yield build.span(new(), trace=trace, parent=agent, name="POST", at=begin + 2.2, attributes=web)


def lean(spans: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    made: list[dict[str, Any]] = []
    count = 0
    while count < spans:
        made += pipeline(chance, at=count / 400)
        if len(made) >= BATCH:
            count += len(made)
            yield build.request(*made)
            made = []


def again(paths: list[Path], spans: int) -> Iterator[dict[str, Any]]:
    """Real files, over and over, with new ids and two hours later each time."""
    chance = random.Random(2)
    texts = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in paths]
    count = turn = 0
    while count < spans:
        for text in texts:
            document = json.loads(text)
            mask = chance.getrandbits(64)
            for span in _spans(document):
                count += 1
                for name in ("traceId", "spanId", "parentSpanId"):
                    if span.get(name):
                        span[name] = f"{int(span[name], 16) ^ mask:0{len(span[name])}x}"
                for name in ("startTimeUnixNano", "endTimeUnixNano"):
                    span[name] = str(int(span[name]) + turn * 7200 * build.SECOND)
                span.pop("links", None)
            yield document
        turn += 1


def _spans(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            yield from scope_spans["spans"]


def write(folder: Path, requests: Iterator[dict[str, Any]]) -> dict[str, Path]:
    paths = {"protobuf": folder / "traces.pb", "json": folder / "traces.jsonl"}
    with paths["protobuf"].open("wb") as protobuf, paths["json"].open("wb") as lines:
        for request in requests:
            protobuf.write(build.to_protobuf(request))
            lines.write(build.to_json(request, separators=(",", ":")) + b"\n")
    return paths


def bare(kind: str, path: Path) -> None:
    """The limit: what the library alone takes to parse the file, spans not even looked at."""
    if kind == "protobuf":
        TracesData.FromString(path.read_bytes())
    else:
        for line in path.read_bytes().splitlines():
            json.loads(line)


def measure(kind: str, path: Path, rounds: int, book: PriceBook) -> None:
    count = sum(1 for _ in read_files([path]))
    steps: dict[str, Callable[[], object]] = {
        "bare parse": lambda: bare(kind, path),
        "decode to spans": lambda: [None for _ in read_files([path])],
        "decode and understand": lambda: [None for span in read_files([path]) if read(span)],
        "report": lambda: report_files([path], book, lambda _: None),
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - begin)
            gc.collect()
    print(f"{kind}: {count:,} spans, {path.stat().st_size / count:,.0f} bytes each")
    for name, seconds in best.items():
        print(f"  {name:22} {count / seconds:>11,.0f} spans/s  {seconds / count * 1e6:6.1f} us/span")
    reached = count / best["report"]
    print(f"  target {TARGETS[kind]:,} spans/s: {'reached' if reached >= TARGETS[kind] else 'missed'}")


def gigabyte() -> None:
    """`costspan report --json` on a gigabyte of JSON lines, its peak memory taken from the operating system."""
    with tempfile.TemporaryDirectory(prefix="costspan-bench-") as name:
        path = Path(name) / "traces.jsonl"
        with path.open("wb") as out:
            for request in lean(10**9):
                out.write(build.to_json(request, separators=(",", ":")) + b"\n")
                if out.tell() >= 1 << 30:
                    break
        command = [sys.executable, "-c", "from costspan.cli import main; main()", "report", str(path), "--json"]
        begin = time.perf_counter()
        with (Path(name) / "out.json").open("wb") as out:
            done = subprocess.run(command, stdout=out, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"1 GB of JSON lines: exit code {done.returncode}, {time.perf_counter() - begin:.0f} s, peak memory {peak:,.0f} MB")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--spans", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--traces", help="a glob of OTLP/JSON files to repeat, for example 'tests/pipeline/traces/o*.json.gz'")
    options.add_argument("--gigabyte", action="store_true", help="measure memory on a file of 1 GB instead")
    given = options.parse_args()
    if given.gigabyte:
        gigabyte()
        return
    gc.disable()  # as `costspan report` does
    book = PriceBook()
    book.preload()
    with tempfile.TemporaryDirectory(prefix="costspan-bench-") as name:
        real = sorted(Path().glob(given.traces)) if given.traces else []
        for kind, path in write(Path(name), again(real, given.spans) if real else lean(given.spans)).items():
            measure(kind, path, given.rounds, book)


if __name__ == "__main__":
    main()
