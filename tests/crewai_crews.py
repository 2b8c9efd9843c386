"""Crews on a fake provider, for the programs that run where CrewAI is installed."""

from __future__ import annotations

import pytest
from crewai import LLM, Agent, Crew, Task
from opentelemetry import context as otel_context

from costspan.testing import Reply, Usage, billed

SAID = "Thought: I know.\nFinal Answer: done"
PAID = Usage(1000, 200)


@pytest.fixture(name="fake")
def paid_provider(provider, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")  # versions before 1.14 do not hand `api_key` on
    provider.always(Reply(text=SAID, usage=PAID))
    return provider


def model(fake, kind="openai", **more):
    if kind == "anthropic":
        return LLM(model="anthropic/claude-sonnet-4-5", base_url=fake.anthropic_url, api_key="none", **more)
    return LLM(model="gpt-4o", base_url=fake.openai_url, api_key="none", **more)


def actor(name, llm, **more):
    return Agent(role=more.pop("role", name), goal="help", backstory=f"[[agent:{name}]]", llm=llm, **more)


def job(who, name=None, **more):
    return Task(description="write about {topic}", expected_output="a text", agent=who, name=name, **more)


def pair(fake, kind="openai", roles=("PM", "Dev"), **more):
    llm = model(fake, kind)
    actors = [actor(name, llm, role=role) for name, role in zip(("PM", "Dev"), roles, strict=True)]
    return Crew(agents=actors, tasks=[job(each) for each in actors], name="team", **more)


def agrees(seen, fake, *, unknown=False):
    """Metrics and records equal the provider's log, per agent too; parts add up; nothing is left current."""
    log = [entry for entry in fake.log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(entry.told_usage.input_tokens or 0 for entry in log)
    assert seen.tokens("output") == sum(entry.told_usage.output_tokens or 0 for entry in log)
    assert seen.metric("costspan_calls_total", outcome="ok") == len(log)
    for name, usage in billed(log).items():
        if name != "unknown":
            assert seen.tokens(agent=name) == usage.total_tokens, name
    assert sum(run.totals.usage.total_tokens or 0 for run in seen.runs) == seen.tokens()
    for run in seen.runs:
        parts = [each.self_totals for each in run.agents] + [run.unattributed]
        assert run.totals.usage.total_tokens == sum(part.usage.total_tokens or 0 for part in parts)
        assert (run.totals.cost_usd or 0) == sum(part.cost_usd or 0 for part in parts)
        assert unknown or not run.unattributed.calls
    assert not otel_context.get_current()
    assert not seen.handle.pipeline.ledger.active()


def tree(run):
    return {each.name: each.self_totals.usage.total_tokens for each in run.agents}
