"""Compare what costspan says of a run with what the provider has in its log: every number of every agent and tool.

Each side is first brought into the same plain form, `Figures`; then they are compared by one function.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from costspan.records import MONEY, ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from costspan.demo.provider_log import Entry
    from costspan.records import Run, Totals, Usage

Numbers = dict[str, "int | Decimal | None"]

TOKENS = {
    "input tokens": "input_tokens",
    "output tokens": "output_tokens",
    "cache read tokens": "cache_read_tokens",
    "cache write tokens": "cache_write_tokens",
    "one-hour cache write tokens": "cache_write_1h_tokens",
    "reasoning tokens": "reasoning_tokens",
}


@dataclass(slots=True)
class Figures:
    """One side's numbers. Tokens and calls are ints, `dollars` Decimal; None is not known, and that differs from any number
    but 0. `agents` has every agent's own calls, `tools` calls, errors, nested and result tokens."""

    total: Numbers = field(default_factory=dict)
    agents: dict[str, Numbers] = field(default_factory=dict)
    tools: dict[str, Numbers] = field(default_factory=dict)


class Difference(NamedTuple):
    """One number on which the two sides differ."""

    where: str
    what: str
    costspan: int | Decimal | None
    provider: int | Decimal | None

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {_show(self.costspan)}, the provider's log says {_show(self.provider)}"


def _show(number: int | Decimal | None) -> str:
    if number is None:
        return "unknown"
    return f"${number.normalize():f}" if isinstance(number, Decimal) else f"{number:,}"


def differences(costspan: Figures, provider: Figures) -> list[Difference]:
    """Every number on which costspan and the provider's log differ, in a fixed order; empty when they agree."""
    found = list(_differ("total", costspan.total, provider.total))
    for kind, ours, theirs in (("agent", costspan.agents, provider.agents), ("tool", costspan.tools, provider.tools)):
        for name in sorted({*ours, *theirs}):
            found += _differ(f"{kind} {name}", ours.get(name, {}), theirs.get(name, {}))
    return found


def _differ(where: str, ours: Numbers, theirs: Numbers) -> Iterable[Difference]:
    for what in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(what), theirs.get(what)
        if (one or 0) != (other or 0):
            yield Difference(where, what, one, other)


def of_log(
    entries: Sequence[Entry],
    *,
    price: Callable[[Entry], Decimal | None],
    nested: Mapping[str, str] | None = None,
    errors: Mapping[str, int] | None = None,
) -> Figures:
    """The provider's side: billed requests per agent, tools as they were asked for and answered.

    `nested` names the agent that a tool runs, `errors` how often the tools failed (which a provider cannot know).
    """
    figures = Figures()
    paid = [entry for entry in entries if entry.billed]
    figures.total = _sum_log(paid, price)
    for agent in {entry.agent for entry in paid}:
        figures.agents[agent] = _sum_log([entry for entry in paid if entry.agent == agent], price)
    calls = Counter(tool for entry in paid for tool in entry.tools_asked)
    results: Counter[str] = Counter()
    for entry in paid:
        results.update(dict.fromkeys((tool for tool, _ in entry.results), 0))
        for tool, tokens in entry.results:
            results[tool] += tokens
    for tool, asked in calls.items():
        inner = figures.agents.get((nested or {}).get(tool, ""), {})
        figures.tools[tool] = {
            "calls": asked,
            "errors": (errors or {}).get(tool, 0),
            "nested input tokens": inner.get("input tokens", 0),
            "nested output tokens": inner.get("output tokens", 0),
            "nested dollars": inner.get("dollars", ZERO),
            "result tokens": results[tool],
        }
    return figures


def _sum_log(entries: Sequence[Entry], price: Callable[[Entry], Decimal | None]) -> Numbers:
    numbers: Numbers = {"calls": len(entries)}
    for what, name in TOKENS.items():
        numbers[what] = sum(getattr(entry.usage, name) or 0 for entry in entries)
    dollars = ZERO
    for entry in entries:
        dollars = MONEY.add(dollars, price(entry) or ZERO)
    numbers["dollars"] = dollars
    return numbers


def of_run(run: Run) -> Figures:
    """costspan's side, from the run that the summary shows. Calls without an owner are an agent named `unattributed`."""
    figures = Figures(total=_of_totals(run.totals))
    figures.agents = {agent.name: _of_totals(agent.self_totals) for agent in run.agents if agent.self_totals.calls}
    if run.unattributed.calls:
        figures.agents["unattributed"] = _of_totals(run.unattributed)
    for tool in run.tools:
        figures.tools[tool.name] = {
            "calls": tool.calls,
            "errors": tool.errors,
            "nested input tokens": tool.nested.usage.input_tokens,
            "nested output tokens": tool.nested.usage.output_tokens,
            "nested dollars": tool.nested.cost_usd,
            "result tokens": tool.result_tokens,
        }
    return figures


def _of_totals(totals: Totals) -> Numbers:
    return {"calls": totals.calls, **_of_usage(totals.usage), "dollars": totals.cost_usd}


def _of_usage(usage: Usage) -> Numbers:
    return {what: getattr(usage, name) for what, name in TOKENS.items()}


def of_record(record: Mapping[str, Any]) -> Figures:
    """costspan's side, from the JSON record on disk."""
    figures = Figures(total=_of_json(record["totals"]))
    figures.agents = {agent["name"]: _of_json(agent["self"]) for agent in record["agents"] if agent["self"]["calls"]}
    if record["unattributed"]["calls"]:
        figures.agents["unattributed"] = _of_json(record["unattributed"])
    for tool in record["tools"]:
        nested = _of_json(tool["nested"])
        figures.tools[tool["name"]] = {
            "calls": tool["calls"],
            "errors": tool["errors"],
            "nested input tokens": nested["input tokens"],
            "nested output tokens": nested["output tokens"],
            "nested dollars": nested["dollars"],
            "result tokens": (tool["result"] or {}).get("tokens"),
        }
    return figures


def _of_json(totals: Mapping[str, Any]) -> Numbers:
    amount = totals["cost"]["amount_usd"]
    numbers: Numbers = {"calls": totals["calls"]}
    numbers |= {what: totals["usage"][name] for what, name in TOKENS.items()}
    return numbers | {"dollars": None if amount is None else Decimal(amount)}


def verdict(figures: Figures, found: Sequence[Difference]) -> str:
    """What is said to people: one line when all agrees, else one per difference."""
    if found:
        return "\n".join(["differs from the provider's log:", *(f"  {difference}" for difference in found)])
    total = figures.total
    tokens = sum(int(total.get(what) or 0) for what in ("input tokens", "output tokens"))
    calls = total.get("calls")
    counted = f"{calls} {'call' if calls == 1 else 'calls'}, {tokens:,} tokens, ${Decimal(total.get('dollars') or 0):.4f}"
    return f"agrees with the provider's log, for each agent and each tool: {counted}"
