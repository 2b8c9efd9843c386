"""Real traces of released instrumentations against the provider's own log, through read, fold and assemble.

`traces/<instrumentations>__<scenario>.json.gz` is what was exported, `.expected.json` what the provider billed (`total`) and
what the client was ever told (`total_delivered`: streams without usage or broken off). Where the instrumentation lost
numbers, `SHORTFALLS` says exactly what comes out instead, and why.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from costspan.account.totals import total
from recorded_traces import NAMES, outcome

if TYPE_CHECKING:
    from costspan.records import Call

KINDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}


class Shortfall(NamedTuple):
    """What comes out instead of the truth; None is "not known". `calls` only where it differs."""

    reason: str
    counts: dict[str, int | None] = {}  # noqa: RUF012 - never written to
    calls: int | None = None


NO_CALLS = dict.fromkeys(KINDS)
OPENLIT_NO_WRITES = Shortfall(
    "OpenLIT's LangChain package has no cache writes and no reasoning", {"cache_write": None, "reasoning": None}
)
NO_REASONING = Shortfall("the package writes no reasoning tokens", {"reasoning": None})
CREW_SUM = Shortfall("no model calls are exported; the crews' own sums count, 4 of them", {"cache_write": None}, 4)
NO_MODEL_SPANS = Shortfall("the package exports agents and tools, but no model calls", NO_CALLS, 0)

SHORTFALLS: dict[str, Shortfall] = {
    "google-adk__pipeline_openai": Shortfall("ADK tells no cache writes", {"cache_write": None}),
    "langfuse__pipeline_anthropic_nativeoff": Shortfall(
        "Langfuse splits reasoning off for Anthropic's streams only", {"reasoning": 101}
    ),
    "official-openai-agents__pipeline_openai_chat": NO_MODEL_SPANS,
    "official-openai-agents__pipeline_openai_responses": NO_MODEL_SPANS,
    "official-openai-v2__calls_openai": Shortfall(
        "the package knows neither the Responses API nor parse(), and no parts of the usage",
        {"input": 30813, "output": 5473, "cache_read": None, "cache_write": None, "reasoning": None},
        20,
    ),
    "openinference-crewai__pipeline_openai": CREW_SUM,
    "openllmetry-crewai__pipeline_openai": CREW_SUM,
    "openinference-openai-agents__pipeline_openai_chat": Shortfall(
        "whole chat answers lose the parts of their usage, the one stream keeps them",
        {"cache_read": 1024, "cache_write": None, "reasoning": 101},
    ),
    "openlit__calls_anthropic": Shortfall(
        "OpenLIT drops the beta client's call and the stream that was broken off, and knows no reasoning",
        {"input": 26102, "output": 4380, "cache_read": 11648, "cache_write": 3363, "reasoning": None},
        13,
    ),
    "openlit__calls_openai": Shortfall(
        "OpenLIT drops the stream that was broken off, and tells reasoning for the Responses API only", {"reasoning": 254}, 23
    ),
    "openlit__fanout_openai": OPENLIT_NO_WRITES,
    "openlit__pipeline_openai": OPENLIT_NO_WRITES,
    "openlit__pipeline_anthropic": Shortfall(
        "OpenLIT's LangChain package tells Anthropic's input without its cache, so only the stream's input is known",
        {"input": 3710, "cache_read": 1024, "cache_write": 600, "reasoning": None},
    ),
    "openllmetry-langchain+openllmetry-openai__pipeline_openai": NO_REASONING,
    "openllmetry-langchain__fanout_openai": NO_REASONING,
    "openllmetry-langchain__pipeline_openai": NO_REASONING,
    "openllmetry-langchain__pipeline_openai_responses": NO_REASONING,
    "openllmetry-langchain__pipeline_anthropic_nativeoff": Shortfall(
        "OpenLLMetry finds cache writes in the stream only, and no reasoning", {"cache_write": 600, "reasoning": None}
    ),
    "openllmetry-openai__calls_openai": Shortfall(
        "no cache writes, and reasoning for whole answers only", {"cache_write": None, "reasoning": 1456}
    ),
    "strands__pipeline_openai": NO_REASONING,
}
TOLD_AS_UNSURE = {
    "openlit__pipeline_anthropic": "cache_tokens_lost",
    "openlit__calls_openai": "estimated_by_emitter",
    "openllmetry-langchain__pipeline_anthropic_nativeoff": "cache_write_lost",
    "openinference-crewai__pipeline_openai": "sum_of_calls",
    "openllmetry-crewai__pipeline_openai": "sum_of_calls",
    "anthropic-sdk-native__calls_anthropic": "partial_usage",
    "official-anthropic__calls_anthropic": "partial_usage",
    "openinference-anthropic__calls_anthropic": "partial_usage",
}
"""Problem words by which the calls themselves say that the numbers are not all there."""


@pytest.mark.parametrize("name", NAMES)
def test_every_count_is_what_was_billed_or_delivered_or_its_shortfall(name: str) -> None:
    truth, found = outcome(name)
    counts = SHORTFALLS[name].counts if name in SHORTFALLS else {}
    for kind, attribute in KINDS.items():
        value = getattr(found.totals.usage, attribute)
        if kind in counts:
            assert value == counts[kind], (kind, SHORTFALLS[name].reason)
        else:
            assert value in (truth["total"][kind], truth["total_delivered"][kind]), kind


@pytest.mark.parametrize("name", NAMES)
def test_each_request_that_left_the_client_is_one_call(name: str) -> None:
    truth, found = outcome(name)
    # An SDK's own retry stays inside one span, in every instrumentation.
    sent = truth["total"]["calls"] - truth["hidden_sdk_retries"]
    shortfall = SHORTFALLS.get(name)
    assert found.totals.calls == (sent if shortfall is None or shortfall.calls is None else shortfall.calls)
    if shortfall is None or shortfall.calls is None:
        assert found.totals.errors == truth["total"]["errors"] - truth["hidden_sdk_retries"]


def test_most_traces_are_exact() -> None:
    exact = [name for name in NAMES if not {"input", "output"} & set(SHORTFALLS.get(name, Shortfall("")).counts)]
    whole = [name for name in NAMES if _none_wrong(name)]
    assert len(NAMES) == 70
    assert len(exact) >= 65
    assert len(whole) >= 60


def _none_wrong(name: str) -> bool:
    """All five kinds exact, or not carried at all (None)."""
    counts = SHORTFALLS[name].counts if name in SHORTFALLS else {}
    return all(kind not in ("input", "output") and value is None for kind, value in counts.items())


@pytest.mark.parametrize(("name", "problem"), TOLD_AS_UNSURE.items())
def test_what_an_emitter_garbled_is_not_told_as_truth(name: str, problem: str) -> None:
    assert any(problem in call.problems for call in outcome(name).calls())


def test_an_unknown_prompt_is_missing_and_not_small() -> None:
    found = outcome("openlit__pipeline_anthropic").found
    assert found.totals.coverage.reported_calls == 1
    assert found.totals.coverage.missing_calls == 6


# --- who it belongs to ---------------------------------------------------------------------------------
WITHOUT_AGENTS = ("anthropic-sdk-native__", "logfire-anthropic__")
"""Spans of model calls alone, like every `calls_` scenario: nobody names an agent."""
WITHOUT_FUNCTION_NODES = "official-langchain"
"""The official LangChain package exports agents, but not the graph's plain function nodes."""
WRONG_AGENTS = {
    "openlit__": "agents are named after graph nodes, and a nested agent has no span of its own",
    "openinference-crewai__": "a crew's sum belongs to the crew, or to the agent whose tool started it",
    "openllmetry-crewai__": "a crew's sum belongs to the crew, or to the agent whose tool started it",
    "official-openai-agents__": "there are no model calls",
}
FUNCTION_NODES = {"qa"}
WITH_AGENTS = [name for name in NAMES if "__calls_" not in name and not name.startswith((*WITHOUT_AGENTS, *WRONG_AGENTS))]


@pytest.mark.parametrize("name", WITH_AGENTS)
def test_each_agent_has_what_the_provider_billed_it(name: str) -> None:
    """Names are compared without case: an agent that is only a graph's node goes by the node's name."""
    truth, found = outcome(name)
    agents: dict[str, list[Call]] = {}
    for run in found.runs:
        for call in run.calls:
            agents.setdefault((call.owner.agent or "").casefold(), []).append(call)
    unnamed = FUNCTION_NODES if name.startswith(WITHOUT_FUNCTION_NODES) else set()
    for agent, billed in truth["by_agent"].items():
        key = "" if agent.casefold() in unnamed else agent.casefold()
        usage = total(agents.pop(key)).usage
        if billed["calls_usage_not_reported"] == 0:
            assert (usage.input_tokens, usage.output_tokens) == (billed["input"], billed["output"]), agent
    assert not agents


WITHOUT_TOOLS = (*WITHOUT_AGENTS, "openllmetry-crewai")
"""No spans of tools: SDKs alone, and OpenLLMetry's CrewAI package."""
TOOLS_WITHOUT_USAGE = {
    "openlit__pipeline_anthropic": "the nested call's input is not known",
    "official-openai-agents__pipeline_openai_chat": "there are no model calls",
    "official-openai-agents__pipeline_openai_responses": "there are no model calls",
}


@pytest.mark.parametrize("name", [name for name in NAMES if "__calls_" not in name and not name.startswith(WITHOUT_TOOLS)])
def test_each_tool_has_its_calls_errors_and_the_tokens_spent_inside_it(name: str) -> None:
    truth, found = outcome(name)
    tools: dict[str, list[int]] = {}
    for run in found.runs:
        for tool in run.tools:
            usage = tool.nested.usage
            sums = tools.setdefault(tool.name, [0, 0, 0, 0])
            for place, number in enumerate((tool.calls, tool.errors, usage.input_tokens, usage.output_tokens)):
                sums[place] += number or 0
    wanted = {}
    for tool_name, known in truth["by_tool"].items():
        inside = known["llm_tokens_inside_tool"]
        wanted[tool_name] = [known["calls"], known["errors"], inside["input"], inside["output"]]
    if name in TOOLS_WITHOUT_USAGE:
        tools, wanted = ({key: sums[:2] for key, sums in some.items()} for some in (tools, wanted))
    assert tools == wanted


# --- it adds up ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_between_the_parts_and_the_whole(name: str) -> None:
    found = outcome(name).found
    parts = [*found.lone_calls]
    for run in found.runs:
        own = [agent.self_totals for agent in run.agents]
        known = [sums.usage.input_tokens or 0 for sums in (*own, run.unattributed)]
        assert sum(known) == (run.totals.usage.input_tokens or 0)
        assert sum((sums.cost_usd or Decimal(0) for sums in (*own, run.unattributed)), Decimal(0)) == (run.totals.cost_usd or 0)
        parts += run.calls
    assert total(parts).usage == found.totals.usage
    assert total(parts).cost_usd == found.totals.cost_usd


@pytest.mark.parametrize("name", NAMES[::5])
def test_the_order_of_the_spans_does_not_matter(name: str) -> None:
    forwards, backwards = outcome(name).found, outcome(name, backwards=True).found
    assert forwards.totals == backwards.totals
    assert [run.id for run in forwards.runs] == [run.id for run in backwards.runs]


@pytest.mark.parametrize(("end", "cost"), [("__pipeline_openai", "0.0098978"), ("__cachehit_openai", "0.01741725")])
def test_one_scenario_costs_the_same_whoever_watched(end: str, cost: str) -> None:
    seen = {
        outcome(name).found.totals.cost_usd
        for name in NAMES
        if name.endswith(end) and "crewai" not in name and set(SHORTFALLS.get(name, Shortfall("")).counts) <= {"reasoning"}
    }
    assert seen == {Decimal(cost)}
