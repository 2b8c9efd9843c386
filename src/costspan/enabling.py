"""`enable()` and `disable()`: the one place that joins the stages."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from costspan import __version__, forks, guard, roads, sinks
from costspan import settings as settings_of
from costspan.conventions import SCOPE
from costspan.instrument import registry
from costspan.instrument.spans import SWITCH, Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from costspan.intake import sdk
    from costspan.pipeline import Pipeline
    from costspan.records import Run
    from costspan.settings import Settings

_lock = threading.RLock()
_state: list[Costspan] = []


class Costspan:
    """What `enable()` returns: the running parts, for tests and for programs that want to look."""

    def __init__(self, settings: Settings, pipeline: Pipeline, provider: Any) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.provider = provider
        self.adapters = registry.Adapters()
        self.roads: list[Any] = []
        self.threads: Any = None
        self.measures: sdk.Measures | None = None
        self.inherited: Any = None
        self.writer: Any = None
        self.on_run: Callable[[Run], None] | None = None
        self.from_outside = False
        """Switched on before the program began, which may still say what it wants."""

    def flush(self, timeout_seconds: float = 5.0) -> None:
        """Export what is waiting: spans and metrics."""
        with guard.Guard("flush"):
            flush = getattr(self.provider, "force_flush", None)
            if flush is not None:
                flush(int(timeout_seconds * 1000))
            for road in self.roads:
                if hasattr(road, "flush"):
                    road.flush()


def enable(  # noqa: PLR0913 - these are a person's switches, all optional and by keyword
    *,
    instrument: bool | Iterable[str] = True,
    tracer_provider: object = None,
    summary: bool | None = None,
    record_dir: str | os.PathLike[str] | None = None,
    metrics: str | Iterable[str] | None = None,
    metrics_port: int | None = None,
    prices: str | os.PathLike[str] | None = None,
    on_run: Callable[[Run], None] | None = None,
    ask_stream_usage: bool | None = None,
    history: bool | str | os.PathLike[str] | None = None,
) -> Costspan | None:
    """Measure, price and attribute every agent run of this process from now on.

    `instrument`: True for every framework that is installed, names (`["langchain"]`) for some, False to only read the spans of
    other instrumentations. `tracer_provider`: yours (it is added to, never replaced); default the global one, else a new one.
    `summary`: print a summary to stderr after each run. `record_dir`: write a JSON record per run there. `metrics`:
    `"prometheus"` (serves /metrics on localhost, `metrics_port` 9464), `"otlp"` or `"none"`. `prices`: your price file.
    `on_run` is called with each finished `records.Run`. `ask_stream_usage`: ask OpenAI-compatible providers for the usage of
    streams whose caller does not, and hide the extra chunk from the program. `history`: True keeps each finished run in the
    user's history file, a path in that file (`costspan runs` lists them). Whatever is not given comes from environment
    variables.

    Returns a handle; None where OTEL_SDK_DISABLED is true. A second call changes nothing and returns the first handle, except
    that under `costspan run` and `opentelemetry-instrument` the program's own call still has its say in `summary`,
    `record_dir`, `on_run` and `ask_stream_usage`.
    Raises SettingsError or MissingExtraError when it is asked for something that cannot be.
    """
    early = {"summary": summary, "record_dir": record_dir, "on_run": on_run, "ask_stream_usage": ask_stream_usage}
    late = {"metrics": metrics, "metrics_port": metrics_port, "prices": prices, "history": history}
    with _lock:
        if _state:
            fixed = {"instrument": None if instrument is True else instrument, "tracer_provider": tracer_provider, **late}
            _again(_state[0], early, [name for name, value in fixed.items() if value is not None])
            return _state[0]
        settings = settings_of.with_arguments(settings_of.read(), {**early, **late})
        if settings.disabled:
            return None
        running = _start(settings, tracer_provider, on_run)
        _state.append(running)
        if instrument is not False:
            try:
                running.adapters = registry.switch_on(None if instrument is True else instrument)
            except Exception:
                disable()
                raise
        return running


def _again(running: Costspan, early: dict[str, Any], late: list[str]) -> None:
    """`enable()` while enabled: the first call of a program that was switched on from outside adds what still can be added."""
    if not running.from_outside:
        guard.warn_once("enable", "enable() was called again; the first call stays in force, disable() first to change it")
        return
    running.from_outside = False
    running.settings = settings_of.with_arguments(running.settings, early)
    SWITCH.ask_stream_usage = running.settings.ask_stream_usage
    running.on_run = early["on_run"] or running.on_run
    sinks.attach(running)
    if late:
        guard.warn_once(
            "enable",
            f"costspan was switched on before the program (costspan run, opentelemetry-instrument): too late for enable()'s "
            f"{', '.join(late)}: set the environment variable instead, or start the program without",
        )


def _start(settings: Settings, tracer_provider: object, on_run: Callable[[Run], None] | None) -> Costspan:
    # Loaded here, so that `import costspan` stays light in a program that never enables it.
    from costspan.account.ledger import Ledger
    from costspan.account.meters import Meters
    from costspan.intake import sdk
    from costspan.pipeline import Pipeline
    from costspan.price.book import PriceBook

    provider, ours = sdk.find_provider(tracer_provider, settings)
    book = PriceBook(settings.prices)
    writer = roads.history(settings, provider)
    ledger = Ledger()
    meters = Meters(version=__version__, active_runs=ledger.active, price_table_timestamp=lambda: book.table_timestamp or None)
    pipeline = Pipeline(book, meters, ledger, metered=roads.taken(settings))
    running = Costspan(settings, pipeline, provider)
    running.writer, running.on_run = writer, on_run
    sinks.attach(running)
    running.measures = sdk.Measures(provider, pipeline)
    SWITCH.ask_stream_usage = settings.ask_stream_usage
    SWITCH.provider = provider
    SWITCH.provider_is_ours = ours
    SWITCH.estimate = settings.estimate and _tokenizer()
    SWITCH.spans = Spans(provider.get_tracer(SCOPE, __version__), pipeline)
    running.roads = [*roads.opened(settings, meters, provider), *((writer,) if writer is not None else ())]
    with guard.Guard("threads"):
        running.threads = sdk.carry_context_into_threads()
    if "TRACEPARENT" in os.environ:
        from costspan.instrument import owners

        running.inherited = owners.inherit()
    atexit.register(_at_exit)
    return running


def _tokenizer() -> bool:
    """Whether usage can be estimated. The vocabulary loads beside the program, so that no call waits for it."""
    from costspan.normalise import estimate

    if not estimate.available():
        guard.warn_once("estimate", estimate.INSTALL)
        return False
    threading.Thread(target=_load_tokenizer, name="costspan-tokens", daemon=True).start()
    return True


@guard.guarded("load tokenizer")
def _load_tokenizer() -> None:
    from costspan.normalise import estimate

    with forks.loading():
        estimate.preload()


def disable() -> None:
    """Take every hook out again, restore what was patched, end what is open, flush. Does nothing when not enabled."""
    with _lock:
        if not _state:
            return
        running = _state.pop()
        running.adapters.switch_off()
        spans, SWITCH.spans = SWITCH.spans, None
        if spans is not None:
            spans.close_open()
        with guard.Guard("threads"):
            if running.threads is not None:
                running.threads.uninstrument()
        with guard.Guard("measures"):
            if running.measures is not None:
                running.measures.undo()
        running.flush()
        with guard.Guard("outside"):
            sinks.tell_outside(running)
        for road in running.roads:
            with guard.Guard("stop"):
                (road.stop if hasattr(road, "stop") else road.shutdown)()
        if running.inherited is not None:
            from costspan.instrument import owners

            owners.leave(running.inherited)
        atexit.unregister(_at_exit)


def _after_fork() -> None:
    """In a forked child: what the parent has open and waiting is the parent's; the child goes on with empty books."""
    global _lock
    _lock = threading.RLock()
    for running in _state:
        with guard.Guard("fork"):
            running.pipeline.meters.on_first += (_end_with_worker,)
            running.pipeline.settling.forget()
            running.pipeline.book.after_fork()
            if running.measures is not None:
                running.measures.foreign.forget()
            if SWITCH.spans is not None:
                SWITCH.spans.forget()


def _end_with_worker() -> None:
    """A worker that multiprocessing has forked ends without `atexit`: here is what it calls instead."""
    if "multiprocessing.util" in sys.modules:
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, exitpriority=0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _at_exit() -> None:
    with guard.Guard("exit"):
        disable()
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        # Ctrl-C has ended the program, so it dies of SIGINT, by which shells know to stop their loops. Python forgets that
        # as soon as code is compiled from text, as modules do that a last summary loads: this reminds it.
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt", {})
