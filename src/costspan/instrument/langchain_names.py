"""What a LangChain run is and what it is called: pure functions, and the one hook that tells a graph's own name.

Names that come from code (an agent's name, a node, a compiled graph) may become metric labels. A run's free name
(`config={"run_name": …}`) may hold user input: it names a step in records and nothing else.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from costspan import guard
from costspan.instrument.patch import Point
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.owner_langchain import AGENT_KEYS, PLUMBING, is_plumbing, owner_from_metadata
from costspan.records import AGENT, RUN, STEP, TOOL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.instrument.spans import Unit

_ANNOUNCED: Final[ContextVar[Graph | None]] = ContextVar("costspan.graph", default=None)
"""The graph that LangGraph has just asked for its name: the next chain that starts here is its run."""
_CONTROL_FLOW: Final = frozenset({"GraphInterrupt", "GraphBubbleUp", "ParentCommand", "NodeInterrupt", "GraphDrained"})
_OWNER_KEYS: Final = frozenset({"lc_agent_name", "agent_name", "langgraph_node", "langgraph_checkpoint_ns", "checkpoint_ns"})
"""Where `owner_from_metadata` looks: a lone call has none of them."""
_NODE_TAG: Final = "graph:step:"
_UNNAMED_GRAPH: Final = "LangGraph"
_HOOKS: Final = frozenset({"pre_model_hook", "post_model_hook"})
_ANONYMOUS: Final = ("Runnable", "LangGraph", "ChannelWrite", "Branch", "_", "seq:")


class Graph(NamedTuple):
    """What a compiled graph says of itself: its name, and that of the agent that it is."""

    name: str
    agent: str | None


class Chain(NamedTuple):
    """What a chain run is: its kind and name. `lazy` opens it only if something happens inside."""

    kind: str
    name: str | None
    lazy: bool = False


def chain(
    name: str | None,
    metadata: Mapping[str, Any],
    tags: Sequence[str],
    around: Unit | None,
    outermost: bool,
    agents: tuple[str | None, str | None],
) -> Chain | None:
    """The unit that a chain run opens; None when it is plumbing and only passes its parent on.

    `agents` are the agent that the metadata name (`create_agent(name=…)`, or `agent_name`), and the one that the metadata of
    the chain around this one did: a config that is handed on takes its metadata along, into other agents too.

    In order of evidence: a graph that is an agent by its own word; a named agent that is not the one we are in already, nor
    inherited; a graph node; the outermost run of all; a chain that somebody named.
    """
    graph = _announced()
    agent, inherited = agents
    if graph is not None and graph.agent is not None and graph.name == name:
        if _begins_agent(graph.agent, name, around):
            return Chain(AGENT, graph.agent)
    elif agent is not None and (agent != inherited or name == agent) and _begins_agent(agent, name, around):
        return Chain(AGENT, agent)
    node = metadata.get("langgraph_node")
    if node and name == node and any(tag.startswith(_NODE_TAG) for tag in tags):
        return _node(metadata, agent, around)
    if outermost and around is None:
        return Chain(RUN, _workflow(name, metadata, graph))
    if name and not outermost and not name.startswith(_ANONYMOUS) and not _is_inside(agent, around):
        inside = graph is not None and graph.name == name and _is_in_node(node, around)
        return None if inside else Chain(STEP, name, lazy=True)
    return None


def _announced() -> Graph | None:
    graph = _ANNOUNCED.get()
    if graph is not None:
        _ANNOUNCED.set(None)
    return graph


def named_agent(metadata: Mapping[str, Any]) -> str | None:
    """The agent that somebody named on purpose."""
    for key in AGENT_KEYS:
        value = metadata.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def _begins_agent(agent: str, name: str | None, around: Unit | None) -> bool:
    if around is None or around.owner.agent != agent:
        return True
    # An agent that calls itself through a tool starts again there; its own inner runs do not.
    return name == agent and around.kind == TOOL


def _is_inside(agent: str | None, around: Unit | None) -> bool:
    return agent is not None and around is not None and around.kind == AGENT


def _is_in_node(node: object, around: Unit | None) -> bool:
    """A graph that a node runs is that node's execution, and its own nodes say so: `team/writer`."""
    return node is not None and around is not None and around.kind == STEP


def _node(metadata: Mapping[str, Any], agent: str | None, around: Unit | None) -> Chain | None:
    """A graph node is a step, unless it is the inside of an agent (`model`, `tools`, middleware)."""
    if _is_inside(agent, around) or metadata.get("langgraph_node") in PLUMBING:
        return None
    _, step = owner_from_metadata(metadata)
    return Chain(STEP, step)


def _workflow(name: str | None, metadata: Mapping[str, Any], graph: Graph | None) -> str | None:
    if metadata.get("ls_integration") or metadata.get("langgraph_version"):
        return _UNNAMED_GRAPH if graph is None else graph.name
    if graph is not None and graph.name == name:
        return name  # old versions tell nothing of themselves
    return name if name is not None and name.startswith("Runnable") and name.isidentifier() else None


def agent_of(metadata: Mapping[str, Any], around: Unit | None) -> str | None:
    """The agent of a call that no agent span encloses: a plain node that makes calls acts as one.

    Inside an unnamed prebuilt agent the nodes are only called `model` or `agent`; the graph's name says more.
    """
    if _OWNER_KEYS.isdisjoint(metadata):
        return None
    agent, _ = owner_from_metadata(metadata)
    if agent in PLUMBING:
        return around.owner.workflow if around is not None else None
    return agent


def model(metadata: Mapping[str, Any], serialized: Mapping[str, Any] | None, params: Any) -> tuple[str | None, str | None]:
    """(provider, model) of a call that starts; a model without a name is still counted."""
    given: Mapping[str, Any] = params if isinstance(params, dict) else {}
    found = metadata.get("ls_model_name")
    for key in ("model", "model_name", "model_id", "deployment_name"):
        found = found or given.get(key)
    settings = (serialized or {}).get("kwargs") or {}
    if not found and isinstance(settings, dict):
        found = settings.get("model_name") or settings.get("model")
    provider = metadata.get("ls_provider")
    return canonical_provider(provider if isinstance(provider, str) else None), found if isinstance(found, str) else None


def class_name(serialized: Mapping[str, Any] | None) -> str | None:
    """The class that LangChain serialised: `["langchain", "retrievers", "MyRetriever"]` -> `MyRetriever`."""
    path = (serialized or {}).get("id")
    return str(path[-1]) if isinstance(path, list) and path else None


def is_control_flow(error: BaseException) -> bool:
    """True for exceptions by which LangGraph steers itself: they end a run without being an error."""
    return any(kind.__name__ in _CONTROL_FLOW for kind in type(error).__mro__)


def points() -> list[Point]:
    """LangGraph asks a graph for its name just before it announces the run, also when the run has a free name."""

    def wrap(original: Any) -> Any:
        @functools.wraps(original)
        def get_name(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = original(self, *args, **kwargs)
            _announce(self, found)
            return found

        return get_name

    return [Point("langgraph.pregel", "Pregel.get_name", wrap)]


@guard.guarded("langchain.graph_name")
def _announce(graph: Any, name: Any) -> None:
    _ANNOUNCED.set(Graph(name, _own_agent(graph, name)) if isinstance(name, str) and name else None)


def _own_agent(graph: Any, name: str) -> str | None:
    """The agent that a graph is: named in its own config, or a prebuilt agent (nothing but its plumbing) with a name."""
    config = getattr(graph, "config", None)
    found = named_agent((config or {}).get("metadata") or {})
    if found is not None or name == _UNNAMED_GRAPH:
        return found
    return name if all(is_plumbing(node) or node in _HOOKS for node in graph.nodes) else None
