"""The demo's agents on the fake provider: what they do follows from the seed, and the log tells all of it."""

from __future__ import annotations

from collections import Counter

import pytest

from costspan.demo import pipeline


def run(provider, seed):
    for agent, replies in pipeline.plan(seed).items():
        provider.script(*replies, agent=agent)
    workshop = pipeline.Workshop(seed)
    pipeline.build(provider, workshop).invoke({"messages": [("user", pipeline.TASK)]})
    return workshop


@pytest.mark.parametrize("seed", range(3))
def test_every_planned_reply_is_asked_for(provider, seed):
    workshop = run(provider, seed)
    assert provider.waiting == 0
    assert Counter(tool for entry in provider.log for tool in entry.tools_asked) == workshop.calls


def test_four_agents_on_two_providers_make_calls(provider):
    run(provider, 1)
    asked = {(entry.agent, entry.api) for entry in provider.log}
    assert asked == {
        ("PM", "openai.chat"),
        ("Dev", "openai.chat"),
        ("Researcher", "openai.chat"),
        ("QA", "anthropic.messages"),
    }


def test_one_tool_fails_once_and_one_request_is_refused_once(provider):
    workshop = run(provider, 1)
    assert workshop.errors == {"run_tests": 1}
    assert [entry.status for entry in provider.log if entry.status != 200] == [429]


def test_results_of_tools_are_exactly_what_the_conversation_grew_by(provider):
    run(provider, 1)
    before = {}
    for entry in provider.log:
        if entry.results:
            last = before[entry.agent]
            grown = entry.usage.input_tokens - last.input_tokens - (last.output_tokens - last.reasoning_tokens)
            assert grown == sum(tokens for _, tokens in entry.results)
        before[entry.agent] = entry.usage


def test_another_seed_makes_another_run(provider):
    run(provider, 1)
    one = [entry.usage for entry in provider.log]
    provider.clear()
    run(provider, 2)
    assert one != [entry.usage for entry in provider.log]
