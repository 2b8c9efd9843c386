"""Run the demo: provider in its own process, agents with costspan switched on, and both sides' numbers side by side."""

from __future__ import annotations

import importlib.util
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prometheus_client import generate_latest

import costspan
from costspan.demo import compare
from costspan.demo.provider import ProviderProcess
from costspan.errors import MissingExtraError, UsageError
from costspan.expose.prometheus import registry_of
from costspan.records import Cost
from costspan.report import run_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from decimal import Decimal
    from pathlib import Path

    from costspan.demo.provider_log import Entry
    from costspan.enabling import Costspan
    from costspan.price.book import PriceBook
    from costspan.records import Run

NEEDED = {
    "langchain": "langchain",
    "langgraph": "langgraph",
    "langchain_openai": "langchain-openai",
    "langchain_anthropic": "langchain-anthropic",
}
"""Modules that the demo imports, and the distributions that bring them."""
LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one demo came to. `differences` is empty when summary, record and log agree. `metrics` is a file with what /metrics
    shows, `metrics_url` where that is served while the demo is held, None where it is not."""

    run: Run
    record: Path
    metrics: Path
    log: tuple[Entry, ...]
    figures: compare.Figures
    differences: tuple[compare.Difference, ...]
    metrics_url: str | None = None

    @property
    def verdict(self) -> str:
        return compare.verdict(self.figures, self.differences)


def play(*, seed: int, record_dir: Path, metrics_port: int | None = None, hold: Callable[[Shown], None] | None = None) -> Shown:
    """Run the demo once and compare. `hold` is called while costspan is still on (and /metrics is served).

    Raises MissingExtraError without the frameworks, UsageError where costspan is on already or switched off altogether.
    """
    require()
    runs: list[Run] = []
    with loopback_only(), ProviderProcess(seed) as provider:
        road = {"metrics": "prometheus", "metrics_port": metrics_port} if metrics_port is not None else {}
        running = costspan.enable(summary=False, record_dir=record_dir, on_run=runs.append, **road)  # type: ignore[arg-type]
        if running is None:
            message = "OTEL_SDK_DISABLED is true, so nothing would be measured; unset it to see the demo"
            raise UsageError(message)
        try:
            errors = _work(provider, seed)
            if len(runs) != 1:
                message = f"the demo expected one run and got {len(runs)}: costspan was on already, call disable() before it"
                raise UsageError(message)
            shown = compare_run(runs[0], record_dir, tuple(provider.log), book=running.pipeline.book, errors=errors)
            shown = replace(shown, metrics_url=_url(running))
            shown.metrics.write_bytes(generate_latest(registry_of(running.pipeline.meters)))
            if hold is not None:
                hold(shown)
        finally:
            costspan.disable()
    return shown


def _work(provider: ProviderProcess, seed: int) -> Mapping[str, int]:
    """Tell the provider what the models will do, run the agents; how often each tool failed."""
    from costspan.demo import pipeline

    for agent, replies in pipeline.plan(seed).items():
        provider.script(*replies, agent=agent)
    workshop = pipeline.Workshop(seed)
    pipeline.build(provider, workshop).invoke({"messages": [("user", pipeline.TASK)]})
    return workshop.errors


def compare_run(run: Run, record_dir: Path, log: tuple[Entry, ...], *, book: PriceBook, errors: Mapping[str, int]) -> Shown:
    from costspan.demo.pipeline import NESTED

    record = record_dir / run_json.file_name(run)
    truth = compare.of_log(log, price=lambda entry: price(book, entry), nested=NESTED, errors=errors)
    ours = compare.of_run(run)
    found = compare.differences(ours, truth)
    written = compare.of_record(json.loads(record.read_text(encoding="utf-8")))
    found += [difference for difference in compare.differences(written, truth) if difference not in found]
    metrics = record.with_suffix(".prom")
    return Shown(run=run, record=record, metrics=metrics, log=log, figures=ours, differences=tuple(found))


def _url(running: Costspan) -> str | None:
    """Where /metrics is served; None when nothing serves (not asked for, or the port is taken)."""
    urls = [str(road.url) for road in running.roads if getattr(road, "serving", False)]
    return urls[0] if urls else None


def price(book: PriceBook, entry: Entry) -> Decimal | None:
    """What a request in the provider's log costs by the same price table; None where the table does not know."""
    if entry.usage is None:
        return None
    cost = book.price(
        entry.usage,
        provider=entry.api.partition(".")[0],
        model=entry.model_returned,
        at_ns=int(entry.started_at * 1e9),
        service_tier=entry.service_tier,
    )
    return cost.amount_usd if isinstance(cost, Cost) else None


def require() -> None:
    """Raise MissingExtraError with the line that mends it unless every framework of the demo is there."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        message = f"the demo needs {', '.join(missing)}: pip install 'costspan[demo]'"
        raise MissingExtraError(message)


@contextmanager
def loopback_only() -> Iterator[None]:
    """Environment in which nothing leaves this machine: no proxy for loopback, no tracing to a service."""
    changes = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
    for name in ("NO_PROXY", "no_proxy"):
        changes[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
