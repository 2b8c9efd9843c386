"""The demo's agents in a loop, as a service would run them: a process with costspan on and /metrics served.

Started by `Worker`; it takes one command a line on stdin (`run N`, `loop`, `spike`, `quit`) and answers with one line of JSON.
Its model provider runs inside of it and writes its log to a file, so that what was billed can be compared with what is shown.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import costspan
from costspan.demo.monitoring import free_port
from costspan.demo.play import loopback_only, price
from costspan.demo.provider import FakeProvider
from costspan.demo.provider_log import Entry, from_json
from costspan.demo.replies import Reply
from costspan.errors import CostspanError
from costspan.records import MONEY, ZERO, Usage

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType

    from costspan.price.book import PriceBook

SPIKE: Final = Reply(
    model="gpt-5-pro",
    usage=Usage(input_tokens=180_000, output_tokens=40_000, reasoning_tokens=36_000),
    text="I read the whole repository and thought about it at length.",
)
"""What the spike is: somebody switched an agent to the dearest model and handed it the whole repository."""
PAUSE_SECONDS: Final = 0.5
_HANG_SECONDS: Final = 300.0


class Worker:
    """One such process, from the outside. `port` serves /metrics; a worker started with another's port takes its place."""

    def __init__(self, directory: Path, name: str, *, seed: int = 0, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.log_file = directory / f"{name}.log.jsonl"
        directory.mkdir(parents=True, exist_ok=True)
        self._command = [sys.executable, "-m", "costspan.demo.alert_worker", "--port", str(self.port)]
        self._command += ["--seed", str(seed), "--log", str(self.log_file)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer; `run N` answers when the runs are done."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            message = f"a worker of the demo ended; run {' '.join(self._command)} to see why"
            raise CostspanError(message)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def entries(self) -> list[Entry]:
        """The provider's log so far."""
        if not self.log_file.exists():
            return []
        return [from_json(json.loads(line)) for line in self.log_file.read_text(encoding="utf-8").splitlines()]

    def billed(self, book: PriceBook, *, since: int = 0) -> Decimal:
        """US dollars of the log's entries from number `since` on, by the price table."""
        total = ZERO
        for entry in self.entries()[since:]:
            total = MONEY.add(total, price(book, entry) or ZERO)
        return total


def main() -> None:
    """The process itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    with loopback_only(), FakeProvider(given.seed, log_file=given.log) as provider:
        costspan.enable(summary=False, metrics="prometheus", metrics_port=given.port)
        _Service(provider, given.seed).serve()


class _Service:
    def __init__(self, provider: FakeProvider, seed: int) -> None:
        self._provider = provider
        self._seeds = itertools.count(seed * 1000)
        self._looping = threading.Event()
        self._free = threading.Lock()

    def serve(self) -> None:
        threading.Thread(target=self._loop, name="agents", daemon=True).start()
        self._say(ready=True)
        for line in sys.stdin:
            word, _, number = line.strip().partition(" ")
            if word == "quit":
                return
            self._do(word, int(number or 1))

    def _do(self, word: str, number: int) -> None:
        if word == "loop":
            self._looping.set()
            self._say(looping=True)
            return
        self._looping.clear()
        with self._free:  # the run that the loop is at ends first
            if word == "spike":
                self._say(since=len(self._provider.log))
                threading.Thread(target=self._run, kwargs={"spike": True}, name="spike", daemon=True).start()
                return
            for _ in range(number):
                self._run()
        self._say(entries=len(self._provider.log))

    def _loop(self) -> None:
        pause = threading.Event()
        while self._looping.wait():
            with self._free:
                if self._looping.is_set():
                    self._run()
            pause.wait(PAUSE_SECONDS)

    def _run(self, *, spike: bool = False) -> None:
        from costspan.demo import pipeline

        seed = next(self._seeds)
        plan = pipeline.plan(seed)
        if spike:
            # The developer's first answer is the dear one; then its next call hangs, so that the run is still going.
            first, *others = plan["Dev"]
            dear = dataclasses.replace(SPIKE, text=None, tool_calls=first.tool_calls)
            plan["Dev"] = [dear, *(dataclasses.replace(reply, delay=_HANG_SECONDS) for reply in others)]
        for agent, replies in plan.items():
            self._provider.script(*replies, agent=agent)
        graph = pipeline.build(self._provider, pipeline.Workshop(seed))
        graph.invoke({"messages": [("user", pipeline.TASK)]})

    def _say(self, **answer: object) -> None:
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the parent


if __name__ == "__main__":
    main()
