"""Who is measured, how each is switched on with content off, and how whatever it patched is taken off and put back.

`attach` finds what a contender changed by comparing the hosts' modules and classes (and a few more) before and after, so
that on and off alternate in one process, for everybody in the same way.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUITES = ("langchain", "openai", "anthropic")
_WATCHED = ("langchain", "langgraph", "threading", "concurrent", "asyncio", "openai", "anthropic", "httpx", "httpx2")
_PATCHED = ("langchain_core.runnables.fallbacks", "langgraph.graph", "langgraph._internal._runnable", "langchain.agents")
_ABSENT = object()


def _hook(handler: Any) -> None:
    from langchain_core.tracers import context

    context.register_configure_hook(ContextVar("benchmark", default=handler), inheritable=True)


def _hooks() -> list[Any]:
    """LangChain's list of callbacks that are part of every run; a list of no meaning where LangChain is not loaded."""
    context = sys.modules.get("langchain_core.tracers.context")
    return [] if context is None else context._configure_hooks


def noop(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """The do-nothing callback."""
    _hook(importlib.import_module("floor").Nothing())


def floor(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """The hand-written handler."""
    _hook(importlib.import_module("floor").Floor(tracer_provider, meter_provider))


def floor_lean(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """The same with the convention's attributes only."""
    _hook(importlib.import_module("floor").Floor(tracer_provider, meter_provider, lean=True))


def costspan(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """costspan as `enable()` leaves it: prices, attribution and metrics on."""
    import costspan as ours

    handle = ours.enable(tracer_provider=tracer_provider, summary=False, metrics="none")
    assert handle is not None
    handle.pipeline.book.preload()


def costspan_record(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """costspan that also makes a record of every run (for the summary, files, `on_run`)."""
    import costspan as ours

    handle = ours.enable(tracer_provider=tracer_provider, summary=False, metrics="none", on_run=lambda run: None)
    assert handle is not None
    handle.pipeline.book.preload()


def openinference(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """openinference-instrumentation-langchain, -openai, -anthropic."""
    from openinference.instrumentation import TraceConfig

    module, name = {
        "langchain": ("langchain", "LangChainInstrumentor"),
        "openai": ("openai", "OpenAIInstrumentor"),
        "anthropic": ("anthropic", "AnthropicInstrumentor"),
    }[suite]
    hidden = TraceConfig(hide_inputs=True, hide_outputs=True)
    _instrumentor(f"openinference.instrumentation.{module}", name).instrument(
        tracer_provider=tracer_provider, config=hidden, skip_dep_check=True
    )


def openllmetry(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """opentelemetry-instrumentation-langchain, -openai, -anthropic (OpenLLMetry)."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    name = {"langchain": "LangchainInstrumentor", "openai": "OpenAIInstrumentor", "anthropic": "AnthropicInstrumentor"}[suite]
    _instrumentor(f"opentelemetry.instrumentation.{suite}", name).instrument(
        tracer_provider=tracer_provider, meter_provider=meter_provider, skip_dep_check=True
    )


def otel_genai(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """opentelemetry-instrumentation-genai-langchain, -openai, -anthropic (the official ones)."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "NO_CONTENT"
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    name = {"langchain": "LangChainInstrumentor", "openai": "OpenAIInstrumentor", "anthropic": "AnthropicInstrumentor"}[suite]
    _instrumentor(f"opentelemetry.instrumentation.genai.{suite}", name).instrument(
        tracer_provider=tracer_provider, meter_provider=meter_provider, skip_dep_check=True
    )


def _instrumentor(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)()


def openlit(suite: str, tracer_provider: Any, meter_provider: Any) -> None:
    """openlit, set up by its own `init` on the global providers; a price list of its own, so that none is fetched."""
    import json
    from pathlib import Path

    import openlit as theirs
    from opentelemetry import metrics, trace

    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    price = {"promptPrice": 0.0025, "completionPrice": 0.01}
    models = ("gpt-4o", "gpt-4o-2024-08-06", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
    prices = Path("openlit-prices.json").absolute()  # overhead.py runs each worker in a folder of its own
    prices.write_text(json.dumps({"chat": dict.fromkeys(models, price)}))
    theirs.init(capture_message_content=False, disable_events=True, pricing_json=str(prices))


CONTENDERS: dict[str, Callable[[str, Any, Any], None]] = {
    "none": lambda suite, tracer_provider, meter_provider: None,
    "noop": noop,
    "floor": floor,
    "floor-lean": floor_lean,
    "costspan": costspan,
    "costspan-record": costspan_record,
    "openinference": openinference,
    "openllmetry": openllmetry,
    "otel-genai": otel_genai,
    "openlit": openlit,
}
_PACKAGES = {
    "costspan": ("costspan",),
    "costspan-record": ("costspan",),
    "openinference": ("openinference-instrumentation-{}",),
    "openllmetry": ("opentelemetry-instrumentation-{}",),
    "otel-genai": ("opentelemetry-instrumentation-genai-{}", "opentelemetry-util-genai"),
    "openlit": ("openlit",),
}


def packages(suite: str, name: str) -> tuple[str, ...]:
    """The distributions whose versions the report names."""
    return tuple(package.format(suite) for package in _PACKAGES.get(name, ()))


class Attached:
    """A contender that was switched on: `off()` and `on()` take it out and put it back."""

    def __init__(self, changes: list[tuple[Any, str, Any, Any]], hooks_before: list[Any], hooks_after: list[Any]) -> None:
        self._changes = changes
        self._before = hooks_before
        self._after = hooks_after

    def on(self) -> None:
        for owner, name, _, new in self._changes:
            _put(owner, name, new)
        _hooks()[:] = self._after

    def off(self) -> None:
        for owner, name, old, _ in self._changes:
            _put(owner, name, old)
        _hooks()[:] = self._before


def attach(suite: str, name: str, tracer_provider: Any, meter_provider: Any) -> Attached:
    """Switch a contender on, remembering what it changed."""
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"  # the SDK's own spans, which would be part of the work without anybody
    for module in _PATCHED if suite == "langchain" else ():
        try:
            importlib.import_module(module)
        except ImportError:
            pass
    before, hooks_before = dict(_snapshot()), list(_hooks())
    CONTENDERS[name](suite, tracer_provider, meter_provider)
    after, hooks_after = dict(_snapshot()), list(_hooks())
    changes = []
    known = {place for place, _ in before}
    for key, (owner, attribute, new) in after.items():
        # A module that was loaded meanwhile has no before, and what it brings is its own.
        if key[0] not in known:
            continue
        old = before.get(key, (owner, attribute, _ABSENT))[2]
        if old is not new and callable(new):
            changes.append((owner, attribute, old, new))
    return Attached(changes, hooks_before, hooks_after)


def _snapshot() -> Iterator[tuple[tuple[int, str], tuple[Any, str, Any]]]:
    for module_name, module in list(sys.modules.items()):
        if module is None or module_name.split(".")[0].split("_")[0] not in _WATCHED:
            continue
        for name, value in list(vars(module).items()):
            yield (id(module), name), (module, name, value)
            if isinstance(value, type) and value.__module__ == module_name:
                for inner, member in list(vars(value).items()):
                    yield (id(value), inner), (value, inner, member)


def _put(owner: Any, name: str, value: Any) -> None:
    if value is _ABSENT:
        if name in vars(owner):
            delattr(owner, name)
    else:
        setattr(owner, name, value)
