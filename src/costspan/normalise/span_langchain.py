"""What a LangChain or LangGraph run is, for the dialects that export one span per callback run.

OpenInference, Langfuse, LangSmith and MLflow all show the same runs, differing only in where the metadata is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.normalise.owner_langchain import is_plumbing, owner_from_metadata
from costspan.records import AGENT, RUN, STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWNER_KEYS: Final = ("lc_agent_name", "agent_name", "langgraph_node", "langgraph_checkpoint_ns", "checkpoint_ns")
"""Metadata that `owner_from_metadata` looks at."""
CONVERSATION_KEYS: Final = ("thread_id", "session_id", "conversation_id")
_NAMED: Final = ("lc_agent_name", "agent_name")


class Place(NamedTuple):
    """A chain run that is worth a line: `kind` is agent, step or run."""

    kind: str
    name: str
    agent: str | None = None


def place(name: str, metadata: Mapping[str, object], *, is_root: bool) -> Place | None:
    """An agent (`create_agent`'s graph carries its agent's name), a run (the root), a node's step, or None for plumbing."""
    for key in _NAMED:
        if metadata.get(key) == name:
            return Place(AGENT, name)
    if is_root:
        return Place(RUN, name)
    node = metadata.get("langgraph_node")
    if node != name or is_plumbing(name):
        return None
    agent, step = owner_from_metadata(metadata)
    return Place(STEP, step or name, agent)


def prefixed(get: Callable[[str], object], keys: Mapping[str, str]) -> dict[str, object]:
    """Owner metadata that a dialect spreads over attributes; `keys` maps metadata keys to attribute names."""
    return {key: value for key, attribute in keys.items() if (value := get(attribute)) is not None}
