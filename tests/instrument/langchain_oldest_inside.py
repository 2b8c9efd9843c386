"""Run by test_langchain_oldest.py where old versions of LangChain and LangGraph are installed."""

from __future__ import annotations

import asyncio

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from opentelemetry import trace

import costspan
from costspan.testing import Reply, billed

GO = {"messages": [HumanMessage("go")]}


@pytest.fixture
def model(provider):
    return ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="none", stream_usage=True)


def ask(name):
    return [HumanMessage(f"[[agent:{name}]] hello")]


def graph_of(**nodes):
    graph, before = StateGraph(MessagesState), START
    for name, function in nodes.items():
        graph.add_node(name, function)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(name="pipeline")


def agrees(seen, provider):
    expected = {name: usage.total_tokens for name, usage in billed(provider.log).items()}
    (run,) = seen.runs
    assert {agent.name: agent.self_totals.usage.total_tokens for agent in run.agents if agent.self_totals.calls} == expected
    assert {name: seen.tokens(agent=name) for name in expected} == expected
    assert seen.tokens() == sum(expected.values()) == run.totals.usage.total_tokens
    assert not trace.get_current_span().get_span_context().is_valid


async def test_every_way_of_calling_is_counted_once(seen, provider, model):
    model.invoke(ask("PM"))
    await model.ainvoke(ask("PM"))
    assert list(model.stream(ask("PM")))
    assert [chunk async for chunk in model.astream(ask("PM"))]
    model.batch([ask("PM")] * 2)
    await model.abatch([ask("PM")] * 2)
    assert seen.tokens() == billed(provider.log)["PM"].total_tokens
    assert seen.metric("costspan_calls_total") == len(provider.log) == 8


def test_nodes_act_as_agents_of_their_graph_and_clients_inside_belong_to_them(seen, provider, model):
    client = openai.OpenAI(base_url=provider.openai_url, api_key="none")

    def dev(state):
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "[[agent:Dev]] hi"}])
        return {"messages": []}

    graph_of(PM=lambda state: {"messages": [model.invoke(ask("PM"))]}, Dev=dev).invoke(GO)
    agrees(seen, provider)
    assert seen.runs[0].workflow == "pipeline"


async def test_agents_of_the_hosts_and_agents_in_tools_own_their_calls(seen, provider, model):
    sub = create_react_agent(model, [], prompt="[[agent:Sub]] You are Sub.", name="Sub")

    @tool
    async def work(query: str, config: RunnableConfig) -> str:
        """Work."""
        await asyncio.gather(sub.ainvoke(GO, config), model.ainvoke(ask("PM")))
        graph_of(sub=sub).invoke(GO)
        with costspan.agent("boss"):
            await (RunnableLambda(lambda _: ask("boss")) | model | (lambda _: model.invoke(ask("boss")))).ainvoke("x")
        return "done"

    provider.script(Reply(tool_calls=(("work", {"query": "x"}),)), Reply(text="done"), agent="PM")
    await create_react_agent(model, [work], prompt="[[agent:PM]] You are PM.", name="PM").ainvoke(GO)
    agrees(seen, provider)
    assert seen.runs[0].tools[0].nested.calls == 5
