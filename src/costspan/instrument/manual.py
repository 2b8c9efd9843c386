"""The manual API for any code: `run`, `agent`, `step`, `tool` as decorators and context managers, and `record_call`.

    with costspan.run("nightly report"):
        with costspan.agent("writer"):
            costspan.record_call(model="gpt-5-mini", provider="openai", input_tokens=1200, output_tokens=80)

    @costspan.tool
    async def search(query: str) -> str: ...

Everything works on plain functions, coroutines, generators and async generators. While costspan is not enabled all of it
does nothing and costs next to nothing.
"""

from __future__ import annotations

import functools
import inspect
import time
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from opentelemetry import context as otel_context

from costspan import conventions as c
from costspan import guard
from costspan.instrument import answer
from costspan.instrument.generators import first_step
from costspan.instrument.spans import SWITCH, Unit, current
from costspan.normalise.extracted import COUNT_MAX
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.usage import extract
from costspan.records import AGENT, CALL, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from costspan.normalise.extracted import Extracted

F = TypeVar("F", bound="Callable[..., Any]")

_OPEN: Final[ContextVar[tuple[tuple[Scope, Unit, object], ...]]] = ContextVar("costspan.open_scopes", default=())
_STEP: Final[ContextVar[object]] = ContextVar("costspan.generator_step", default=None)
"""The token of the innermost step of a generator that is running."""


class Scope:
    """An agent, tool, step or run: `with` it, `async with` it, or decorate a function with it.

    One Scope may be entered many times, also at once in several threads and tasks: each entry is a span of its own.
    """

    __slots__ = ("_entered", "kind", "name")

    def __init__(self, kind: str, name: str | None) -> None:
        self.kind = kind
        self.name = name
        self._entered: list[Unit] = []

    def __enter__(self) -> Scope:
        with guard.Guard("manual.enter"):
            spans = SWITCH.spans
            if spans is not None:
                unit = spans.open(self.kind, self.name)
                self._entered.append(unit)
                _OPEN.set((*_OPEN.get(), (self, unit, otel_context.attach(unit.context))))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with guard.Guard("manual.exit"):
            unit = self._leave()
            # None: entered while costspan was off. `disable()` ends what is open.
            if unit is not None and SWITCH.spans is not None:
                SWITCH.spans.close(unit, error=error)

    def _leave(self) -> Unit | None:
        """The unit of the entry that is being left; detached if it was entered in this context."""
        opened = _OPEN.get()
        if opened and opened[-1][0] is self:
            _OPEN.set(opened[:-1])
            _, unit, token = opened[-1]
            otel_context.detach(token)  # type: ignore[arg-type]
            self._entered.remove(unit)
            return unit
        # Left in another context than it was entered in (a fixture, a callback): end the newest entry all the same.
        return self._entered.pop() if self._entered else None

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Decorate a function, coroutine function, generator function or async generator function."""
        scope = Scope(self.kind, self.name or getattr(function, "__name__", None))
        wrapper: Any
        if inspect.isasyncgenfunction(function):
            wrapper = _wrap_async_generator(scope, function)
        elif inspect.isgeneratorfunction(function):
            wrapper = _wrap_generator(scope, function)
        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with scope:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with scope:
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return]


class _Steps:
    """The span of a generator: open from the first step to the end, current only while a step runs."""

    __slots__ = ("_before", "_token", "scope", "unit")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.unit: Unit | None = None
        self._token: object = None
        self._before: object = None

    def __enter__(self) -> None:
        """Make the span current for one step; the first step opens it."""
        with guard.Guard("manual.generator"):
            spans = SWITCH.spans
            if self.unit is None and spans is not None:
                self.unit = spans.open(self.scope.kind, self.scope.name)
            if self.unit is not None:
                self._before = _STEP.get()
                self._token = otel_context.attach(self.unit.context)
                _STEP.set(self._token)

    def __exit__(self, *error: object) -> None:
        """Not current any more; nothing to do where a coroutine is closed in another context than the one it ran in."""
        with guard.Guard("manual.generator"):
            token, self._token = self._token, None
            before, self._before = self._before, None
            if token is not None and _STEP.get() is token:
                _STEP.set(before)
                otel_context.detach(token)  # type: ignore[arg-type]

    def close(self, error: BaseException | None) -> None:
        """End the span, once."""
        unit, self.unit = self.unit, None
        with guard.Guard("manual.generator"):
            if unit is not None and SWITCH.spans is not None:
                SWITCH.spans.close(unit, error=error)


def _wrap_generator(scope: Scope, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        steps = _Steps(scope)
        generator = function(*args, **kwargs)
        advance: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                try:
                    with steps:
                        value = advance()
                except StopIteration as stop:
                    steps.close(None)
                    return stop.value
                try:
                    sent = yield value
                except GeneratorExit:
                    with steps:
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed on to the generator, as `yield from` does
                    advance = functools.partial(generator.throw, error)
                else:
                    advance = functools.partial(generator.send, sent)
        except BaseException as error:
            steps.close(error)
            raise

    return wrapper


def _wrap_async_generator(scope: Scope, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        steps = _Steps(scope)
        generator = function(*args, **kwargs)
        advance: Callable[[], Any] = functools.partial(first_step, generator)
        try:
            while True:
                try:
                    with steps:
                        value = await advance()
                except StopAsyncIteration:
                    steps.close(None)
                    return
                try:
                    sent = yield value
                except GeneratorExit:
                    with steps:
                        await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed on to the generator
                    advance = functools.partial(generator.athrow, error)
                else:
                    advance = functools.partial(generator.asend, sent)
        except BaseException as error:
            steps.close(error)
            raise

    return wrapper


def _scope(kind: str, name: Any) -> Any:
    return Scope(kind, None)(name) if callable(name) else Scope(kind, name)


@overload
def run(name: F) -> F: ...
@overload
def run(name: str | None = None) -> Scope: ...
def run(name: Any = None) -> Any:
    """The outermost unit of work: `with costspan.run("nightly report"):`, `@costspan.run`, `@costspan.run("name")`.

    `name` becomes the `workflow` label of metrics: write a constant, never user input.
    """
    return _scope(RUN, name)


@overload
def agent(name: F) -> F: ...
@overload
def agent(name: str | None = None) -> Scope: ...
def agent(name: Any = None) -> Any:
    """A named actor; calls inside belong to it. The name is a metric label: write a constant."""
    return _scope(AGENT, name)


@overload
def step(name: F) -> F: ...
@overload
def step(name: str | None = None) -> Scope: ...
def step(name: Any = None) -> Any:
    """One line of the execution log. The name is in records and spans only, never a metric label."""
    return _scope(STEP, name)


@overload
def tool(name: F) -> F: ...
@overload
def tool(name: str | None = None) -> Scope: ...
def tool(name: Any = None) -> Any:
    """A function that an agent has run; model calls inside it are its `nested` tokens."""
    return _scope(TOOL, name)


def record_call(  # noqa: PLR0913 - a call has this many facts
    response: object = None,
    *,
    model: str | None = None,
    provider: str | None = None,
    usage: Usage | Mapping[str, object] | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    duration_seconds: float | None = None,
    service_tier: str | None = None,
    batch: bool = False,
    error: BaseException | None = None,
) -> None:
    """Record a model call that no hook sees: a hand-made HTTP request, a batch job, a framework without an adapter.

    Give the provider's `response` (payload, SDK object or LangChain message), or `usage` (a `records.Usage` or a provider's
    usage mapping), or plain `input_tokens` (inclusive of cache) and `output_tokens` (0 for an embedding). Without any of them,
    or with one direction only, the call is counted as unreported. It belongs to the agent, step and tool that enclose this
    line. Never raises.
    """
    with guard.Guard("record_call"):
        spans = SWITCH.spans
        if spans is None:
            return
        provider = _text("provider", provider)
        found = _told_of(response, usage, (input_tokens, output_tokens), provider)
        model = _text("model", model) or found.model
        ended_ns = time.time_ns()
        attributes: dict[str, Any] = {
            c.OPERATION_NAME: c.CHAT,
            c.PROVIDER_NAME: canonical_provider(provider or found.provider) or "unknown",
        }
        if model:
            attributes[c.REQUEST_MODEL] = model
        final = answer.told(found if service_tier is None else replace(found, service_tier=service_tier))
        if batch:
            final[c.BATCH] = True
        started_ns = ended_ns - _length_ns(duration_seconds, ended_ns)
        unit = spans.open(CALL, model, attributes=attributes, started_ns=started_ns)
        spans.close(unit, final, error=error, ended_ns=ended_ns)


def _told_of(
    response: object,
    usage: Usage | Mapping[str, object] | None,
    counts: tuple[int | None, int | None],
    provider: str | None,
) -> Extracted:
    """What the caller of `record_call` said: plain counts win over a `Usage`, and this over the response."""
    found = extract(usage if response is None else response, provider=provider)
    own = Usage(*counts) if counts != (None, None) else usage
    if not isinstance(own, Usage):
        return found
    read = extract(own)
    for problem in read.problems:
        name = problem.removeprefix("invalid_")
        if name != problem:
            what = f"{name}={getattr(own, name, None)!r:.40} is not a whole number of tokens, from 0 to {COUNT_MAX:,}"
            guard.warn_once(f"record_call.{name}", f"record_call: {what}; it is left out")
    return replace(found, usage=read.usage, problems=read.problems)


def _length_ns(seconds: Any, ended_ns: int) -> int:
    """How long a call took; 0 where nobody says, or what is said is no length of time since 1970."""
    if seconds is None:
        return 0
    try:
        length = float(seconds) * 1e9
    except (TypeError, ValueError, OverflowError):
        length = -1.0
    if 0 <= length < ended_ns:
        return int(length)
    told = f"record_call: duration_seconds={seconds!r:.40} is not a number of seconds; it is left out"
    guard.warn_once("record_call.duration_seconds", told)
    return 0


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    guard.warn_once(f"record_call.{name}", f"record_call: {name} is of type {type(value).__name__}, not text; it is left out")
    return None


__all__ = ["agent", "current", "record_call", "run", "step", "tool"]
