"""What CrewAI's agents and tasks are called in the program's code, before inputs are filled in; and whose a model is.

`crew.kickoff(inputs={"topic": …})` writes the inputs into the agents themselves: the role `{topic} researcher` becomes
`pandas researcher`. A label must not hold what a user typed, so the role as written is what counts. CrewAI remembers it on the
agent, but not on a copy of an agent that was filled in before (`kickoff_for_each` after a `kickoff`): that is remembered here.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Final

from costspan import guard
from costspan.instrument.patch import Point
from costspan.normalise.model_id import canonical_provider

_WRITTEN: Final[dict[int, tuple[weakref.ref[Any], str]]] = {}
"""Copies of agents -> the role as it was written, for as long as they live."""


def plain(text: Any) -> str | None:
    """A name on one line: roles that come from YAML end in a newline."""
    return " ".join(text.split()) or None if isinstance(text, str) else None


def role(agent: Any) -> str | None:
    """An agent's role as written in code or YAML."""
    if agent is None:
        return None
    known = _WRITTEN.get(id(agent))
    if known is not None and known[0]() is agent:
        return plain(known[1])
    return plain(getattr(agent, "_original_role", None)) or plain(getattr(agent, "role", None))


def task(task: Any) -> str | None:
    """A task's name, else its place in its crew. Its description is a prompt, which is never kept."""
    name = plain(getattr(task, "name", None))
    if name:
        return name
    crew = getattr(getattr(task, "agent", None), "crew", None)
    for number, each in enumerate(getattr(crew, "tasks", None) or (), start=1):
        if each is task:
            return f"task {number}"
    return None


def model(llm: Any, name: Any) -> tuple[str | None, str | None]:
    """(model, provider) of a call. LiteLLM's models are written `provider/model`, those of CrewAI's own clients as they are."""
    provider = getattr(llm, "provider", None)
    told = canonical_provider(provider if isinstance(provider, str) else None)
    if not isinstance(name, str) or not name:
        return None, told
    prefix, slash, rest = name.partition("/")
    if slash and getattr(llm, "is_litellm", False):
        return rest, canonical_provider(prefix)
    return name, told


def _remember(agent: Any, written: str) -> None:
    key = id(agent)
    _WRITTEN[key] = (weakref.ref(agent, lambda _: _WRITTEN.pop(key, None)), written)


def points() -> list[Point]:
    """A copy of an agent keeps the role that its original was written with."""

    def wrap(original: Any) -> Any:
        @functools.wraps(original)
        def copy(self: Any, *args: Any, **kwargs: Any) -> Any:
            made = original(self, *args, **kwargs)
            with guard.Guard("crewai.copy"):
                written = role(self)
                if written is not None and made is not self:
                    _remember(made, written)
            return made

        return copy

    return [Point("crewai.agents.agent_builder.base_agent", "BaseAgent.copy", wrap)]
