"""Opens and closes agent, tool, step, run and model-call spans: the only user of the Tracer.

A `Unit` is one open span of ours with its owner. It travels in the OpenTelemetry Context under `UNIT`, so that whatever
runs inside (our own hooks, other instrumentations, a thread that carries the context) knows who it belongs to without
any table of span ids. What the rest of costspan keeps about a unit hangs on `Unit.state`; this package never looks at it.

Money stays out: `Desk` (plugged in by `enable`) is told when a unit opens and closes and answers with attributes to add.
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from costspan import conventions as c
from costspan import guard
from costspan.instrument.span_write import write
from costspan.normalise.span_costspan import CANCELLING
from costspan.records import AGENT, CALL, NOBODY, REMOTE, RUN, STEP, TOOL, Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

UNIT: Final = otel_context.create_key("costspan.unit")
CALLS_MADE: Final = otel_context.create_key("costspan.calls_made")
"""A list in a Context: calls that open inside it are noted there. For hooks that must know whether a layer below told."""
_SPAN_KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""Where OpenTelemetry keeps the current span: with it a span and its unit are put into a Context at once, not one by one."""
OPEN_MAX: Final = 50_000
"""Units that may be open at once; the oldest beyond it is ended as interrupted, so that memory stays bounded."""


class Interrupted(BaseException):
    """Never raised: what a unit is closed with when it was still open as the process or costspan ended."""


class Unit:
    """One open span of ours: what it is, whose it is, and the Context that makes it current."""

    __slots__ = (
        "__weakref__", "acts_as", "attributes", "inside", "kind", "late", "name", "owner", "parent", "run_id", "span",
        "started_ns", "state", "told",
    )  # fmt: skip

    def __init__(self, kind: str, name: str | None, parent: Unit | None, attributes: dict[str, AttributeValue]) -> None:
        self.kind = kind
        self.name = name
        self.parent = parent
        self.attributes = attributes
        self.late: dict[str, AttributeValue] = {}
        """Those of the attributes that the span gets when it ends: what no sampler decides by is written once, all together."""
        self.started_ns = 0
        # Not `uuid4`: the same number of random bits for a tenth of the work.
        # What begins inside another process's unit is a part of its run, with a record of its own.
        self.run_id: str = os.urandom(16).hex() if parent is None or parent.kind == REMOTE else parent.run_id
        self.owner: Owner = NOBODY
        self.acts_as: str | None = None if parent is None else parent.acts_as
        """Who makes the calls in here that no agent encloses: a plain graph node acts as one, under its name in the code."""
        self.state: object = None
        self.told: list[Deposit] | None = None
        """On a framework's call, a list: an SDK's request inside it leaves what it knows here and opens no span."""
        self.span: Span
        self.inside: Context | None = None
        """What makes it current, while it is open. It holds the unit, so that keeping it would leave a ring for the collector."""

    def act_as(self, agent: str) -> None:
        """Calls in here that no agent encloses are this agent's; a step's span says so."""
        self.acts_as = agent
        if self.kind == STEP and self.owner.agent is None:
            self.late[c.AGENT_NAME] = self.attributes[c.AGENT_NAME] = agent

    @property
    def context(self) -> Context:
        """The Context that makes it current; after its end one that makes it the parent of what begins late."""
        inside = self.inside
        return Context({_SPAN_KEY: self.span, UNIT: self}) if inside is None else inside

    @property
    def acting(self) -> Owner:
        """The owner of what happens in here: with who acts as the agent, where none is around."""
        owner = self.owner
        return owner if owner.agent is not None or self.acts_as is None else owner._replace(agent=self.acts_as)

    def leave(self, deposit: Deposit) -> bool:
        """Leave a deposit here; False when this call takes none, or no more. Safe against `take` in another thread."""
        told = self.told
        if told is None:
            return False
        told.append(deposit)
        if self.told is None:
            try:
                told.remove(deposit)
            except ValueError:
                return True  # it was taken
            return False
        return True

    def take(self) -> list[Deposit]:
        """All deposits, in the order in which they were left; there will be no others."""
        told, self.told = self.told, None
        taken: list[Deposit] = []
        while told:
            taken.append(told.pop())
        return taken[::-1]


class Deposit(Protocol):
    """What an SDK's request leaves on the unit of the framework's call that it belongs to."""

    retries: int
    unsent: bool
    """It failed before anything of it was sent."""
    apart: bool
    """The framework's call has ended. A request that goes on, and is told its usage later, is a call of its own then."""

    @property
    def provider(self) -> str:
        """Whom the client asks."""

    @property
    def model(self) -> str | None:
        """What for."""

    def claim(self) -> bool:
        """Count this request's usage: True for whoever asks first, the framework's call or the request itself."""

    def attributes(self) -> dict[str, AttributeValue]:
        """What is known now, whether the request has ended or not."""


class Desk(Protocol):
    """What is told about our spans. Both methods are guarded by the caller and must not block."""

    def opened(self, unit: Unit) -> None:
        """A unit has opened; its span exists."""

    def closing(self, unit: Unit, ended_ns: int) -> Mapping[str, AttributeValue]:
        """A unit is about to end; the answer is written on its span. `unit.attributes` is complete."""


@lru_cache(maxsize=4096)
def owner_of(kind: str, name: str | None, outer: Owner) -> Owner:
    """The owner of what runs inside a unit of this kind and name that is itself inside `outer`."""
    if kind == AGENT:
        return Owner(outer.workflow or name, name, None, None)
    if kind == TOOL:
        return Owner(outer.workflow, outer.agent, outer.step, name)
    if kind == STEP:
        return Owner(outer.workflow, outer.agent, name, outer.tool)
    if kind == RUN:
        return Owner(outer.workflow or name, outer.agent, outer.step, outer.tool)
    return outer


_OF_REQUEST: Final = (c.REQUEST_LENGTHS, c.REQUEST_HASH)
"""What a hook knows of a request that no sampler decides by."""
_OPERATION: Final = {RUN: c.INVOKE_WORKFLOW, AGENT: c.INVOKE_AGENT, TOOL: c.EXECUTE_TOOL}
"""A step has no operation name: the convention knows none, and nothing of ours squats `gen_ai.`."""
_NAME_ATTRIBUTE: Final = {RUN: c.WORKFLOW_NAME, AGENT: c.AGENT_NAME, TOOL: c.TOOL_NAME, STEP: c.STEP}


def _begin_call(unit: Unit, base: Context) -> str:
    """The owner of a call, its attributes and the title of its span."""
    attrs, late, outer = unit.attributes, unit.late, NOBODY if unit.parent is None else unit.parent.owner
    if outer.agent is None:
        # A caller may know better than the enclosing spans (a plain graph node that makes calls acts as an agent).
        named = attrs.get(c.AGENT_NAME)
        if named is not None:
            outer = outer._replace(agent=str(named) or None)
        elif unit.parent is not None:
            outer = unit.parent.acting
    unit.owner = outer
    late[c.KIND] = CALL
    late[c.RUN_ID] = unit.run_id
    for name in _OF_REQUEST:
        if name in attrs:
            late[name] = attrs.pop(name)
    if outer is not NOBODY:
        _note_owner(unit, outer)
    made = base.get(CALLS_MADE)
    if isinstance(made, list):
        made.append(unit)
    operation = str(attrs[c.OPERATION_NAME])
    return f"{operation} {unit.name}" if unit.name else operation


def _begin_scope(unit: Unit) -> str:
    """The same for a run, agent, step or tool: what runs inside is owned by it, itself by what is around it."""
    attrs, late, outer = unit.attributes, unit.late, NOBODY if unit.parent is None else unit.parent.owner
    kind, name = unit.kind, unit.name
    unit.owner = owner_of(kind, name, outer)
    late[c.KIND] = kind
    late[c.RUN_ID] = unit.run_id
    operation = attrs.get(c.OPERATION_NAME) or _OPERATION.get(kind)
    if operation is not None:
        attrs[c.OPERATION_NAME] = operation
    if outer is not NOBODY:
        _note_owner(unit, outer)
    if not name:
        return str(operation or kind)
    called = _NAME_ATTRIBUTE[kind]
    attrs[called] = name
    late.pop(called, None)
    return f"{operation or kind} {name}"


def _note_owner(unit: Unit, owner: Owner) -> None:
    workflow, agent, step, tool = owner
    late = unit.late
    if workflow:
        late[c.WORKFLOW_NAME] = workflow
    if agent:
        late[c.AGENT_NAME] = agent
    if step and c.STEP not in unit.attributes:
        late[c.STEP] = step
    if tool:
        late[c.TOOL] = tool


class Spans:
    """Opens and closes units on one Tracer."""

    def __init__(self, tracer: Tracer, desk: Desk) -> None:
        self.tracer = tracer
        self.desk = desk
        self._tell_opened = guard.guarded("desk.opened")(desk.opened)
        self._ask_closing = guard.guarded("desk.closing")(desk.closing)
        self._open: dict[int, Unit] = {}

    def open(
        self,
        kind: str,
        name: str | None,
        *,
        context: Context | None = None,
        attributes: dict[str, AttributeValue] | None = None,
        started_ns: int | None = None,
    ) -> Unit:
        """Start a span of `kind` under the unit and span that `context` (default: the current one) holds.

        `started_ns` back-dates it: for a call that is recorded after the fact, or a step whose first call has just come.
        """
        base = otel_context.get_current() if context is None else context
        around = base.get(UNIT)
        if name is not None and type(name) is not str:
            name = str(name)  # whatever a program may name things by
        unit = Unit(kind, name, around if isinstance(around, Unit) else None, {} if attributes is None else attributes)
        unit.started_ns = started_ns = started_ns or time.time_ns()
        if kind == CALL:
            title, span_kind = _begin_call(unit, base), SpanKind.CLIENT
        else:
            title, span_kind = _begin_scope(unit), SpanKind.INTERNAL
        # By position: OpenTelemetry's API fixes the order, and names cost on the way of every call.
        unit.span = span = self.tracer.start_span(title, base, span_kind, unit.attributes, (), started_ns)
        unit.attributes.update(unit.late)
        unit.inside = Context({**base, _SPAN_KEY: span, UNIT: unit})
        self._tell_opened(unit)
        opened = self._open
        opened[id(unit)] = unit
        if len(opened) > OPEN_MAX:
            self.close(opened[next(iter(opened))], error=Interrupted())
        return unit

    def close(
        self,
        unit: Unit,
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        error: BaseException | None = None,
        ended_ns: int | None = None,
    ) -> None:
        """End a unit's span once: final attributes, status, what the desk adds (cost, totals)."""
        if self._open.pop(id(unit), None) is None:
            return
        ended_ns = ended_ns or time.time_ns()
        span = unit.span
        if isinstance(error, SystemExit) and not error.code:
            error = None  # a program that ends well by sys.exit()
        final = unit.late
        if attributes:
            final.update(attributes)
        if error is not None:
            final[c.ERROR_TYPE] = error_name(error)
        unit.attributes.update(final)
        try:
            final.update(self._ask_closing(unit, ended_ns) or ())
            write(span, final, attributes or {})
            if error is not None and not is_cancel(error):
                span.set_status(Status(StatusCode.ERROR, str(final[c.ERROR_TYPE])))
        finally:
            unit.inside = None
            span.end(ended_ns)

    def is_open(self, unit: Unit) -> bool:
        """True until the unit is closed."""
        return id(unit) in self._open

    def open_units(self) -> list[Unit]:
        """A snapshot of what is open, outermost first."""
        return list(self._open.values())

    def close_open(self) -> None:
        """End what is still open, innermost first: the process ends, or costspan is switched off."""
        for unit in list(self._open.values())[::-1]:
            with guard.Guard("close open units"):
                self.close(unit, error=Interrupted())

    def forget(self) -> None:
        """In a forked child: what the parent has open is the parent's to end; here it tells whose is what begins inside."""
        for unit in self._open.values():
            unit.kind, unit.state = REMOTE, None
        self._open.clear()


def error_name(error: BaseException) -> str:
    """The value of `error.type`: the exception's class, with its module unless it is a builtin."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def is_cancel(error: BaseException) -> bool:
    """True for what ends work without being an error: cancellation, an abandoned generator, Ctrl-C."""
    return any(kind.__name__ in CANCELLING for kind in type(error).__mro__)


def current() -> Unit | None:
    """The unit that the current Context is inside, if any."""
    unit = otel_context.get_value(UNIT)
    return unit if isinstance(unit, Unit) else None


FIRST_STEP: Final[ContextVar[Unit | None]] = ContextVar("costspan.first_step", default=None)
"""The framework's call whose first stream step is running. Another instrumentation may put a Context of its own in place
of ours there, in which our call is not to be found."""


def asking() -> Unit | None:
    """The unit on whose behalf a provider's SDK is being called."""
    return FIRST_STEP.get() or current()


class Switch:
    """Where the hooks find `Spans` while costspan is enabled; `spans` is None while it is not.

    `ask_stream_usage`: ask providers for the usage of streams whose caller has not, and hide the extra chunk.
    `estimate`: keep the texts of a call until it ends, for an estimate should its provider tell no usage.
    `provider`: the TracerProvider, for frameworks that write spans of their own and are told where to; `provider_is_ours`:
    the program had set up none.
    """

    spans: Spans | None = None
    provider: TracerProvider | None = None
    provider_is_ours: bool = False
    estimate: bool = False
    ask_stream_usage: bool = False


SWITCH: Final = Switch()
