"""Who a LangChain call belongs to, where LangChain's own parents and what the host has opened itself meet."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

import costspan
from costspan.instrument.owners import carrier
from costspan.testing import Reply, billed

GO = {"messages": [HumanMessage("go")]}


@pytest.fixture
def model(provider):
    return ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="none", stream_usage=True)


def ask(name: str) -> list[Any]:
    return [HumanMessage(f"[[agent:{name}]] hello")]


def agent_of(model, name, tools=()):
    return create_agent(model, tools=list(tools), name=name, system_prompt=f"[[agent:{name}]] You are {name}.")


def prebuilt(model, name, tools=()):
    with warnings.catch_warnings(action="ignore"):
        from langgraph.prebuilt import create_react_agent

        return create_react_agent(model, list(tools), prompt=f"[[agent:{name}]] You are {name}.", name=name)


def graph_of(**nodes):
    graph, before = StateGraph(MessagesState), START
    for name, function in nodes.items():
        graph.add_node(name, function)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(name="pipeline")


def node(function):
    """A node that does something and answers nothing."""

    def run(state):
        function()
        return {"messages": []}

    return run


def agrees(seen, provider) -> None:
    """Per agent the provider's log, the metrics and the run's record say the same, and nothing is left over."""
    expected = {name: usage.total_tokens for name, usage in billed(provider.log).items()}
    (run,) = seen.runs
    assert {agent.name: agent.self_totals.usage.total_tokens for agent in run.agents if agent.self_totals.calls} == expected
    assert {name: seen.tokens(agent=name) for name in expected} == expected
    assert seen.tokens() == sum(expected.values()) == run.totals.usage.total_tokens
    assert run.unattributed.calls == 0


def work_of(function):
    @tool
    def work(query: str, config: RunnableConfig) -> str:
        """Work."""
        function(config)
        return "done"

    return work


def scripted(provider, name, tool_name="work"):
    provider.script(Reply(tool_calls=((tool_name, {"query": "x"}),)), Reply(text="done"), agent=name)


# --- what the host opens itself, inside what LangChain runs ---------------------------------------------------
def everything(model, name):
    """Calls in all the ways in which LangChain knows of the run around them."""
    model.invoke(ask(name))
    list(model.stream(ask(name)))
    prompt = ChatPromptTemplate.from_template(f"[[agent:{name}]] {{x}}")
    (prompt | model | RunnableLambda(lambda _: model.invoke(ask(name)))).invoke({"x": 1})
    model.batch([ask(name), ask(name)])


def test_calls_inside_an_agent_of_the_hosts_in_a_node_belong_to_it(seen, provider, model):
    def boss():
        with costspan.agent("boss"):
            everything(model, "boss")
        everything(model, "PM")

    graph_of(PM=node(boss)).invoke(GO)
    agrees(seen, provider)


def test_calls_inside_an_agent_of_the_hosts_in_an_agents_tool_belong_to_it(seen, provider, model):
    @costspan.agent("boss")
    def boss(_config):
        everything(model, "boss")

    scripted(provider, "PM")
    agent_of(model, "PM", [work_of(boss)]).invoke(GO)
    agrees(seen, provider)
    assert seen.runs[0].tools[0].nested.calls == 6


async def test_async_calls_inside_an_agent_of_the_hosts_in_a_node_belong_to_it(seen, provider, model):
    @costspan.agent("boss")
    async def boss():
        await asyncio.gather(model.ainvoke(ask("boss")), asyncio.to_thread(model.invoke, ask("boss")))
        assert [chunk async for chunk in model.astream(ask("boss"))]

    async def pm(state):
        await boss()
        return {"messages": [await model.ainvoke(ask("PM"))]}

    await graph_of(PM=pm).ainvoke(GO)
    agrees(seen, provider)


def test_calls_inside_a_tool_of_the_hosts_in_a_node_are_nested_in_it(seen, provider, model):
    @costspan.tool("lookup")
    def lookup():
        model.invoke(ask("PM"))

    graph_of(PM=node(lookup)).invoke(GO)
    agrees(seen, provider)
    assert [(each.name, each.nested.calls, each.agents) for each in seen.runs[0].tools] == [("lookup", 1, ("PM",))]
    assert seen.metric("costspan_tool_calls_total", tool="lookup", agent="PM") == 1


def test_a_step_that_opened_late_is_no_wall_around_an_agent_of_the_hosts(seen, provider, model):
    def first_then_boss(_):
        model.invoke(ask("PM"))  # opens the step of this chain, which was not open when this function began
        with costspan.agent("boss"):
            model.invoke(ask("boss"))

    named = RunnableLambda(first_then_boss).with_config(run_name="order 77")
    graph_of(PM=node(lambda: named.invoke("x"))).invoke(GO)
    agrees(seen, provider)


def test_a_graph_inside_an_agent_of_the_hosts_in_a_node_belongs_to_it(seen, provider, model):
    inner = graph_of(inside=node(lambda: model.invoke(ask("boss"))))

    @costspan.agent("boss")
    def boss():
        agent_of(model, "Dev").invoke(GO)
        inner.invoke(GO)

    graph_of(PM=node(boss)).invoke(GO)
    agrees(seen, provider)


# --- agents that are reached from inside another agent --------------------------------------------------------
WAYS = {
    "a config that is handed on": lambda dev, config: dev.invoke(GO, config),
    "the config of the context": lambda dev, config: dev.invoke(GO),
    "a chain": lambda dev, config: (RunnableLambda(lambda state: state) | dev).invoke(GO),
    "a chain with the config": lambda dev, config: (RunnableLambda(lambda state: state) | dev).invoke(GO, config),
    "a graph's node": lambda dev, config: graph_of(dev=dev).invoke(GO),
    "a graph's function": lambda dev, config: graph_of(dev=node(lambda: dev.invoke(GO))).invoke(GO),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inner", [agent_of, prebuilt])
@pytest.mark.parametrize("outer", [agent_of, prebuilt])
def test_an_agent_that_another_one_reaches_through(seen, provider, model, outer, inner, way):
    dev = inner(model, "Dev")
    scripted(provider, "PM")
    outer(model, "PM", [work_of(lambda config: WAYS[way](dev, config))]).invoke(GO)
    agrees(seen, provider)
    assert seen.runs[0].tools[0].nested.calls == 1


def test_three_agents_deep_each_owns_its_calls(seen, provider, model):
    qa = agent_of(model, "QA")
    dev = agent_of(model, "Dev", [work_of(lambda config: graph_of(qa=qa).invoke(GO, config))])
    scripted(provider, "PM")
    scripted(provider, "Dev")
    agent_of(model, "PM", [work_of(lambda config: dev.invoke(GO, config))]).invoke(GO)
    agrees(seen, provider)


@pytest.mark.parametrize("kind", [agent_of, prebuilt])
def test_a_named_agent_in_a_node_of_another_name_goes_by_its_own(seen, provider, model, kind):
    writer = kind(model, "writer")
    graph_of(first=kind(model, "planner"), second=node(lambda: writer.invoke(GO))).invoke(GO)
    agrees(seen, provider)


# --- calls that LangChain does not know -----------------------------------------------------------------------
def test_the_clients_own_calls_in_a_node_have_its_name_in_metrics_and_record(seen, provider, model):
    client = openai.OpenAI(base_url=provider.openai_url, api_key="none")

    def own(name):
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": f"[[agent:{name}]] hi"}])

    team = graph_of(Dev=node(lambda: own("Dev")), QA=node(lambda: model.invoke(ask("QA"))))
    graph_of(PM=node(lambda: own("PM")), team=team).invoke(GO)
    agrees(seen, provider)


def test_what_a_node_sends_to_another_process_goes_by_its_name(seen, provider):
    sent = []
    graph_of(PM=node(lambda: sent.append(carrier()))).invoke(GO)
    assert "agent=PM" in sent[0]["costspan-owner"]
