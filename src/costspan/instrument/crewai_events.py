"""What CrewAI's events say: which of them begin and end something that is measured, and what identifies it.

An event's `type` is the only thing that all versions since 1.0 have had; nothing of an event's content is read.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from costspan.instrument import crewai_names
from costspan.records import AGENT, CALL, RUN, STEP, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable


class Begin(NamedTuple):
    """What a start event says: which kind of thing, and what identifies it among the open ones.

    `step` is a task's name and `agent` whose task it is, or which agent begins.
    """

    what: str
    kind: str
    name: str | None
    ident: object
    step: str | None = None
    agent: object = None


_ENDS: Final = {
    "crew_kickoff_completed": "crew",
    "crew_kickoff_failed": "crew",
    "flow_finished": "flow",
    "flow_failed": "flow",
    "flow_paused": "flow",
    "method_execution_finished": "method",
    "method_execution_failed": "method",
    "method_execution_paused": "method",
    "task_completed": "task",
    "task_failed": "task",
    "agent_execution_completed": "agent",
    "agent_execution_error": "agent",
    "lite_agent_execution_completed": "lite_agent",
    "lite_agent_execution_error": "lite_agent",
    "tool_usage_finished": "tool",
    "tool_usage_error": "tool",
    "llm_call_completed": "llm",
    "llm_call_failed": "llm",
}
"""Event -> what it ends."""
_BAD_ENDS: Final = ("_failed", "_error")


def begins(source: Any, event: Any) -> Begin | None:
    """What an event begins; None when it begins nothing that is measured."""
    reader = _STARTS.get(event.type)
    return None if reader is None else reader(source, event)


def _crew(source: Any, event: Any) -> Begin:
    return Begin("crew", RUN, crewai_names.plain(event.crew_name) or "crew", id(source))


def _flow(source: Any, event: Any) -> Begin | None:
    if type(source).__module__.partition(".")[0] == "crewai":
        return None  # plumbing of CrewAI that happens to be a flow
    return Begin("flow", RUN, crewai_names.plain(event.flow_name) or "flow", id(source))


def _method(source: Any, event: Any) -> Begin | None:
    if type(source).__module__.partition(".")[0] == "crewai":
        return None
    return Begin("method", STEP, str(event.method_name), (id(source), str(event.method_name)))


def _task(source: Any, event: Any) -> Begin:
    task = event.task if event.task is not None else source
    agent = getattr(task, "agent", None)
    return Begin("task", AGENT, crewai_names.role(agent), id(task), crewai_names.task(task), id(agent))


def _agent(_source: Any, event: Any) -> Begin:
    return Begin("agent", AGENT, crewai_names.role(event.agent), id(event.agent), agent=id(event.agent))


def _lite_agent(source: Any, event: Any) -> Begin:
    return Begin("lite_agent", AGENT, crewai_names.role(source) or event.agent_info.get("role"), event.agent_info.get("id"))


def _tool(_source: Any, event: Any) -> Begin:
    return Begin("tool", TOOL, str(event.tool_name), str(event.tool_name))


def _llm(source: Any, event: Any) -> Begin:
    return Begin("llm", CALL, event.model, _call_id(source, event))


def _call_id(source: Any, event: Any) -> object:
    return getattr(event, "call_id", None) or id(source)  # versions before 1.6 number no calls


_STARTS: Final[dict[str, Callable[[Any, Any], Begin | None]]] = {
    "crew_kickoff_started": _crew,
    "flow_started": _flow,
    "method_execution_started": _method,
    "task_started": _task,
    "agent_execution_started": _agent,
    "lite_agent_execution_started": _lite_agent,
    "tool_usage_started": _tool,
    "llm_call_started": _llm,
}


def ends(source: Any, event: Any) -> tuple[str, object] | None:
    """What an event ends, as `begins` identified it."""
    what = _ENDS.get(event.type)
    if what in {"crew", "flow"}:
        return what, id(source)
    if what == "method":
        return what, (id(source), str(event.method_name))
    if what == "task":
        return what, id(event.task if event.task is not None else source)
    if what == "agent":
        return what, id(event.agent)
    if what == "lite_agent":
        return what, event.agent_info.get("id")
    if what == "tool":
        return what, str(event.tool_name)
    return None if what is None else (what, _call_id(source, event))


class CrewError(Exception):
    """Stands for an error of which CrewAI's event only tells the words, which are not kept."""


def error(event: Any) -> BaseException | None:
    """The exception that ended something. CrewAI emits its failures from the `except` block that holds them."""
    if not event.type.endswith(_BAD_ENDS):
        return None
    told = getattr(event, "error", None)
    return told if isinstance(told, BaseException) else sys.exc_info()[1] or CrewError()
