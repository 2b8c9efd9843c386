"""CrewAI: its own event bus tells when crews, agents, tasks, tools and model calls begin and end.

CrewAI hands events to listeners later, in a pool of threads. Whose a call is must be known while it is made, so the bus's
`emit` is wrapped: it runs where the work runs, and in order. A unit is current from its start event to its end event, in the
same context in which CrewAI keeps its own stack of events; the entry points are wrapped too, so that nothing stays open or
current when a crew is cancelled or interrupted, for which CrewAI emits no event.

Tokens come from the requests of the provider's client inside a model call (`openai.py`, `anthropic.py`); a client without a
hook (Gemini, Bedrock, LiteLLM) is counted by what CrewAI's event of that one call tells. CrewAI's totals are never read:
they are sums over every agent that shares an LLM.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from costspan import conventions as c
from costspan import guard
from costspan.instrument import answer, crewai_events, crewai_names
from costspan.instrument.patch import Patches, Point
from costspan.instrument.spans import CALLS_MADE, SWITCH, Interrupted, Unit
from costspan.normalise.usage import extract
from costspan.records import CALL, MISSING, TOOL

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from costspan.instrument.crewai_events import Begin
    from costspan.instrument.spans import Spans

FRAMES_MAX: Final = 50_000
"""Open frames that are tracked; beyond it the oldest is ended as interrupted."""
_FRAME: Final = otel_context.create_key("costspan.crewai.frame")
_ENTRY: Final = otel_context.create_key("costspan.crewai.entry")


class Frame:
    """One thing that CrewAI has begun: its unit if it has one of its own, and the Context from before it."""

    __slots__ = (
        "agent", "before", "calls", "entry", "ident", "model", "open", "outer", "provider", "started_ns", "stream", "unit",
        "what",
    )  # fmt: skip

    def __init__(self, begun: Begin, outer: Frame | None, before: Context) -> None:
        self.what = begun.what
        self.ident = begun.ident
        self.agent = begun.agent
        self.outer = outer
        self.before = before
        self.entry = before.get(_ENTRY)
        self.unit: Unit | None = None
        self.open = True
        self.started_ns = time.time_ns()
        self.calls: list[Unit] = []
        self.provider: str | None = None
        self.model: str | None = None
        self.stream = False

    def is_task_of(self, agent: object) -> bool:
        """True for a task that this agent has."""
        return self.what == "task" and self.agent == agent

    def matches(self, what: str, ident: object) -> bool:
        """True for what an end event names."""
        return self.what == what and self.ident == ident


class Events:
    """Turns CrewAI's events into units. `told` is guarded and never touches an event."""

    def __init__(self) -> None:
        self.frames: OrderedDict[int, Frame] = OrderedDict()

    def wrap_emit(self, original: Any) -> Any:
        """Around `CrewAIEventsBus.emit`: CrewAI's own listeners come first and see the context that was there."""

        @functools.wraps(original)
        def emit(bus: Any, source: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(bus, source, event, *args, **kwargs)
            finally:
                self.told(source, event)

        return emit

    @guard.guarded("crewai.event")
    def told(self, source: Any, event: Any) -> None:
        """An event has been emitted in this context."""
        spans = SWITCH.spans
        if spans is None:
            return
        begun = crewai_events.begins(source, event)
        if begun is not None:
            self._begin(spans, begun, source, event)
            return
        ended = crewai_events.ends(source, event)
        if ended is not None:
            self._end(spans, *ended, event)

    # --- begin -----------------------------------------------------------------------------------------
    def _begin(self, spans: Spans, begun: Begin, source: Any, event: Any) -> None:
        before, outer = otel_context.get_current(), _current()
        frame = Frame(begun, outer, before)
        if begun.what == "llm":
            frame.model, frame.provider = crewai_names.model(source, event.model)
            frame.stream = getattr(event, "stream", None) is True
            inside = otel_context.set_value(CALLS_MADE, frame.calls, before)
        elif begun.what == "agent" and outer is not None and outer.is_task_of(begun.agent):
            inside = before  # the task's own agent: its unit is open since the task began
        else:
            attributes: dict[str, Any] = {c.STEP: begun.step} if begun.step else {}
            if begun.kind == TOOL:
                attributes[c.TOOL_TYPE] = "function"
            frame.unit = unit = spans.open(begun.kind, begun.name, attributes=attributes)
            if begun.step:
                unit.owner = unit.owner._replace(step=begun.step)
            inside = unit.context
            if before.get(CALLS_MADE) is not None:
                inside = otel_context.set_value(CALLS_MADE, None, inside)
        self._remember(spans, frame)
        otel_context.attach(otel_context.set_value(_FRAME, frame, inside))

    def _remember(self, spans: Spans, frame: Frame) -> None:
        frames = self.frames
        frames[id(frame)] = frame
        if len(frames) > FRAMES_MAX:
            _, oldest = frames.popitem(last=False)
            self._close(spans, oldest, None, Interrupted())

    # --- end -------------------------------------------------------------------------------------------
    def _end(self, spans: Spans, what: str, ident: object, event: Any) -> None:
        error = crewai_events.error(event)
        at = innermost = _current()
        while at is not None and not at.matches(what, ident):
            at = at.outer
        if at is None:
            # Ended in another context than it began in: this context stays as it is.
            found = [each for each in self.frames.values() if each.matches(what, ident)]
            if found:
                self._close(spans, found[-1], event, error)
            return
        while innermost is not None and innermost is not at:
            self._close(spans, innermost, None, error)  # CrewAI left it without an end event
            innermost = innermost.outer
        self._close(spans, at, event, error)
        otel_context.attach(at.before)

    def _close(self, spans: Spans, frame: Frame, event: Any, error: BaseException | None) -> None:
        if not frame.open:
            return
        frame.open = False
        self.frames.pop(id(frame), None)
        if frame.what == "llm":
            self._close_call(spans, frame, event, error)
        elif frame.unit is not None:
            spans.close(frame.unit, error=error)

    @staticmethod
    def _close_call(spans: Spans, frame: Frame, event: Any, error: BaseException | None) -> None:
        """A model call through a client without a hook of ours: what CrewAI says about it is all there is."""
        if frame.calls or (event is None and (error is None or isinstance(error, Exception))):
            return
        attributes: dict[str, Any] = {c.OPERATION_NAME: c.CHAT, c.PROVIDER_NAME: frame.provider or "unknown"}
        if frame.model:
            attributes[c.REQUEST_MODEL] = frame.model
        if frame.stream:
            attributes[c.REQUEST_STREAM] = True
        found = extract({"usage": getattr(event, "usage", None) or {}}, provider=frame.provider)
        final = answer.told(found) if found.usage.source != MISSING else {}
        if error is not None:
            final |= answer.why_unhappy(error, known=c.USAGE_SOURCE in final, began=False, ended=False)
        answered, reason = getattr(event, "response_id", None), getattr(event, "finish_reason", None)
        if isinstance(answered, str) and answered:
            final[c.RESPONSE_ID] = answered
        if isinstance(reason, str) and reason:
            final[c.FINISH_REASONS] = (reason,)
        unit = spans.open(CALL, frame.model, context=frame.before, attributes=attributes, started_ns=frame.started_ns)
        spans.close(unit, final, error=error)

    # --- entry points ----------------------------------------------------------------------------------
    def wrap_entry(self, original: Any) -> Any:
        """Around what a program calls to start a crew, flow or agent: on its way out nothing of it stays open."""
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def entry(*args: Any, **kwargs: Any) -> Any:
                mark = enter()
                try:
                    return await original(*args, **kwargs)
                except BaseException as error:
                    self._failed(mark, error)
                    raise
                finally:
                    if mark is not None:
                        mark.leave()

        else:

            @functools.wraps(original)
            def entry(*args: Any, **kwargs: Any) -> Any:
                mark = enter()
                try:
                    return original(*args, **kwargs)
                except BaseException as error:
                    self._failed(mark, error)
                    raise
                finally:
                    if mark is not None:
                        mark.leave()

        return entry

    @guard.guarded("crewai.failed")
    def _failed(self, entry: Entry | None, error: BaseException) -> None:
        """An exception leaves an entry point: end what it began and CrewAI has not ended, innermost first."""
        spans = SWITCH.spans
        if spans is not None and entry is not None:
            for frame in [each for each in list(self.frames.values()) if each.entry is entry][::-1]:
                self._close(spans, frame, None, error)

    def close_all(self) -> None:
        """Costspan is switched off: nothing is tracked any more (`Spans` ends what is open)."""
        self.frames.clear()


class Entry:
    """One call of an entry point: marks the Context of what happens inside it, and puts back what was current before."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Any = otel_context.attach(otel_context.set_value(_ENTRY, self))

    @guard.guarded("crewai.leave")
    def leave(self) -> None:
        """Put the Context back; not where a coroutine is closed in another context than the one it ran in."""
        if otel_context.get_value(_ENTRY) is self:
            otel_context.detach(self._token)


@guard.guarded("crewai.enter")
def enter() -> Entry:
    """An entry point is called."""
    return Entry()


def _current() -> Frame | None:
    found = otel_context.get_value(_FRAME)
    return found if isinstance(found, Frame) else None


_ENTRIES: Final = (
    ("crewai.crew", "Crew.kickoff"),
    ("crewai.crew", "Crew.akickoff"),
    ("crewai.flow.flow", "Flow.kickoff_async"),
    ("crewai.agent.core", "Agent.kickoff"),
    ("crewai.agent.core", "Agent.kickoff_async"),
    ("crewai.lite_agent", "LiteAgent.kickoff"),
    ("crewai.lite_agent", "LiteAgent.kickoff_async"),
)


class CrewAI:
    """The adapter: listens to the event bus from now on, and stops."""

    def __init__(self) -> None:
        self.events = Events()
        self._patches = Patches()

    def switch_on(self) -> None:
        self._patches.apply([Point("crewai.events.event_bus", "CrewAIEventsBus.emit", self.events.wrap_emit, optional=False)])
        self._patches.apply(Point(module, path, self.events.wrap_entry) for module, path in _ENTRIES)
        self._patches.apply(crewai_names.points())

    def switch_off(self) -> None:
        self._patches.undo()
        self.events.close_all()


def adapter() -> CrewAI:
    """What the registry asks every framework file for."""
    return CrewAI()
