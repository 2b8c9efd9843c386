"""Run by test_live_layers.py in an environment with other instrumentations: real clients, several layers, one fake provider.

Prints one JSON object: what costspan counted, what the provider's own log says, and how many spans were folded.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from costspan.testing import FakeProvider, Reply, measure

INSTRUMENTORS = {
    "openinference-langchain": "openinference.instrumentation.langchain:LangChainInstrumentor",
    "openinference-openai": "openinference.instrumentation.openai:OpenAIInstrumentor",
    "openinference-anthropic": "openinference.instrumentation.anthropic:AnthropicInstrumentor",
    "openllmetry-langchain": "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    "openllmetry-openai": "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
    "openllmetry-anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    "official-langchain": "opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
    "official-openai": "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    "official-anthropic": "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
}


def switch_on(names, provider):
    for name in names:
        module, _, kind = INSTRUMENTORS[name].partition(":")
        getattr(importlib.import_module(module), kind)().instrument(tracer_provider=provider)


def models(fake):
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    return (
        ChatOpenAI(model="gpt-5-mini", base_url=fake.openai_url, api_key="none", stream_usage=True),
        ChatAnthropic(model="claude-haiku-4-5", base_url=fake.anthropic_url, api_key="none"),
    )


def work(fake):
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    @tool
    def search(query: str) -> str:
        """Search."""
        return "found " * 10

    for model, name in zip(models(fake), ("PM", "QA"), strict=True):
        fake.script(Reply(tool_calls=(("search", {"query": "x"}),)), Reply(text="done"), agent=name)
        agent = create_agent(model, tools=[search], name=name, system_prompt=f"[[agent:{name}]] You are {name}.")
        agent.invoke({"messages": [("user", "go")]})
        list(model.stream(f"[[agent:{name}]] stream"))
        asyncio.run(several(model, name))
    raw(fake)


async def several(model, name):
    await asyncio.gather(*[model.ainvoke(f"[[agent:{name}]] at once") for _ in range(3)])


def raw(fake):
    import anthropic
    import openai

    messages = [{"role": "user", "content": "[[agent:raw]] hello"}]
    openai.OpenAI(base_url=fake.openai_url, api_key="none").chat.completions.create(model="gpt-4o", messages=messages)
    anthropic.Anthropic(base_url=fake.anthropic_url, api_key="none").messages.create(
        model="claude-haiku-4-5", max_tokens=100, messages=messages
    )


def main():
    ours, *others = sys.argv[1:]
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    with FakeProvider(seed=3) as fake, measure(tracer_provider=provider, instrument=ours == "ours") as seen:
        switch_on(others, provider)
        work(fake)
        seen.handle.pipeline.settling.flush()
        log = [entry for entry in fake.log if entry.usage is not None]
        print(
            json.dumps(
                {
                    "calls": [seen.metric("costspan_calls_total"), len(log)],
                    "input": [seen.tokens("input"), sum(entry.usage.input_tokens for entry in log)],
                    "output": [seen.tokens("output"), sum(entry.usage.output_tokens for entry in log)],
                    "agents": {name: seen.tokens(agent=name) for name in ("PM", "QA")},
                    # Each agent's own run is its first two requests; what follows belongs to nobody.
                    "log_agents": {
                        name: sum(entry.usage.total_tokens for entry in [each for each in log if each.agent == name][:2])
                        for name in ("PM", "QA")
                    },
                    "folded": seen.metric("costspan_duplicate_spans_total"),
                }
            )
        )


main()
