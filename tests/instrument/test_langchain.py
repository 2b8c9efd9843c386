"""LangChain and LangGraph against the fake provider's own log: every line that an agent's author writes is measured."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel

import costspan
from costspan.instrument.spans import SWITCH
from costspan.testing import Reply, billed, measure

KINDS = ("openai", "responses", "anthropic")


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


def model_of(kind: str, provider, **more):
    if kind == "anthropic":
        return ChatAnthropic(model="claude-sonnet-4-5", base_url=provider.anthropic_url, api_key="none", **more)
    more.setdefault("stream_usage", True)
    return ChatOpenAI(
        model="gpt-5-mini", base_url=provider.openai_url, api_key="none", use_responses_api=kind == "responses", **more
    )


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def model(kind, provider):
    return model_of(kind, provider)


def agrees(seen, provider, agents: bool = True) -> None:
    """Metrics, and where there are runs their records too, equal the provider's log; the conservation law holds."""
    log = [entry for entry in provider.log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(entry.told_usage.input_tokens or 0 for entry in log)
    assert seen.tokens("output") == sum(entry.told_usage.output_tokens or 0 for entry in log)
    if agents:
        for name, usage in billed(log).items():
            if name != "unknown":
                assert seen.tokens(agent=name) == usage.total_tokens, name
    for run in seen.runs:
        parts = [each.self_totals for each in run.agents] + [run.unattributed]
        assert run.totals.calls == sum(part.calls for part in parts)
        assert (run.totals.usage.total_tokens or 0) == sum(part.usage.total_tokens or 0 for part in parts)
        assert (run.totals.cost_usd or 0) == sum(part.cost_usd or 0 for part in parts)


def ask(name: str, text: str = "hello") -> list[Any]:
    return [HumanMessage(f"[[agent:{name}]] {text}")]


def test_an_invoked_model_is_counted_once_and_priced(seen, provider, model):
    model.invoke(ask("PM"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_cost_usd_total") > 0


async def test_an_awaited_model_is_counted_once(seen, provider, model):
    await model.ainvoke(ask("PM"))
    agrees(seen, provider, agents=False)


def test_a_stream_is_counted_with_the_time_of_its_first_chunk(seen, provider, model):
    assert len(list(model.stream(ask("PM")))) > 1
    agrees(seen, provider, agents=False)
    (span,) = [span for span in seen.spans if span.attributes["costspan.kind"] == "call"]
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.time_to_first_chunk"] >= 0


async def test_an_async_stream_is_counted(seen, provider, model):
    assert len([chunk async for chunk in model.astream(ask("PM"))]) > 1
    agrees(seen, provider, agents=False)


def test_a_batch_counts_every_call(seen, provider, model):
    model.batch([ask("PM"), ask("Dev"), ask("QA")])
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 3


async def test_an_async_batch_counts_every_call(seen, provider, model):
    await model.abatch([ask("PM"), ask("Dev"), ask("QA")])
    agrees(seen, provider, agents=False)


async def test_astream_events_are_counted(seen, provider, model):
    events = [event async for event in model.astream_events(ask("PM"), version="v2")]
    assert events
    agrees(seen, provider, agents=False)


def test_a_legacy_completion_model_is_counted(seen, provider):
    OpenAI(model="gpt-3.5-turbo-instruct", base_url=provider.openai_url, api_key="none").invoke("hello")
    agrees(seen, provider, agents=False)


def test_a_model_without_a_name_is_still_counted(seen, provider):
    nameless = ChatOpenAI(model="", base_url=provider.openai_url, api_key="none")
    nameless.invoke(ask("PM"))
    agrees(seen, provider, agents=False)


def node(model, name):
    def run(state):
        return {"messages": [model.invoke(ask(name))]}

    return run


def anode(model, name):
    async def run(state):
        return {"messages": [await model.ainvoke(ask(name))]}

    return run


def graph_of(nodes, *, parallel: bool = False, name: str = "pipeline"):
    graph = StateGraph(State)
    before = START
    for key, function in nodes.items():
        graph.add_node(key, function)
        graph.add_edge(START if parallel else before, key)
        if parallel:
            graph.add_edge(key, END)
        before = key
    if not parallel:
        graph.add_edge(before, END)
    return graph.compile(name=name)


def test_plain_nodes_that_make_calls_act_as_agents(seen, provider, model):
    graph_of({name: node(model, name) for name in ("PM", "Dev", "QA")}).invoke({"messages": ask("x")})
    agrees(seen, provider)
    (run,) = seen.runs
    assert (run.workflow, [agent.name for agent in run.agents]) == ("pipeline", ["PM", "Dev", "QA"])
    assert [step.name for step in run.steps] == ["PM", "Dev", "QA"]


async def test_parallel_async_branches_keep_their_owners(seen, provider, model):
    names = ("PM", "Dev", "QA")
    await graph_of({name: anode(model, name) for name in names}, parallel=True).ainvoke({"messages": ask("x")})
    agrees(seen, provider)


def test_parallel_branches_keep_their_owners(seen, provider, model):
    names = ("PM", "Dev", "QA")
    graph_of({name: node(model, name) for name in names}, parallel=True).invoke({"messages": ask("x")})
    agrees(seen, provider)


@pytest.mark.parametrize("mode", ["values", "updates", "messages", "custom", "debug", ["updates", "messages"]])
def test_every_stream_mode_of_a_graph_is_counted(seen, provider, model, mode):
    graph = graph_of({name: node(model, name) for name in ("PM", "Dev")})
    list(graph.stream({"messages": ask("x")}, stream_mode=mode))
    agrees(seen, provider)


async def test_astream_events_of_a_graph_are_counted(seen, provider, model):
    graph = graph_of({name: anode(model, name) for name in ("PM", "Dev")})
    assert [event async for event in graph.astream_events({"messages": ask("x")}, version="v2")]
    agrees(seen, provider)


def agent_of(model, name, tools=()):
    return create_agent(model, tools=list(tools), name=name, system_prompt=f"[[agent:{name}]] You are {name}.")


def scripted(provider, name, tool_name, **arguments):
    provider.script(Reply(tool_calls=((tool_name, arguments),)), Reply(text="done"), agent=name)


def test_agents_with_tools_own_their_calls(seen, provider, model):
    @tool
    def search(query: str) -> str:
        """Search."""
        return "found " * 20

    scripted(provider, "PM", "search", query="x")
    agent_of(model, "PM", [search]).invoke({"messages": [HumanMessage("go")]})
    agrees(seen, provider)
    (run,) = seen.runs
    assert [(t.name, t.calls, t.errors) for t in run.tools] == [("search", 1, 0)]
    assert seen.metric("costspan_tool_calls_total", tool="search", agent="PM") == 1


async def test_async_agents_with_tools_own_their_calls(seen, provider, model):
    @tool
    async def search(query: str) -> str:
        """Search."""
        return "found"

    scripted(provider, "PM", "search", query="x")
    await agent_of(model, "PM", [search]).ainvoke({"messages": [HumanMessage("go")]})
    agrees(seen, provider)


def test_the_tokens_that_a_tools_answer_added_are_its_result(seen, provider):
    @tool
    def search(query: str) -> str:
        """Search."""
        return "found " * 200

    scripted(provider, "PM", "search", query="x")
    agent_of(model_of("openai", provider), "PM", [search]).invoke({"messages": [HumanMessage("go")]})
    (found,) = [result for entry in provider.log for result in entry.results]
    (run,) = seen.runs
    assert run.tools[0].result_tokens == pytest.approx(found[1], rel=0.15)


def test_an_agent_called_as_a_tool_owns_its_calls_and_shows_in_the_tools_nested_tokens(seen, provider, model):
    researcher = agent_of(model, "Researcher")

    @tool
    def ask_researcher(question: str) -> str:
        """Ask."""
        return str(researcher.invoke({"messages": [HumanMessage(question)]})["messages"][-1].content)

    scripted(provider, "Dev", "ask_researcher", question="why")
    graph_of({"dev": agent_of(model, "Dev", [ask_researcher])}).invoke({"messages": ask("x")})
    agrees(seen, provider)
    (run,) = seen.runs
    researcher_tokens = billed(provider.log)["Researcher"].total_tokens
    assert run.tools[0].nested.usage.total_tokens == researcher_tokens
    by_name = {agent.name: agent for agent in run.agents}
    dev = by_name["Dev"]
    assert dev.subtree.usage.total_tokens == dev.self_totals.usage.total_tokens + researcher_tokens


def test_sub_graphs_belong_to_the_outer_run(seen, provider, model):
    inner = graph_of({"Dev": node(model, "Dev")}, name="team")
    graph_of({"PM": node(model, "PM"), "team": inner}).invoke({"messages": ask("x")})
    agrees(seen, provider)
    assert len(seen.runs) == 1


def test_a_node_of_a_sub_graph_is_one_step_and_the_node_that_holds_the_graph_none(seen, provider, model):
    inner = graph_of({"Dev": node(model, "Dev"), "format": lambda state: {"messages": []}}, name="team")
    middle = graph_of({"inner": inner}, name="middle")
    by_hand = graph_of({"QA": node(model, "QA")}, name="checks")
    graph_of({"PM": node(model, "PM"), "team": middle, "hand": lambda state: by_hand.invoke(state)}).invoke(
        {"messages": ask("x")}
    )
    agrees(seen, provider)
    (run,) = seen.runs
    assert [(step.agent, step.name) for step in run.steps] == [
        ("PM", "PM"),
        ("Dev", "team/inner/Dev"),
        ("format", "team/inner/format"),
        ("QA", "hand/QA"),
    ]
    assert [step.totals.calls for step in run.steps] == [1, 1, 0, 1]


def test_a_retriever_is_a_tool_and_calls_inside_it_are_nested(seen, provider, model):
    class Smart(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            model.invoke(ask("PM"), config={"callbacks": run_manager.get_child()})
            return [Document("x")]

    with_run = graph_of({"PM": lambda state: {"messages": [str(Smart().invoke("q"))]}})
    with_run.invoke({"messages": ask("x")})
    agrees(seen, provider)
    assert [(t.name, t.calls) for t in seen.runs[0].tools] == [("Smart", 1)]
    assert seen.runs[0].tools[0].nested.calls == 1


def test_retries_are_calls_of_their_own(seen, provider, model, kind):
    provider.script(Reply(status=500), Reply(text="fine"), agent="PM")
    once = model_of(kind, provider, max_retries=0)
    once.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(ask("PM"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total", outcome="error") == 1
    assert seen.metric("costspan_unreported_calls_total") == 0


def test_a_fallback_is_counted_beside_the_call_that_failed(seen, provider, model, kind):
    provider.script(Reply(status=429), agent="PM")
    once = model_of(kind, provider, max_retries=0)
    once.with_fallbacks([model]).invoke(ask("PM"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 2


def test_a_cache_hit_costs_nothing(seen, provider, kind):
    cached = model_of(kind, provider, cache=InMemoryCache())
    cached.invoke(ask("PM"))
    cached.invoke(ask("PM"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 1


def test_an_error_reaches_the_host_and_ends_the_span(seen, provider, kind):
    provider.script(Reply(status=401), agent="PM")
    with pytest.raises(Exception, match="401"):
        model_of(kind, provider, max_retries=0).invoke(ask("PM"))
    (span,) = seen.spans
    assert span.attributes["error.type"].endswith("AuthenticationError")


def test_a_stream_that_told_a_usage_that_cannot_be_is_not_said_to_have_told_none(seen, provider):
    provider.script(Reply(raw_usage={"prompt_tokens": -3, "completion_tokens": 5, "total_tokens": 2}))
    with costspan.run("questions"), costspan.agent("PM"):
        list(model_of("openai", provider, stream_usage=True).stream(ask("PM")))
    assert seen.metric("costspan_unreported_calls_total", reason="unknown") == 1
    summary = costspan.format_summary(seen.runs[0])
    assert "1 call answered with counts that cannot be (gpt-5-mini in PM)" in summary
    assert "mend:" not in summary


def test_an_abandoned_stream_keeps_what_was_told_and_is_counted_as_unreported(seen, provider, kind):
    provider.script(Reply(text="a b c d e f g h", chunks=8, chunk_delay=0.1), agent="PM")
    stream = model_of(kind, provider).stream(ask("PM"))
    next(stream)
    stream.close()
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1
    (span,) = seen.spans
    assert span.end_time
    # Anthropic tells the input at the start; LangChain drops it when the stream is left, its client does not.
    agrees_in_part(seen, provider)


async def test_an_abandoned_async_stream_keeps_what_was_told(seen, provider, kind):
    provider.script(Reply(text="a b c d e f g h", chunks=8, chunk_delay=0.1), agent="PM")
    stream = model_of(kind, provider).astream(ask("PM"))
    await anext(stream)
    await stream.aclose()
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1
    if kind == "anthropic":  # LangChain leaves OpenAI's connection open, so that the provider goes on telling nobody
        agrees_in_part(seen, provider)


def agrees_in_part(seen, provider) -> None:
    """The input equals what the provider told until a stream was left; the output is nobody's to know."""
    told = [entry.told_usage.input_tokens for entry in provider.log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(told)
    assert seen.tokens("output") == 0


def test_a_stream_whose_connection_is_cut_keeps_what_was_told(seen, provider, kind):
    provider.script(Reply(text="a b c d", cut_after=3), agent="PM")
    with pytest.raises(Exception):  # noqa: B017 - which one depends on the integration
        list(model_of(kind, provider).stream(ask("PM")))
    assert seen.metric("costspan_unreported_calls_total", reason="error") == 1
    agrees_in_part(seen, provider)


@pytest.mark.parametrize("stream", [False, True])
def test_retries_inside_the_client_are_counted_on_the_call(seen, provider, model, stream):
    provider.script(Reply(status=429), Reply(status=500), Reply(text="fine"), agent="PM")
    if stream:
        list(model.stream(ask("PM")))
    else:
        model.invoke(ask("PM"))
    agrees(seen, provider, agents=False)
    (span,) = [span for span in seen.spans if span.attributes.get("costspan.kind") == "call"]
    assert span.attributes["costspan.retry.count"] == 2


def test_typed_stream_events_are_counted_once(seen, provider, model):
    assert list(model.stream_events(ask("PM"), version="v3"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 1


async def test_typed_async_stream_events_are_counted_once(seen, provider, model):
    stream = await model.astream_events(ask("PM"), version="v3")
    assert [event async for event in stream]
    await stream._producer_task
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 1


def test_a_legacy_models_stream_and_prompts_are_counted_once(seen, provider):
    legacy = OpenAI(model="gpt-3.5-turbo-instruct", base_url=provider.openai_url, api_key="none")
    legacy.invoke("hello")
    assert list(legacy.stream("hello"))
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 2


async def test_a_legacy_async_model_is_counted_once(seen, provider):
    legacy = OpenAI(model="gpt-3.5-turbo-instruct", base_url=provider.openai_url, api_key="none")
    await legacy.ainvoke("hello")
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_calls_total") == 1


def test_embeddings_are_counted_by_the_client(seen, provider):
    from langchain_openai import OpenAIEmbeddings

    with costspan.run("index"), costspan.agent("PM"):
        OpenAIEmbeddings(base_url=provider.openai_url, api_key="none", check_embedding_ctx_length=False).embed_query("hello")
    agrees(seen, provider, agents=False)
    assert seen.tokens(agent="PM") == seen.tokens() > 0


def test_the_clients_own_calls_inside_a_node_belong_to_it(seen, provider):
    import openai

    client = openai.OpenAI(base_url=provider.openai_url, api_key="none")

    def plain(state):
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "[[agent:PM]] hi"}])
        return {"messages": []}

    graph_of({"PM": plain, "Dev": node(model_of("openai", provider), "Dev")}).invoke({"messages": ask("x")})
    agrees(seen, provider, agents=False)
    steps = {call.owner.step or call.owner.agent for call in seen.runs[0].calls}
    assert len(seen.runs[0].calls) == 2
    assert steps == {"PM", "Dev"}


def test_usage_that_is_asked_for_is_hidden_in_langchains_streams_too(provider):
    quiet = ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="none", stream_usage=False)
    with measure(ask_stream_usage=True) as seen:
        chunks = list(quiet.stream(ask("PM")))
        assert all(chunk.usage_metadata is None for chunk in chunks)
        agrees(seen, provider, agents=False)
        assert seen.metric("costspan_unreported_calls_total") == 0


def test_the_loops_end_closes_an_async_stream_once(seen, caplog):
    class Slow(AsyncCallbackHandler):
        async def on_llm_error(self, *args, **more):
            await asyncio.sleep(0.01)

    fake = GenericFakeChatModel(messages=iter(["one two three"]), callbacks=[Slow()])
    kept = []

    async def look():
        kept.append(fake.astream("x"))
        await anext(kept[0])

    asyncio.run(look())
    assert not caplog.records
    assert seen.metric("costspan_calls_total", outcome="cancelled") == 1


def test_an_async_stream_that_is_dropped_after_its_loop_ends_its_span(seen, provider, kind):
    provider.script(Reply(text="a b c d e f g h", chunks=8, chunk_delay=0.1), agent="PM")
    kept = []

    async def look():
        kept.append(model_of(kind, provider).astream(ask("PM")))
        await anext(kept[0])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(look())
    loop.close()
    kept.clear()
    gc.collect()
    assert not SWITCH.spans.open_units()
    assert seen.metric("costspan_unreported_calls_total", reason="aborted") == 1


async def test_a_cancelled_call_ends_its_span(seen, provider, kind):
    provider.script(Reply(text="late", delay=0.5), agent="PM")
    task = asyncio.create_task(model_of(kind, provider).ainvoke(ask("PM")))
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = seen.spans
    assert span.attributes["error.type"].endswith("CancelledError")
    assert seen.metric("costspan_calls_total", outcome="cancelled") == 1


def test_of_several_prompts_those_answered_before_one_failed_are_counted(seen, provider, kind):
    provider.script(Reply(text="fine"), Reply(status=500), agent="PM")
    with pytest.raises(Exception, match="500"):
        model_of(kind, provider, max_retries=0).generate([ask("PM")] * 3)
    assert len(provider.log) == 2
    assert not SWITCH.spans.open_units()
    agrees(seen, provider, agents=False)
    outcomes = [seen.metric("costspan_calls_total", outcome=each) for each in ("ok", "error", "cancelled")]
    assert outcomes == [1, 1, 1]  # the third was never asked for
    assert seen.metric("costspan_unreported_calls_total") == 0


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("event", ["on_chat_model_start", "on_llm_end", "on_llm_error"])
async def test_a_callback_of_the_hosts_that_raises_leaves_no_call_open(seen, provider, kind, event, how):
    def stop(*args, **more):
        raise ZeroDivisionError

    guards = type("Guard", (BaseCallbackHandler,), {"raise_error": True, event: stop})()
    model = model_of(kind, provider, max_retries=0, callbacks=[guards])
    if event == "on_llm_error":
        provider.script(Reply(status=400), agent="PM")
    with pytest.raises(ZeroDivisionError):
        if how == "invoke":
            model.invoke(ask("PM"))
        elif how == "ainvoke":
            await model.ainvoke(ask("PM"))
        elif how == "stream":
            list(model.stream(ask("PM")))
        else:
            assert [chunk async for chunk in model.astream(ask("PM"))]
    assert not SWITCH.spans.open_units()
    agrees(seen, provider, agents=False)
    assert seen.metric("costspan_unreported_calls_total") == 0
    if event == "on_llm_end":
        assert seen.metric("costspan_calls_total", outcome="ok") == 1


class Answer(BaseModel):
    number: int


def test_a_structured_answer_that_does_not_parse_keeps_its_tokens(seen, provider, kind):
    provider.script(Reply(text='{"number": "none"}', tool_calls=()), agent="PM")
    chain = model_of(kind, provider).with_structured_output(Answer)
    with contextlib.suppress(Exception):  # which one it is, if any, depends on the integration
        chain.invoke(ask("PM"))
    agrees(seen, provider, agents=False)


def test_a_thread_started_inside_a_tool_keeps_its_owner(seen, provider, model):
    @tool
    def work(query: str) -> str:
        """Work."""
        thread = threading.Thread(target=lambda: model.invoke(ask("PM")))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.invoke, ask("PM")).result()
        return "done"

    scripted(provider, "PM", "work", query="x")
    agent_of(model, "PM", [work]).invoke({"messages": [HumanMessage("go")]})
    agrees(seen, provider)
    assert seen.runs[0].tools[0].nested.calls == 2


def test_a_failed_tool_is_counted_as_an_error(seen, provider, model):
    @tool
    def broken(query: str) -> str:
        """Break."""
        raise ValueError(query)

    scripted(provider, "PM", "broken", query="x")
    with pytest.raises(ValueError, match="x"):
        agent_of(model, "PM", [broken]).invoke({"messages": [HumanMessage("go")]})
    assert seen.metric("costspan_tool_calls_total", tool="broken", outcome="error") == 1
    assert seen.runs[0].outcome == "error"


def test_a_chain_that_somebody_named_is_a_step_and_never_a_label(seen, provider, model):
    prompt = ChatPromptTemplate.from_messages([("user", "[[agent:PM]] {topic}")])
    named = (prompt | model).with_config(run_name="summary of order 77")
    (named | (lambda message: message)).invoke({"topic": "x"})
    (run,) = seen.runs
    assert [step.name for step in run.steps] == ["summary of order 77"]
    for metric in seen.handle.pipeline.meters.collect():
        assert not any("77" in label for series in metric.series for label in series.labels)


def test_a_runs_free_name_is_no_workflow_label(seen, provider, model):
    graph = graph_of({"PM": node(model, "PM")})
    graph.invoke({"messages": ask("x")}, config={"run_name": "order 77"})
    assert seen.runs[0].workflow == "pipeline"


def test_nothing_of_ours_stays_current_after_a_call(seen, provider, model):
    from opentelemetry import trace

    model.invoke(ask("PM"))
    list(model.stream(ask("PM")))
    graph_of({"PM": node(model, "PM")}).invoke({"messages": ask("x")})
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_clients_own_spans_nest_under_the_call(seen, provider):
    model_of("anthropic", provider).invoke(ask("PM"))
    spans = {span.name: span for span in seen.spans}
    ours = spans["chat claude-sonnet-4-5"]
    for span in seen.spans:
        if span is not ours:
            assert span.parent.span_id == ours.context.span_id
