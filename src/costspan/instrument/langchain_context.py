"""Makes our spans current where LangChain runs other people's code, in scopes that also detach.

Three places: the copied context in which a node, tool or function runs (thrown away afterwards, so nothing to detach), the
provider's request inside `BaseChatModel._generate_with_cache`, and the first step of a stream, in which the provider's
request is sent. So an SDK's own span, a tool's database span or a raw thread nests under our span; and the host never finds
a span of ours current after a call.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from costspan import guard
from costspan.instrument.generators import first_step
from costspan.instrument.patch import Point
from costspan.instrument.spans import FIRST_STEP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token
    from uuid import UUID

    from opentelemetry.context import Context

    from costspan.instrument.langchain import Handler
    from costspan.instrument.spans import Unit

_BY_HAND: Final = ("langchain_core.runnables.base", "langchain_core.runnables.fallbacks", "langchain_core.tools.base")
"""Where old versions of LangChain copy the context themselves, and set it up with a function that runs inside."""
_STREAM: Final[ContextVar[_FirstStep | None]] = ContextVar("costspan.stream_step", default=None)
"""The first step of a stream that is running: where the callback leaves the token of the context that it attached."""
_ATTACHED: Final[ContextVar[_Attached | None]] = ContextVar("costspan.attached", default=None)
"""The innermost context that is attached around a provider's request."""
_STARTED: Final[ContextVar[list[UUID] | None]] = ContextVar("costspan.started_calls", default=None)
"""While a model generates, or takes the first step of a stream: the calls that it has started."""


def note_start(run_id: UUID) -> None:
    """Called when a call opens, so that whoever has started it knows what is left open."""
    started = _STARTED.get()
    if started is not None:
        started.append(run_id)


def enter_stream(unit: Unit) -> None:
    """Called when a call opens: attach it if that happens inside the first step of a stream, which will detach it."""
    step = _STREAM.get()
    if step is not None and step.token is None:
        step.token = otel_context.attach(unit.context)
        FIRST_STEP.set(unit)


def points(handler: Handler) -> list[Point]:
    """Everything that is wrapped; missing ones are skipped, since versions and installations differ."""
    contexts = functools.partial(_wrap_set_config_context, handler)
    chat, llms = "langchain_core.language_models.chat_models", "langchain_core.language_models.llms"
    managers = "langchain_core.callbacks.manager"
    return [
        Point(managers, "CallbackManagerForLLMRun.on_llm_new_token", functools.partial(_wrap_token, handler)),
        Point(managers, "AsyncCallbackManagerForLLMRun.on_llm_new_token", functools.partial(_wrap_async_token, handler)),
        Point("langchain_core.runnables.base", "set_config_context", contexts),
        Point("langchain_core.runnables.fallbacks", "set_config_context", contexts),
        Point("langchain_core.tools.base", "set_config_context", contexts),
        Point("langgraph._internal._runnable", "set_config_context", contexts),
        Point("langgraph.utils.runnable", "set_config_context", contexts),  # before LangGraph 0.6
        *(Point(module, "_set_config_context", functools.partial(_wrap_in_context, handler)) for module in _BY_HAND),
        Point(chat, "BaseChatModel._generate_with_cache", functools.partial(_wrap_generate, handler)),
        Point(chat, "BaseChatModel._agenerate_with_cache", functools.partial(_wrap_agenerate, handler)),
        Point(chat, "BaseChatModel.generate", functools.partial(_wrap_sequence, handler)),
        Point(chat, "BaseChatModel.agenerate", functools.partial(_wrap_gather, handler)),
        Point(llms, "BaseLLM.agenerate", functools.partial(_wrap_gather, handler)),
        Point(llms, "BaseLLM._generate_helper", functools.partial(_wrap_generate, handler)),
        Point(llms, "BaseLLM._agenerate_helper", functools.partial(_wrap_agenerate, handler)),
        Point(chat, "BaseChatModel.stream", functools.partial(_wrap_stream, handler)),
        Point(chat, "BaseChatModel.astream", functools.partial(_wrap_astream, handler)),
        Point(llms, "BaseLLM.stream", functools.partial(_wrap_stream, handler)),
        Point(llms, "BaseLLM.astream", functools.partial(_wrap_astream, handler)),
        Point(chat, "BaseChatModel._iter_v2_events", functools.partial(_wrap_events, handler)),
        Point(chat, "BaseChatModel._aiter_v2_events", functools.partial(_wrap_async_events, handler)),
    ]


def _wrap_token(handler: Handler, original: Any) -> Any:
    """Spare a stream the way to a handler that has heard the first chunk and wants no more, where it is the only one."""
    entries = handler.entries

    @functools.wraps(original)
    def on_llm_new_token(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(self.handlers) == 1 and self.handlers[0] is handler:
            entry = entries.get(self.run_id)
            if entry is not None and entry.first_token_ns and entry.heard is None:
                return None
        return original(self, *args, **kwargs)

    return on_llm_new_token


def _wrap_async_token(handler: Handler, original: Any) -> Any:
    entries = handler.entries

    @functools.wraps(original)
    async def on_llm_new_token(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(self.handlers) == 1 and self.handlers[0] is handler:
            entry = entries.get(self.run_id)
            if entry is not None and entry.first_token_ns and entry.heard is None:
                return None
        return await original(self, *args, **kwargs)

    return on_llm_new_token


@guard.guarded("langchain.attach")
def _enter(copied: Any, context: Context) -> None:
    copied.run(otel_context.attach, context)


@guard.guarded("langchain.set_config_context")
def _context_for(handler: Handler, config: Any) -> Context | None:
    return handler.context_of(getattr(config.get("callbacks"), "parent_run_id", None))


class _InRun:
    """LangChain's context manager, plus our span inside the copied context that it yields."""

    __slots__ = ("_context", "_inner")

    def __init__(self, inner: Any, context: Context | None) -> None:
        self._inner = inner
        self._context = context

    def __enter__(self) -> Any:
        copied = self._inner.__enter__()
        if self._context is not None:
            _enter(copied, self._context)
        return copied

    def __exit__(self, *error: Any) -> Any:
        return self._inner.__exit__(*error)


def _wrap_set_config_context(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    def set_config_context(config: Any, *args: Any, **kwargs: Any) -> Any:
        return _InRun(original(config, *args, **kwargs), _context_for(handler, config))

    return set_config_context


def _wrap_in_context(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    def _set_config_context(config: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(config, *args, **kwargs)
        context = _context_for(handler, config)
        if context is not None:
            otel_context.attach(context)  # in a copy that is thrown away
        return found

    return _set_config_context


def _run_manager(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The run manager among the arguments: by name, or the first of a legacy model's list, which shares one request."""
    found = kwargs.get("run_manager") or kwargs.get("run_managers") or (args[2] if len(args) > 2 else None)
    return found[0] if isinstance(found, list) and found else found


class _Attached:
    """A context of ours that is current while the host's own lines run, and how it was before."""

    __slots__ = ("before", "token")

    def __init__(self, context: Context) -> None:
        self.before = _ATTACHED.get()
        self.token = otel_context.attach(context)
        _ATTACHED.set(self)


@guard.guarded("langchain.attach")
def _attach(handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Attached | None:
    context = handler.asked(getattr(_run_manager(args, kwargs), "run_id", None))
    return None if context is None else _Attached(context)


@guard.guarded("langchain.detach")
def _detach(attached: _Attached | None) -> None:
    # A coroutine may be closed in another context than it ran in, where nothing of ours is current.
    if attached is not None and _ATTACHED.get() is attached:
        _ATTACHED.set(attached.before)
        otel_context.detach(attached.token)


def _wrap_generate(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    def _generate_with_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        attached = _attach(handler, args, kwargs)
        try:
            return original(self, *args, **kwargs)
        finally:
            _detach(attached)

    return _generate_with_cache


def _wrap_agenerate(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    async def _agenerate_with_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        attached = _attach(handler, args, kwargs)
        try:
            return await original(self, *args, **kwargs)
        finally:
            _detach(attached)

    return _agenerate_with_cache


@guard.guarded("langchain.leave")
def _leave(handler: Handler, started: Sequence[UUID], error: BaseException) -> None:
    """End the calls that LangChain has left open, having started them: cancelled, or failed by a callback of the host's."""
    for run_id in started:
        if isinstance(error, Exception):
            handler.left_open(run_id, error)
        else:
            handler.on_llm_error(error, run_id=run_id)


def _wrap_sequence(handler: Handler, original: Any) -> Any:
    """LangChain tells the end of several prompts' answers when it has the last one, so of none where one fails."""

    @functools.wraps(original)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        started: list[UUID] = []
        token = _STARTED.set(started)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            for run_id in started:
                handler.left_open(run_id, error)
            raise
        finally:
            _STARTED.reset(token)

    return generate


def _wrap_gather(handler: Handler, original: Any) -> Any:
    """LangChain tells no callback when a task is cancelled inside `agenerate`, or before its work has begun."""

    @functools.wraps(original)
    async def agenerate(self: Any, *args: Any, **kwargs: Any) -> Any:
        started: list[UUID] = []
        before = _STARTED.get()
        _STARTED.set(started)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            _leave(handler, started, error)
            raise
        finally:
            # Not `reset`: a coroutine may be closed in another context, where that raises.
            _STARTED.set(before)

    return agenerate


class _FirstStep:
    """What is current in a stream's first step, and how it was before. It lives as long as the stream."""

    __slots__ = ("before", "handler", "outer", "started", "token")

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.before, self.outer = _STREAM.get(), _STARTED.get()
        self.started: list[UUID] = []
        self.token: Token[Context] | None = None
        _STREAM.set(self)
        _STARTED.set(self.started)

    @guard.guarded("langchain.dropped")
    def __del__(self) -> None:
        # After the end of its loop an async generator is dropped without being closed: nobody else tells of that.
        _leave(self.handler, [each for each in self.started if each in self.handler.entries], GeneratorExit())


@guard.guarded("langchain.begin_step")
def _begin_step(handler: Handler) -> _FirstStep:
    return _FirstStep(handler)


@guard.guarded("langchain.end_step")
def _end_step(step: _FirstStep | None) -> None:
    if step is None or _STREAM.get() is not step:
        return  # a generator may be closed in another context than it ran in, where nothing of ours is current
    _STREAM.set(step.before)
    _STARTED.set(step.outer)
    if step.token is not None:
        FIRST_STEP.set(None)
        otel_context.detach(step.token)


def _wrap_stream(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps = original(self, *args, **kwargs)
        begun = _begin_step(handler)
        try:
            try:
                first = next(steps)
            except StopIteration:
                return
            finally:
                _end_step(begun)
            yield first
            yield from steps
        except BaseException as error:
            try:
                steps.close()
            finally:
                _leave(handler, begun.started if begun else (), error)
            raise

    return stream


def _wrap_astream(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    async def astream(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps = original(self, *args, **kwargs)
        begun = _begin_step(handler)
        try:
            try:
                first = await first_step(steps)
            except StopAsyncIteration:
                return
            finally:
                _end_step(begun)
            yield first
            async for chunk in steps:
                yield chunk
        except BaseException as error:
            try:
                await steps.aclose()
            finally:
                _leave(handler, begun.started if begun else (), error)
            raise

    return astream


def _wrap_events(handler: Handler, original: Any) -> Any:
    """The typed events of a model: its request is sent in the first step."""

    @functools.wraps(original)
    def events(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps = original(self, *args, **kwargs)
        attached = _attach(handler, args, kwargs)
        try:
            first = next(steps)
        except StopIteration:
            return
        finally:
            _detach(attached)
        try:
            yield first
            yield from steps
        finally:
            steps.close()

    return events


def _wrap_async_events(handler: Handler, original: Any) -> Any:
    @functools.wraps(original)
    async def events(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps = original(self, *args, **kwargs)
        attached = _attach(handler, args, kwargs)
        try:
            first = await first_step(steps)
        except StopAsyncIteration:
            return
        finally:
            _detach(attached)
        try:
            yield first
            async for event in steps:
                yield event
        finally:
            await steps.aclose()

    return events
