"""Who a LangChain or LangGraph run belongs to, guessed from the metadata that LangChain hands to every callback.

The same metadata reaches us by four roads: our own callback handler, OpenInference (one JSON attribute), OpenLLMetry
(`traceloop.association.properties.*`) and Langfuse (`langfuse.observation.metadata.*`). All of them ask this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT_KEYS: Final = ("lc_agent_name", "agent_name")
"""Keys under which somebody names the agent on purpose: `create_agent(name=…)`, then a graph's own `metadata=`."""
PLUMBING: Final = frozenset({"model", "tools", "agent", "call_model", "generate_structured_response", "__start__", "__end__"})
"""Nodes that `create_agent` and `create_react_agent` put into every agent: they say what is done, not who does it."""
_MIDDLEWARE_HOOKS: Final = (".before_agent", ".before_model", ".after_model", ".after_agent")
_SEGMENTS: Final = "|"
_TASK: Final = ":"


def node_path(checkpoint_ns: str) -> str:
    """`pm:e95c…|model:cf10…` -> `pm/model`: the nodes from the outermost graph inwards, without their task ids.

    The ids change on every execution, so the path with them would never name the same step twice. Bare numbers (LangGraph
    counts the sub-graphs that one task calls) are left out for the same reason. An empty namespace gives `""`.
    """
    return "/".join(_nodes(checkpoint_ns))


def owner_from_metadata(metadata: Mapping[str, object]) -> tuple[str | None, str | None]:
    """(agent, step) of a run; either is None where nothing tells. Values of a wrong type count as absent.

    The agent, in order of evidence:

    1. `lc_agent_name`: what `create_agent(name=…)` was given; the innermost agent wins, LangChain overwrites it there;
    2. `agent_name`: what the author of a graph wrote into the node's or the call's metadata;
    3. the innermost node of `langgraph_checkpoint_ns` that is not `create_agent`'s own plumbing (`model`, `tools`, a
       middleware's hook): an unnamed agent is known by the node it runs in, a plain function node by its own name;
    4. `langgraph_node`, whatever it is called: it is the only name there is.

    The step is the node's path (`node_path`) without that plumbing (`pm/model` is the step `pm`), the whole path where it
    is nothing but plumbing, else `langgraph_node`. `langgraph_step` counts supersteps, so it would make
    every round of one node a step of its own: it is not part of the name. A run's free name is never read here, because
    it may hold user input.
    """
    nodes = _nodes(_text(metadata, "langgraph_checkpoint_ns") or _text(metadata, "checkpoint_ns") or "")
    node = _text(metadata, "langgraph_node")
    step = "/".join(name for name in nodes if not is_plumbing(name)) or "/".join(nodes) or node
    for key in AGENT_KEYS:
        named = _text(metadata, key)
        if named is not None:
            return named, step
    for candidate in reversed(nodes):
        if not is_plumbing(candidate):
            return candidate, step
    return node or (nodes[-1] if nodes else None), step


def _nodes(checkpoint_ns: str) -> list[str]:
    parts = (part for part in checkpoint_ns.split(_SEGMENTS) if part and not part.isdigit())
    return [name for name in (part.partition(_TASK)[0] for part in parts) if name]


def is_plumbing(node: str) -> bool:
    """True for a node that `create_agent` itself puts into every agent's graph."""
    return node in PLUMBING or node.endswith(_MIDDLEWARE_HOOKS)


def _text(metadata: Mapping[str, object], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None
