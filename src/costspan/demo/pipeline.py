"""The demo's agents, written as people write them: LangGraph, LangChain's agents, and the real OpenAI and Anthropic clients.

PM plans, Dev builds and asks a Researcher through a tool, QA judges on an Anthropic model. Nothing in here knows of costspan:
what would be different with a real provider are the base URLs, the keys and the `[[agent:…]]` marks, by which the fake
provider tells in its own log who asked.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_anthropic import ChatAnthropic
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

from costspan.demo.replies import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.tools import BaseTool
    from langgraph.graph.state import CompiledStateGraph

    from costspan.demo.provider import Addresses

NESTED = {"ask_researcher": "Researcher"}
"""Tools that run an agent."""
TASK = "Customers are billed twice when a payment is retried. Find out why and mend it."
KEY = "no-key-needed"
TEXT = (  # noqa: SIM905 - reads better as words
    "retry of a payment sends the same order again and the second request has a new key so the ledger books both the test "
    "for it was skipped last month because the clock of the build machine was late see also the ticket about refunds"
).split()


@dataclass(slots=True)
class Workshop:
    """The tools' own world: what they answer is drawn from the seed, and how often they ran and failed is counted."""

    seed: int
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def work(self, name: str) -> str:
        """A finding of 20 to 120 words."""
        self.calls[name] += 1
        rng = random.Random(f"{self.seed}/{name}/{self.calls[name]}")
        return " ".join(rng.choice(TEXT) for _ in range(rng.randint(20, 120)))

    def fail_once(self, name: str) -> None:
        if not self.errors[name]:
            self.calls[name] += 1
            self.errors[name] += 1
            message = "the build machine did not answer in time"
            raise TimeoutError(message)


def plan(seed: int) -> dict[str, list[Reply]]:
    """What the models will do, per agent: which tools they ask for and in which order. Words and usage are the provider's."""
    rng = random.Random(f"{seed}/plan")
    answer = Reply(delay=rng.uniform(0.03, 0.08), chunk_delay=0.005)

    def ask(name: str, **arguments: str) -> Reply:
        delay = rng.uniform(0.02, 0.05)
        return Reply(tool_calls=(ToolCall(name, dict(arguments)),), delay=delay, chunk_delay=0.005)

    asks = rng.randint(1, 2)
    tickets = [ask("search_tickets", query="billed twice") for _ in range(rng.randint(1, 2))]
    questions = [ask("ask_researcher", question=f"Why would a retry be billed ({number})?") for number in range(asks)]
    tests = [ask("run_tests", suite="unit") for _ in range(rng.randint(2, 3))]
    researches = [[ask("search_tickets", query="payment retry")] * rng.randint(0, 1) + [answer] for _ in range(asks)]
    return {
        "PM": [Reply(status=429), *tickets, answer],
        "Dev": [*tests, *questions, answer],
        "Researcher": [reply for research in researches for reply in research],
        "QA": [ask("run_tests", suite="integration"), answer],
    }


def tools(workshop: Workshop) -> tuple[BaseTool, BaseTool]:
    """The two plain tools; the tests' machine fails the first time."""

    @tool
    def search_tickets(query: str) -> str:
        """Search the tickets of the project."""
        return f"Tickets on {query}: {workshop.work('search_tickets')}"

    @tool
    def run_tests(suite: str) -> str:
        """Run a test suite and return its report."""
        workshop.fail_once("run_tests")
        return f"Report of {suite}: {workshop.work('run_tests')}"

    return search_tickets, run_tests


@wrap_tool_call
def tell_the_model(request: Any, handler: Callable[[Any], Any]) -> Any:
    """A tool that fails is reported to the model, which may try again."""
    try:
        return handler(request)
    except TimeoutError as error:
        return ToolMessage(f"Failed: {error}.", tool_call_id=request.tool_call["id"], status="error")


def build(provider: Addresses, workshop: Workshop) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The whole graph, ready to `invoke`."""
    search_tickets, run_tests = tools(workshop)

    def openai(model: str, *, streaming: bool = False) -> ChatOpenAI:
        # stream_usage: with a base URL of its own LangChain does not ask for a stream's usage unless told to.
        return ChatOpenAI(model=model, base_url=provider.openai_url, api_key=KEY, streaming=streaming, stream_usage=True)  # type: ignore[arg-type]

    researcher = create_agent(
        openai("gpt-4.1-mini"),
        [search_tickets],
        system_prompt="[[agent:Researcher]] You find out why things are as they are.",
        name="Researcher",
    )

    @tool
    def ask_researcher(question: str) -> str:
        """Ask the researcher a question."""
        workshop.calls["ask_researcher"] += 1
        answer = researcher.invoke({"messages": [HumanMessage(question)]})
        return str(answer["messages"][-1].content)

    pm = create_agent(
        openai("gpt-4.1", streaming=True),
        [search_tickets],
        system_prompt="[[agent:PM]] You are the product manager. Say what has to be done, in order.",
        name="PM",
    )
    dev = create_agent(
        openai("gpt-5-mini"),
        [run_tests, ask_researcher],
        system_prompt="[[agent:Dev]] You are the developer. Build what was planned and test it.",
        middleware=[tell_the_model],
        name="Dev",
    )
    qa = create_agent(
        ChatAnthropic(model="claude-haiku-4-5", base_url=provider.anthropic_url, api_key=KEY),  # type: ignore[call-arg, arg-type]
        [run_tests],
        system_prompt="[[agent:QA]] You judge whether it may be released.",
        middleware=[AnthropicPromptCachingMiddleware(), tell_the_model],
        name="QA",
    )
    return _graph({"plan": pm, "build": dev, "review": qa})


def _graph(agents: dict[str, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A line of nodes; each hands what it said to the next as a message with its name."""
    graph = StateGraph(MessagesState)

    def node(agent: Any) -> Any:
        def work(state: MessagesState) -> dict[str, Any]:
            answer = agent.invoke({"messages": state["messages"]})
            return {"messages": [HumanMessage(answer["messages"][-1].content, name=agent.name)]}

        return work

    before = START
    for name, agent in agents.items():
        graph.add_node(name, node(agent))
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(name="mend-billing")
