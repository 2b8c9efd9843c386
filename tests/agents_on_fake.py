"""Agents of the OpenAI Agents SDK and of Pydantic AI on a fake provider, for the programs that run where these are installed."""

from __future__ import annotations

import agents
import openai
import pydantic_ai
import pytest
from opentelemetry import context as otel_context
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from costspan.testing import Reply, Usage, billed

PAID = Usage(1000, 200)


@pytest.fixture(name="fake")
def paid_provider(provider):
    provider.always(Reply(text="done", usage=PAID))
    agents.set_trace_processors([])  # nothing is sent to OpenAI
    return provider


def agrees(seen, fake):
    seen.handle.flush()
    log = [entry for entry in fake.log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(entry.told_usage.input_tokens or 0 for entry in log)
    assert seen.tokens("output") == sum(entry.told_usage.output_tokens or 0 for entry in log)
    assert seen.metric("costspan_calls_total", outcome="ok") == len(log)
    for name, usage in billed(log).items():
        if name != "unknown":
            assert seen.tokens(agent=name) == usage.total_tokens, name
    for run in seen.runs:
        parts = [each.self_totals for each in run.agents] + [run.unattributed]
        assert run.totals.usage.total_tokens == sum(part.usage.total_tokens or 0 for part in parts)
    closed(seen)


def closed(seen):
    """Nothing is open or current any more."""
    assert not otel_context.get_current()
    assert not seen.handle.pipeline.ledger.active()


def told(fake):
    """Tokens that the provider told somebody."""
    return sum(entry.told_usage.total_tokens for entry in fake.log if entry.told_usage is not None)


def tree(run):
    return {each.name: each.self_totals.usage.total_tokens for each in run.agents}


def oa_model(fake, kind="chat", client=None):
    client = client or openai.AsyncOpenAI(base_url=fake.openai_url, api_key="none")
    made = agents.OpenAIChatCompletionsModel if kind == "chat" else agents.OpenAIResponsesModel
    return made(model="gpt-5-mini", openai_client=client)


def oa_agent(name, fake, kind="chat", client=None, **more):
    return agents.Agent(name=name, instructions=f"[[agent:{name}]]", model=oa_model(fake, kind, client), **more)


def pa_model(fake, kind="chat", url=None):
    if kind == "anthropic":
        return AnthropicModel("claude-sonnet-4-5", provider=AnthropicProvider(api_key="none", base_url=fake.anthropic_url))
    there = OpenAIProvider(base_url=url or fake.openai_url, api_key="none")
    return (OpenAIChatModel if kind == "chat" else OpenAIResponsesModel)("gpt-5-mini", provider=there)


def pa_agent(name, fake, kind="chat", url=None, **more):
    return pydantic_ai.Agent(pa_model(fake, kind, url), name=name, system_prompt=f"[[agent:{name}]]", **more)
