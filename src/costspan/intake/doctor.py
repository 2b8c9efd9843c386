"""What `costspan doctor` finds out: who writes spans here, what overlaps, how good the numbers of a trace are, what mends them.

Nothing is imported or switched on to find out: installed packages are known by their metadata, a running process by what it
has loaded.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costspan import __version__, guard
from costspan.instrument.registry import ROWS
from costspan.intake.emitters import CLIENTS, FRAMEWORK_PACKAGES, Emitter, Overlap, find, overlaps
from costspan.intake.mending import findings_of
from costspan.intake.report_files import Report, report_files
from costspan.intake.trace_health import TraceHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from costspan.price.book import PriceBook

STALE_DAYS: Final = 45
"""Prices change about once a month somewhere; an older table is worth a warning."""
_GROUP: Final = "opentelemetry_instrumentor"
_VARIABLES: Final = (
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "OTEL_CONFIG_FILE",
    "ANTHROPIC_OPEN_TELEMETRY",
    "LANGSMITH_OTEL_ENABLED",
    "COSTSPAN_PRICES",
    "COSTSPAN_SUMMARY",
    "COSTSPAN_RECORD_DIR",
    "COSTSPAN_ESTIMATE",
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed and set here. `libraries` are the frameworks and clients, `variables` those that matter and are set."""

    python: str
    costspan: str
    libraries: Mapping[str, str]
    emitters: tuple[Emitter, ...]
    overlaps: tuple[Overlap, ...]
    variables: Mapping[str, str]
    price_table_days: float | None


def examine_environment(
    book: PriceBook,
    *,
    installed: Mapping[str, str] | None = None,
    entry_points: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Environment:
    """Who could write spans of model calls in this Python environment, and which of them overlap."""
    packages = installed_packages() if installed is None else installed
    points = instrumentors() if entry_points is None else entry_points
    variables = os.environ if environment is None else environment
    emitters = [*find(packages, points, variables), *_own(packages, variables)]
    known = {**CLIENTS, **FRAMEWORK_PACKAGES}
    age = None
    with guard.Guard("price table age"):
        age = (time.time() - book.table_timestamp) / 86_400
    return Environment(
        python=platform.python_version(),
        costspan=__version__,
        libraries={name: packages[name] for name in sorted(known) if name in packages},
        emitters=tuple(emitters),
        overlaps=tuple(overlaps(emitters, packages)),
        variables={name: variables[name] for name in _VARIABLES if variables.get(name)},
        price_table_days=age,
    )


def _own(installed: Mapping[str, str], environment: Mapping[str, str]) -> list[Emitter]:
    """What costspan's own hooks would cover."""
    state = "off" if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" else "unknown"
    return [
        Emitter(
            "costspan",
            __version__,
            "costspan",
            row.name,
            state,
            switch="costspan.enable(), `costspan run`, opentelemetry-instrument",
            off="costspan.enable(instrument=False)",
            entry_point="costspan",
        )
        for row in ROWS
        if row.requires.replace("_", "-") in installed
    ]


def installed_packages() -> dict[str, str]:
    """Name (normalised as PEP 503 has it) -> version of every distribution that Python can see."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version or "")
    return found


def instrumentors() -> dict[str, str]:
    """Distribution -> name of its OpenTelemetry instrumentor."""
    found: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=_GROUP):
        if point.dist is not None:
            found[re.sub(r"[-_.]+", "-", point.dist.name).lower()] = point.name
    return found


def examine_files(paths: Sequence[Path | str], book: PriceBook, *, progress: Callable[[int], None] | None = None) -> TraceHealth:
    """How good the numbers of these trace files are, and what would mend them. Raises InputError as `report_files` does."""
    health = TraceHealth(Report())
    health.report = report_files(paths, book, lambda _: None, see=health.see, progress=progress)
    health.findings = tuple(findings_of(health))
    return health


@dataclass(frozen=True, slots=True)
class Process:
    """What a running process has switched on. `active` are instrumentors that are on, by module; `swallowed` our own errors."""

    provider: str
    processors: tuple[str, ...]
    sampler: str
    active: tuple[str, ...]
    loaded: tuple[str, ...]
    swallowed: Mapping[str, int]
    environment: Environment


def examine_process(book: PriceBook | None = None) -> Process:
    """The same for the process that calls this: its tracer provider, and which instrumentations are on in it.

    Reads only; for a debug page or a support request. `book` is the price book in use, when there is one.
    """
    from opentelemetry import trace

    from costspan.price.book import PriceBook as Book

    provider = trace.get_tracer_provider()
    multi = getattr(provider, "_active_span_processor", None)
    processors = getattr(multi, "_span_processors", ())
    return Process(
        provider=_name(provider),
        processors=tuple(_processor_name(each) for each in processors),
        sampler=str(getattr(getattr(provider, "sampler", None), "get_description", lambda: "")()),
        active=tuple(sorted(_active())),
        loaded=tuple(name for name in ("langchain_core", "langgraph", "crewai", "openai", "anthropic") if name in sys.modules),
        swallowed=guard.swallowed(),
        environment=examine_environment(book or Book()),
    )


def _active() -> set[str]:
    """Instrumentors that are on, without importing any that is not loaded."""
    found = set()
    for point in importlib.metadata.entry_points(group=_GROUP):
        module = sys.modules.get(point.module)
        instrumentor = getattr(module, point.attr.split(".")[0], None) if module is not None else None
        instance = getattr(instrumentor, "_instance", None)
        if getattr(instance, "is_instrumented_by_opentelemetry", False):
            found.add(f"{point.name} ({point.dist.name})" if point.dist is not None else point.name)
    return found


def _name(thing: object) -> str:
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _processor_name(processor: object) -> str:
    batch = getattr(processor, "_batch_processor", None)
    exporter = getattr(processor, "span_exporter", None) or getattr(batch, "_exporter", None)
    return f"{_name(processor)} -> {_name(exporter)}" if exporter is not None else _name(processor)
