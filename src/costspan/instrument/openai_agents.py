"""OpenAI Agents SDK: what its trace processors are told, while it happens.

The SDK tells its processors of each trace and span in the context in which the work runs, so a unit can be current from
start to end. The object that hands these events to processors is wrapped instead of adding a processor: a program that
calls `set_trace_processors([])`, so that nothing is sent to OpenAI, would remove ours with it; and adding one would set up
the SDK's own exporter unasked. With tracing disabled (`OPENAI_AGENTS_DISABLE_TRACING`) the SDK tells nothing: model calls are
then counted without an agent.

trace = run, agent = agent, function = tool. Tokens come from the requests of the provider's client; where it has no hook
(LiteLLM), from what the SDK's span of that one call tells. Handed-off agents are siblings, as in the SDK's own tree.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from costspan import conventions as c
from costspan import guard
from costspan.instrument import answer
from costspan.instrument.patch import Patches, Point
from costspan.instrument.spans import CALLS_MADE, SWITCH, Unit
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.usage import extract
from costspan.records import AGENT, CALL, MISSING, RUN, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from costspan.instrument.spans import Spans

FRAMES_MAX: Final = 50_000
"""Open traces and spans that are tracked; beyond it the oldest is ended."""
_FRAME: Final = otel_context.create_key("costspan.openai_agents.frame")
_KINDS: Final = {"agent": AGENT, "function": TOOL}
_CALLS: Final = frozenset({"generation", "response"})


class Frame:
    """An open trace or span of the SDK: its unit, if it has one, and the Contexts around and inside it."""

    __slots__ = ("before", "calls", "context", "failing", "open", "started_ns", "unit")

    def __init__(self, before: Context) -> None:
        self.before = before
        self.context = before
        self.unit: Unit | None = None
        self.calls: list[Unit] | None = None
        self.open = True
        self.failing = sys.exc_info()[1]
        self.started_ns = time.time_ns()

    def error(self, told: Any = None) -> BaseException | None:
        """What ends it, if that is an error: the exception that is on its way out, else what the SDK has noted."""
        leaving = sys.exc_info()[1]
        if leaving is not None and leaving is not self.failing:
            return leaving
        return AgentsError() if told else None


class AgentsError(Exception):
    """Stands for an error of which the SDK only tells the words, which are not kept."""


class Events:
    """Turns the SDK's traces and spans into units. Every method is guarded by its wrapper."""

    def __init__(self) -> None:
        self.frames: OrderedDict[str, Frame] = OrderedDict()

    def trace_started(self, trace: Any) -> None:
        """A workflow begins."""
        spans = SWITCH.spans
        if spans is None:
            return
        frame = Frame(_around())
        group = getattr(trace, "group_id", None)
        attributes: dict[str, Any] = {c.CONVERSATION_ID: group} if isinstance(group, str) and group else {}
        self._open(spans, frame, RUN, trace.name, attributes)
        self._remember(spans, trace.trace_id, frame)

    def trace_ended(self, trace: Any) -> None:
        """A workflow has ended."""
        self._ended(trace.trace_id, None)

    def span_started(self, span: Any) -> None:
        """An agent, a tool, a model call or something that only passes its parent on begins."""
        spans = SWITCH.spans
        if spans is None:
            return
        data = span.span_data
        parent = self.frames.get(span.parent_id or "") or self.frames.get(span.trace_id)
        frame = Frame(_around())
        if parent is not None and frame.before.get(_FRAME) is None:
            frame.context = parent.context  # begun in a context that lost its parent
        kind = _KINDS.get(data.type)
        if kind is not None:
            self._open(spans, frame, kind, data.name, {c.TOOL_TYPE: "function"} if kind == TOOL else {})
        elif data.type in _CALLS:
            frame.calls = []
            frame.context = otel_context.set_value(CALLS_MADE, frame.calls, frame.context)
        self._remember(spans, span.span_id, frame)

    def span_ended(self, span: Any) -> None:
        """It has ended, with its data complete."""
        self._ended(span.span_id, span)

    # --- frames ------------------------------------------------------------------------------------------
    @staticmethod
    def _open(spans: Spans, frame: Frame, kind: str, name: Any, attributes: dict[str, Any]) -> None:
        frame.unit = spans.open(kind, str(name) if name else None, context=frame.context, attributes=attributes)
        inside = frame.unit.context
        frame.context = otel_context.set_value(CALLS_MADE, None, inside) if inside.get(CALLS_MADE) is not None else inside

    def _remember(self, spans: Spans, key: str, frame: Frame) -> None:
        frames = self.frames
        frames[key] = frame
        if len(frames) > FRAMES_MAX:
            _, oldest = frames.popitem(last=False)
            self._close(spans, oldest, None)
        frame.context = otel_context.set_value(_FRAME, frame, frame.context)
        otel_context.attach(frame.context)

    def _ended(self, key: str, span: Any) -> None:
        frame = self.frames.pop(key, None)
        spans = SWITCH.spans
        if frame is None or spans is None:
            return
        self._close(spans, frame, span)
        if _inside(frame):
            otel_context.attach(frame.before)

    @staticmethod
    def _close(spans: Spans, frame: Frame, span: Any) -> None:
        frame.open = False
        error = frame.error(getattr(span, "error", None))
        if frame.unit is not None:
            spans.close(frame.unit, error=error)
        elif frame.calls is not None and not frame.calls and span is not None:
            _count(spans, frame, span.span_data, error)


def _count(spans: Spans, frame: Frame, data: Any, error: BaseException | None) -> None:
    """A model call through a client without a hook of ours: what the SDK says about it is all there is."""
    response = getattr(data, "response", None)
    model = getattr(response, "model", None) or getattr(data, "model", None)
    prefix, slash, rest = str(model or "").partition("/")
    provider = canonical_provider(prefix) if slash else "openai" if data.type == "response" else None
    model = rest if slash else str(model) if model else None
    attributes: dict[str, Any] = {c.OPERATION_NAME: c.CHAT, c.PROVIDER_NAME: provider or "unknown"}
    if model:
        attributes[c.REQUEST_MODEL] = model
    found = extract(response if response is not None else {"usage": getattr(data, "usage", None) or {}}, provider=provider)
    final = answer.told(found) if found.usage.source != MISSING else {}
    if error is not None:
        final |= answer.why_unhappy(error, known=c.USAGE_SOURCE in final, began=False, ended=False)
    unit = spans.open(CALL, model, context=frame.before, attributes=attributes, started_ns=frame.started_ns)
    spans.close(unit, final, error=error)


def _around() -> Context:
    """The current Context, without what the SDK has ended but left current."""
    context = otel_context.get_current()
    frame = context.get(_FRAME)
    while isinstance(frame, Frame) and not frame.open:
        context = frame.before
        frame = context.get(_FRAME)
    return context


def _inside(frame: Frame) -> bool:
    """True when the current Context is the one of `frame`, or of something inside it that is current still."""
    at = otel_context.get_value(_FRAME)
    while isinstance(at, Frame):
        if at is frame:
            return True
        at = at.before.get(_FRAME)
    return False


class OpenAIAgents:
    """The adapter."""

    def __init__(self) -> None:
        self.events = Events()
        self._patches = Patches()

    def switch_on(self) -> None:
        events = self.events
        told = {
            "on_trace_start": events.trace_started,
            "on_trace_end": events.trace_ended,
            "on_span_start": events.span_started,
            "on_span_end": events.span_ended,
        }
        self._patches.apply(
            Point("agents.tracing.provider", f"SynchronousMultiTracingProcessor.{name}", functools.partial(_wrap, function))
            for name, function in told.items()
        )

    def switch_off(self) -> None:
        self._patches.undo()
        self.events.frames.clear()


def _wrap(told: Callable[[Any], None], original: Any) -> Any:
    @functools.wraps(original)
    def event(self: Any, what: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.Guard("openai_agents.event"):
            told(what)
        return original(self, what, *args, **kwargs)

    return event


def adapter() -> OpenAIAgents:
    """What the registry asks every framework file for."""
    return OpenAIAgents()
