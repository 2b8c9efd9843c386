"""What costspan's span processor adds to a span of somebody else that is no model call: microseconds of processor time.

    python benchmarks/foreign_spans.py [--spans 2000] [--rounds 15]

Each kind of span is started and ended with a provider that has nothing and with one that costspan watches, in turns; the least of
the rounds counts, because other programs on the machine only ever add to it. The goal, 5 us, is for spans that have
nothing to do with models: HTTP clients, databases, the program's own. Agents, tools and chains of other instrumentations open
and close a place in the tree that calls are booked into, which costs more and is shown for comparison.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import costspan

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

GOAL_US = 5.0
GENAI = "opentelemetry.instrumentation.genai.langchain"


class Kind(NamedTuple):
    """One kind of span; `goal`: whether the goal is for it."""

    name: str
    scope: str
    attributes: dict[str, AttributeValue]
    goal: bool


KINDS = {
    "HTTP client": Kind(
        "POST",
        "opentelemetry.instrumentation.httpx",
        {"http.request.method": "POST", "url.full": "http://example/", "http.response.status_code": 200},
        goal=True,
    ),
    "the program's own": Kind("work", "shop.checkout", {"order": 7}, goal=True),
    "chain": Kind(
        "RunnableSequence", "openinference.instrumentation.langchain", {"openinference.span.kind": "CHAIN"}, goal=False
    ),
    "tool": Kind("execute_tool x", GENAI, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}, goal=False),
    "agent": Kind("invoke_agent Dev", GENAI, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Dev"}, goal=False),
}


def spend(provider: TracerProvider, kind: Kind, spans: int) -> float:
    """Microseconds that one span takes inside an agent's."""
    root = provider.get_tracer(GENAI).start_span("invoke_agent PM", attributes=KINDS["agent"].attributes)
    around = trace.set_span_in_context(root)
    tracer: Any = provider.get_tracer(kind.scope)
    gc.collect()
    begin = time.process_time()
    for _ in range(spans):
        tracer.start_span(kind.name, context=around, attributes=kind.attributes).end()
    spent = time.process_time() - begin
    root.end()
    return spent / spans * 1e6


def added(plain: TracerProvider, watched: TracerProvider, kind: Kind, *, spans: int, rounds: int) -> tuple[float, float]:
    """(microseconds of a span without costspan, microseconds that costspan adds)."""
    pairs = [(spend(plain, kind, spans), spend(watched, kind, spans)) for _ in range(rounds)]
    without = min(pair[0] for pair in pairs)
    return without, min(pair[1] for pair in pairs) - without


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--spans", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    plain, watched = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    costspan.enable(tracer_provider=watched, instrument=False)
    gc.disable()
    print(f"{'span':20}{'SDK alone':>12}{'costspan adds':>16}")
    for name, kind in KINDS.items():
        without, more = added(plain, watched, kind, spans=given.spans, rounds=given.rounds)
        verdict = "" if not kind.goal else f"  goal {GOAL_US:g} us: {'reached' if more <= GOAL_US else 'missed'}"
        print(f"{name:20}{without:9.1f} us{more:13.1f} us{verdict}")


if __name__ == "__main__":
    main()
