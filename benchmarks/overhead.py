"""What costspan adds to a LangChain program, beside a hand-written floor and the other instrumentations.

    python benchmarks/overhead.py --instructions     everything, instructions counted by callgrind (20 minutes)
    python benchmarks/overhead.py                    everything, by CPU time: a quiet machine, please
    python benchmarks/overhead.py --no-peers         costspan, the floor and the do-nothing callback
    python benchmarks/overhead.py --quick            the same with few repetitions: shows that it runs, decides nothing

Each contender runs in a process of its own, peers in an environment of their own that is made here, once (see environments.py).
On and off alternate in that process, in blocks off, on, on, off. The goals are printed at the end; missing one exits with 1.
Method and figures: docs/performance.md.
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

HERE = Path(__file__).parent
SHOWN = ("invoke", "pipeline", "stream", "async100", "threads8")
OURS = ("none", "noop", "floor", "costspan", "costspan-record")
PEERS = {
    "openinference": ("openinference-instrumentation-langchain",),
    "openllmetry": ("opentelemetry-instrumentation-langchain",),
    "otel-genai": ("opentelemetry-instrumentation-genai-langchain",),
    "openlit": ("openlit",),
}
"""Contender -> what its own environment installs, the newest that resolves."""


class NotMeasuredError(Exception):
    """A contender that could not be measured."""


def worker(python: Path, name: str, what: str, *options: str, count: bool = False) -> dict[str, Any]:
    """Run worker.py for one contender; under callgrind with `count`."""
    with tempfile.TemporaryDirectory(prefix="costspan-bench-") as folder:
        out = Path(folder) / "result.json"
        before = [*counting.command(Path(folder)), str(python)] if count else [str(python)]
        more = ["--folder", folder] if count else []
        command = [*before, "-W", "ignore", str(HERE / "worker.py"), name, what, *options, *more, "--out", str(out)]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "COSTSPAN_", "TRACELOOP_"))}
        done = subprocess.run(
            command, env={**clean, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False, cwd=folder
        )
        if not out.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise NotMeasuredError(f"{name}: {last[0] if last else f'exit status {done.returncode}'}")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def python_of(name: str) -> Path:
    return environments.environment(name, PEERS[name]) if name in PEERS else Path(sys.executable)


def measure(names: list[str], asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Contender -> {"versions", "instructions" or "cpu", "memory"}; a peer that fails is named and left out."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            found[name] = _one(name, asked)
        except (NotMeasuredError, RuntimeError) as error:
            print(f"left out, {error}", file=sys.stderr)
            if name in OURS:
                raise SystemExit(1) from error
    return found


def _one(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    python = python_of(name)
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    found: dict[str, Any] = {}
    rounds = ["--rounds", "1", "--seconds", "0.02"] if asked.quick else ["--rounds", str(asked.rounds)]
    cpu = worker(python, name, "speed", *rounds)
    found["versions"], found["cpu"] = cpu["versions"], cpu["result"]
    if asked.instructions:
        times = ["--times", "4" if asked.quick else "60"]
        found["instructions"] = worker(python, name, "instructions", *times, count=True)["result"]
    if name in {"floor", "costspan"} or asked.memory_of_peers:
        calls = ["--calls", "100", "200", "40"] if asked.quick else []
        found["memory"] = worker(python, name, "memory", *calls)["result"]
    return found


# --- output ------------------------------------------------------------------------------------------------
def table(found: dict[str, dict[str, Any]], kind: str) -> str:
    """Markdown: added per unit of work and the ratio to the floor."""
    unit, scale = ("k instructions", 1e-3) if kind == "instructions" else ("us CPU", 1.0)
    lines = [
        f"Added per unit of work, in {unit}; in brackets the ratio to the floor",
        "",
        "| | " + " | ".join(SHOWN) + " | per chunk | spans per pipeline |",
        "|---" * (len(SHOWN) + 3) + "|",
    ]
    floor = found["floor"][kind]
    off = found["none"][kind]
    lines.append("| without | " + " | ".join(f"{off[each]['off'] * scale:,.0f}" for each in SHOWN) + " | | |")
    for name, result in found.items():
        cells = []
        for each in SHOWN:
            added, base = goals.added(result[kind], each), goals.added(floor, each)
            cells.append(f"{added * scale:,.0f} ({added / base:.2f})" if base > 0 else f"{added * scale:,.0f}")
        chunk = goals.chunk(result[kind]) * scale
        lines.append(f"| {name} | {' | '.join(cells)} | {chunk:,.2f} | {result[kind]['pipeline']['spans']:.0f} |")
    return "\n".join(lines)


def memory_table(found: dict[str, dict[str, Any]]) -> str:
    lines = ["Memory: growth between the two counts of calls; objects gained per call; spans opened and ended", ""]
    for name, result in found.items():
        if "memory" in result:
            (small, large), (first, last) = result["memory"]["resident"]["calls"], result["memory"]["resident"]["bytes"]
            lines.append(f"{name}: {small:,} calls {first / 2**20:.1f} MiB, {large:,} calls {last / 2**20:.1f} MiB")
            for leak, one in result["memory"]["leaks"].items():
                lines.append(f"  {leak:13}{one['objects']:+.2f} objects a call, {one['ended']} of {one['opened']} spans ended")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", action="store_true", help="count instructions with callgrind (needs valgrind)")
    parser.add_argument("--no-peers", action="store_true", help="only what needs no other environment")
    parser.add_argument("--only", help="contenders, separated by commas (floor, none and noop always)")
    parser.add_argument("--quick", action="store_true", help="few repetitions; goals are shown and not enforced")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of off, on, on, off by CPU time")
    parser.add_argument("--memory-of-peers", action="store_true", help="memory of the other instrumentations too")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    asked = parser.parse_args()
    if asked.instructions and counting.available() is None:
        parser.error("--instructions needs valgrind: apt-get install valgrind (or your system's package)")
    return asked


def main() -> int:
    """Measure, print, decide."""
    asked = arguments()
    names = list(OURS) + ([] if asked.no_peers or asked.quick else list(PEERS))
    if asked.only:
        names = [name for name in names if name in {"none", "noop", "floor", *asked.only.split(",")}]
    with ThreadPoolExecutor(2) as pool:  # the environments are downloads: two at a time
        list(pool.map(_made, [name for name in names if name in PEERS]))
    found = measure(names, asked)
    start = startup.measure(1 if asked.quick else 7)
    kinds = ["instructions", "cpu"] if asked.instructions else ["cpu"]
    for kind in kinds:
        print(table(found, kind), end="\n\n")
    print(memory_table(found), end="\n\n")
    print(startup.text(start), end="\n\n")
    for name, result in found.items():
        print(name, ", ".join(f"{package} {version}" for package, version in result["versions"].items()))
    if asked.json:
        asked.json.write_text(json.dumps({"contenders": found, "start": start}, indent=1))
    verdicts = goals.judge(found, start, kinds[0], [name for name in PEERS if name in found])
    print("\nGoals, by " + ("instructions" if asked.instructions else "CPU time"))
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
