"""Who is measured, how each is switched on with content off, and how whatever it patched is taken off and put back.

`attach` finds what a contender changed by comparing LangChain's (and a few more) modules and classes before and after, so
that on and off alternate in one process, for everybody in the same way.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers import context as hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WATCHED = ("langchain", "langgraph", "threading", "concurrent", "asyncio")
_ABSENT = object()


class Nothing(BaseCallbackHandler):
    """A callback that does nothing: what LangChain charges for having one."""

    run_inline = True

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        return


def _hook(handler: BaseCallbackHandler) -> None:
    hooks.register_configure_hook(ContextVar("benchmark", default=handler), inheritable=True)


def noop(tracer_provider: Any, meter_provider: Any) -> None:
    """The do-nothing callback."""
    _hook(Nothing())


def floor(tracer_provider: Any, meter_provider: Any) -> None:
    """The hand-written handler."""
    _hook(importlib.import_module("floor").Floor(tracer_provider, meter_provider))


def costspan(tracer_provider: Any, meter_provider: Any) -> None:
    """costspan as `enable()` leaves it: prices, attribution and metrics on."""
    import costspan as ours

    handle = ours.enable(tracer_provider=tracer_provider, summary=False, metrics="none")
    assert handle is not None
    handle.pipeline.book.preload()


def costspan_record(tracer_provider: Any, meter_provider: Any) -> None:
    """costspan that also makes a record of every run (for the summary, files, `on_run`)."""
    import costspan as ours

    handle = ours.enable(tracer_provider=tracer_provider, summary=False, metrics="none", on_run=lambda run: None)
    assert handle is not None
    handle.pipeline.book.preload()


def openinference(tracer_provider: Any, meter_provider: Any) -> None:
    """openinference-instrumentation-langchain."""
    from openinference.instrumentation import TraceConfig
    from openinference.instrumentation.langchain import LangChainInstrumentor

    hidden = TraceConfig(hide_inputs=True, hide_outputs=True)
    LangChainInstrumentor().instrument(tracer_provider=tracer_provider, config=hidden, skip_dep_check=True)


def openllmetry(tracer_provider: Any, meter_provider: Any) -> None:
    """opentelemetry-instrumentation-langchain (OpenLLMetry)."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider, skip_dep_check=True)


def otel_genai(tracer_provider: Any, meter_provider: Any) -> None:
    """opentelemetry-instrumentation-genai-langchain (the official one)."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "NO_CONTENT"
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider, skip_dep_check=True)


def openlit(tracer_provider: Any, meter_provider: Any) -> None:
    """openlit, set up by its own `init` on the global providers; a price list of one model, so that none is fetched."""
    import json
    from pathlib import Path

    import openlit as theirs
    from opentelemetry import metrics, trace

    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    price = {"promptPrice": 0.0025, "completionPrice": 0.01}
    prices = Path("openlit-prices.json").absolute()  # overhead.py runs each worker in a folder of its own
    prices.write_text(json.dumps({"chat": {"gpt-4o": price, "gpt-4o-2024-08-06": price}}))
    theirs.init(capture_message_content=False, disable_events=True, pricing_json=str(prices))


CONTENDERS: dict[str, Callable[[Any, Any], None]] = {
    "none": lambda tracer_provider, meter_provider: None,
    "noop": noop,
    "floor": floor,
    "costspan": costspan,
    "costspan-record": costspan_record,
    "openinference": openinference,
    "openllmetry": openllmetry,
    "otel-genai": otel_genai,
    "openlit": openlit,
}
PACKAGES = {
    "costspan": ("costspan",),
    "costspan-record": ("costspan",),
    "openinference": ("openinference-instrumentation-langchain",),
    "openllmetry": ("opentelemetry-instrumentation-langchain",),
    "otel-genai": ("opentelemetry-instrumentation-genai-langchain", "opentelemetry-util-genai"),
    "openlit": ("openlit",),
}
"""Contender -> distributions whose versions the report names."""


class Attached:
    """A contender that was switched on: `off()` and `on()` take it out and put it back."""

    def __init__(self, changes: list[tuple[Any, str, Any, Any]], hooks_before: list[Any], hooks_after: list[Any]) -> None:
        self._changes = changes
        self._before = hooks_before
        self._after = hooks_after

    def on(self) -> None:
        for owner, name, _, new in self._changes:
            _put(owner, name, new)
        hooks._configure_hooks[:] = self._after

    def off(self) -> None:
        for owner, name, old, _ in self._changes:
            _put(owner, name, old)
        hooks._configure_hooks[:] = self._before


def attach(name: str, tracer_provider: Any, meter_provider: Any) -> Attached:
    """Switch a contender on, remembering what it changed."""
    for module in ("langchain_core.runnables.fallbacks", "langgraph.graph", "langgraph._internal._runnable", "langchain.agents"):
        try:
            importlib.import_module(module)
        except ImportError:
            pass
    before, hooks_before = dict(_snapshot()), list(hooks._configure_hooks)
    CONTENDERS[name](tracer_provider, meter_provider)
    after, hooks_after = dict(_snapshot()), list(hooks._configure_hooks)
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
