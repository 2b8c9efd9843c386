"""What costspan adds to a program, beside a hand-written floor and the other instrumentations: LangChain, OpenAI, Anthropic.

    python benchmarks/overhead.py                 everything; instructions by callgrind decide (20 minutes on two cores)
    python benchmarks/overhead.py --cpu           by CPU time alone, 8 minutes: a quiet machine, please
    python benchmarks/overhead.py --no-peers      costspan, the floors and the do-nothing callback
    python benchmarks/overhead.py --quick         these with few repetitions: shows that it runs, decides nothing

Prints tables with the ratios, then the goals; exits with 1 where one is missed. Each contender runs in a process of its own,
peers in an environment of their own that is made here (see environments.py). On and off alternate in that process: in blocks
off, on, on, off for CPU time; for instructions, which repeat whatever else the machine does, once. Method: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import counting
import environments
import goals
import startup
import tables

HERE = Path(__file__).parent
OURS = {
    "langchain": ("none", "noop", "floor-lean", "floor", "costspan", "costspan-record"),
    "openai": ("none", "costspan"),
    "anthropic": ("none", "costspan"),
}
"""Suite -> contenders that need no other environment; a suite is the host that is instrumented."""
_HOSTS = tuple(OURS)
PEERS = {
    "openinference": tuple(f"openinference-instrumentation-{host}" for host in _HOSTS),
    "openllmetry": tuple(f"opentelemetry-instrumentation-{host}" for host in _HOSTS),
    "otel-genai": tuple(f"opentelemetry-instrumentation-genai-{host}" for host in _HOSTS),
    "openlit": ("openlit>=1.45",),  # a resolver that has to keep to today's SDKs would go back to a very old one
}
"""Contender -> what its own environment installs, the newest that resolves."""
Found = dict[str, dict[str, dict[str, Any]]]


class NotMeasuredError(Exception):
    """A contender that could not be measured."""


def worker(python: Path, suite: str, name: str, what: str, *options: str) -> dict[str, Any]:
    """Run worker.py for one contender; under callgrind for `instructions`."""
    with tempfile.TemporaryDirectory(prefix="costspan-bench-") as folder:
        out = Path(folder) / "result.json"
        count = what == "instructions"
        before = [*counting.command(Path(folder)), str(python)] if count else [str(python)]
        more = ["--folder", folder] if count else []
        command = [*before, "-W", "ignore", str(HERE / "worker.py"), suite, name, what, *options, *more, "--out", str(out)]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "COSTSPAN_", "TRACELOOP_"))}
        done = subprocess.run(
            command, env={**clean, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False, cwd=folder
        )
        if not out.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise NotMeasuredError(f"{suite}, {name}: {last[0] if last else f'exit status {done.returncode}'}")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def python_of(name: str) -> Path:
    return environments.environment(name, PEERS[name]) if name in PEERS else Path(sys.executable)


def run(found: Found, suite: str, name: str, kind: str, options: list[str]) -> None:
    """Measure one thing of one contender; a peer that fails is named and left out."""
    print(f"{suite}: {name}, {kind} …", file=sys.stderr, flush=True)
    try:
        answer = worker(python_of(name), suite, name, "speed" if kind == "cpu" else kind, *options)
    except (NotMeasuredError, RuntimeError) as error:
        print(f"left out, {error}", file=sys.stderr)
        if name not in PEERS:
            raise SystemExit(1) from error
        return
    result = found.setdefault(suite, {}).setdefault(name, {})
    result["versions"], result[kind] = answer["versions"], answer["result"]


def measure(contenders: dict[str, list[str]], asked: argparse.Namespace) -> Found:
    """Suite -> contender -> {"versions", "instructions", "cpu", "memory"}, as far as asked for."""
    found: Found = {suite: {name: {} for name in names} for suite, names in contenders.items()}
    pairs = [(suite, name) for suite, names in contenders.items() for name in names]
    if not asked.cpu:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # counting is not disturbed by company
            list(pool.map(lambda pair: run(found, *pair, "instructions", _counted(*pair, quick=asked.quick)), pairs))
        save(found, asked.json)
    seconds = ["--rounds", "1", "--seconds", "0.02"] if asked.quick else ["--rounds", str(asked.rounds)]
    for suite, name in pairs:
        run(found, suite, name, "cpu", seconds)
        save(found, asked.json)
    for name in ("floor", "costspan"):
        if name in contenders.get("langchain", ()):
            run(found, "langchain", name, "memory", ["--calls", "100", "200", "40"] if asked.quick else [])
    return {suite: {name: result for name, result in names.items() if result} for suite, names in found.items()}


def _counted(suite: str, name: str, *, quick: bool) -> list[str]:
    """Callgrind takes minutes for the concurrent workloads: they are counted of those whom the goals compare."""
    short = suite == "langchain" and (quick or name in {"none", "noop", "floor-lean", "costspan-record"})
    return [*(["--workloads", "invoke,pipeline,stream,stream_long"] if short else []), *(["--share", "0.1"] if quick else [])]


def save(found: dict[str, Any], path: Path | None) -> None:
    """Write what was measured so far."""
    if path is not None:
        path.write_text(json.dumps(found, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="CPU time alone, no instructions")
    parser.add_argument("--no-peers", action="store_true", help="only what needs no other environment")
    parser.add_argument("--suites", default=",".join(OURS), help="of langchain,openai,anthropic")
    parser.add_argument("--quick", action="store_true", help="few repetitions, no peers; goals are shown and not enforced")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of off, on, on, off by CPU time")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    asked = parser.parse_args()
    if not asked.cpu and counting.available() is None:
        print("instructions are not counted, CPU time decides: valgrind is not installed (apt-get install valgrind)")
        asked.cpu = True
    unknown = set(asked.suites.split(",")) - set(OURS)
    if unknown:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}: choose of {', '.join(OURS)}")
    return asked


def main() -> int:
    """Measure, print, decide."""
    asked = arguments()
    peers = [] if asked.no_peers or asked.quick else list(PEERS)
    with ThreadPoolExecutor(2) as pool:  # the environments are downloads: two at a time
        list(pool.map(_made, peers))
    found = measure({suite: [*OURS[suite], *peers] for suite in asked.suites.split(",")}, asked)
    start = startup.measure(1 if asked.quick else 7)
    save({**found, "start": start}, asked.json)
    kinds = ["cpu"] if asked.cpu else ["instructions", "cpu"]
    print(tables.everything(found, start, kinds))
    verdicts = goals.judge(found, start, kinds[0])
    print("\nGoals, by " + ("CPU time" if asked.cpu else "instructions"))
    for verdict in verdicts:
        print(("  met     " if verdict.met else "  MISSED  ") + verdict.text)
    return 0 if asked.quick or all(verdict.met for verdict in verdicts) else 1


def _made(name: str) -> None:
    try:
        environments.environment(name, PEERS[name])
    except RuntimeError:
        pass  # said when it is measured


if __name__ == "__main__":
    sys.exit(main())
