"""What bought nothing: the record, the summary and the metrics of a living process say the same, by reason and agent."""

from __future__ import annotations

import openai
import pytest
from anthropic import Anthropic
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import costspan
from costspan.conventions import WASTE_REASONS, WASTED_COST_USD, WASTED_TOKENS
from costspan.report.evidence import waste
from costspan.testing import Reply, Usage, measure

PAID = Usage(1000, 100)


class Note(BaseModel):
    title: str


@pytest.fixture
def client(provider):
    return openai.OpenAI(base_url=provider.openai_url, api_key="none", max_retries=2)


def ask(text="hello"):
    return [{"role": "user", "content": text}]


def create(client, text="hello", **more):
    return client.chat.completions.create(model="gpt-4o", messages=ask(text), **more)


def agrees(seen):
    """The waste of all runs, by reason and agent, is what the counters say, to the token and the cent."""
    seen.handle.flush()
    rows = [row for run in seen.runs for row in run.waste]
    for agent in {row.agent for row in rows}:
        for reason in WASTE_REASONS:
            told = [row for row in rows if (row.agent, row.reason) == (agent, reason)]
            labels = {"agent": agent or "", "reason": reason}
            assert seen.metric(WASTED_TOKENS, **labels) == sum(row.tokens or 0 for row in told), labels
            assert seen.metric(WASTED_COST_USD, **labels) == sum(row.cost_usd or 0 for row in told), labels
    assert seen.metric(WASTED_TOKENS) == sum(row.tokens or 0 for row in rows)
    return {(row.agent, row.reason): (row.calls, row.tokens) for row in rows}


def test_a_failed_parse_a_truncation_and_a_repetition_are_told_apart(seen, provider, client):
    provider.always(Reply(text="plain words", usage=PAID))
    provider.script(Reply(text='{"title": 1', usage=PAID), Reply(text="cut", finish="length", usage=PAID))
    with costspan.run("nightly"), costspan.agent("writer"):
        with pytest.raises(Exception, match="title|JSON|json"):
            client.chat.completions.parse(model="gpt-4o", messages=ask("a"), response_format=Note)
        create(client, "b")
        create(client, "c")
        create(client, "c")
    assert agrees(seen) == {
        ("writer", "failed_parse"): (1, 1100), ("writer", "truncated"): (1, 1100), ("writer", "repeated_call"): (1, 1100)
    }  # fmt: skip
    lost, again = waste(seen.runs[0])
    assert lost.startswith("$0.0070 bought nothing: ")
    assert all(part in lost for part in ("1 failed parse", "1 truncated"))
    assert again == "$0.0035 for asking again what was answered: 1 repeated call (fine if you are sampling)"


def test_langchains_failed_parse_is_waste_of_its_agent(seen, provider):
    provider.always(Reply(text='{"title": 1', usage=PAID))
    model = ChatOpenAI(model="gpt-4o", base_url=provider.openai_url, api_key="none").with_structured_output(Note)
    with costspan.run("nightly"), costspan.agent("writer"), pytest.raises(Exception, match="title|JSON|json"):
        model.invoke([HumanMessage("hello")])
    assert agrees(seen) == {("writer", "failed_parse"): (1, 1100)}


def test_a_stream_that_is_left_wastes_what_its_provider_had_told(seen, provider):
    provider.always(Reply(text="word " * 50, chunk_delay=0.02, usage=PAID))
    client = Anthropic(base_url=provider.anthropic_url, api_key="none")
    with costspan.run("nightly"), costspan.agent("writer"):
        stream = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=ask(), stream=True)
        next(iter(stream))
        stream.close()
    assert agrees(seen) == {("writer", "aborted"): (1, 1000)}  # its input; what was written is not known


def test_a_request_that_was_turned_down_wastes_nothing(seen, provider, client):
    provider.script(Reply(status=429), Reply(status=500))
    with costspan.run("nightly"), costspan.agent("writer"):
        create(client)
    assert agrees(seen) == {}
    assert seen.runs[0].calls[0].retry_count == 2


def test_the_same_request_in_another_run_or_of_another_agent_repeats_nothing(seen, provider, client):
    for run in ("one", "two"):
        with costspan.run(run):
            for agent in ("a", "b"):
                with costspan.agent(agent):
                    create(client)
    assert agrees(seen) == {}


def test_waste_is_the_same_while_another_layer_tells_of_the_calls_too(provider):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    mine = TracerProvider(shutdown_on_exit=False)
    provider.always(Reply(text="hello", usage=PAID))
    with measure(tracer_provider=mine) as seen:
        other = trace.get_tracer("com.anthropic.sdk.python", tracer_provider=mine)
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        with costspan.run("nightly"), costspan.agent("writer"):
            with other.start_as_current_span("anthropic.messages.create", attributes={"gen_ai.operation.name": "chat"}):
                pass
            create(client)
            create(client)
            provider.script(Reply(text="cut", finish="length", usage=PAID))
            create(client, "again")
        assert agrees(seen) == {("writer", "repeated_call"): (1, 1100), ("writer", "truncated"): (1, 1100)}
