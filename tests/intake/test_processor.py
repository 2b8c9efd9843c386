"""What the span processor adds to spans that have nothing to do with models."""

from __future__ import annotations

import gc
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import costspan

WEB = {"http.request.method": "POST", "url.full": "http://example/", "http.response.status_code": 200}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "PM"}
GOAL_SECONDS = 5e-6
SPANS, ROUNDS = 300, 40


def seconds_of_a_span(provider: TracerProvider) -> float:
    root = provider.get_tracer("opentelemetry.instrumentation.genai.langchain").start_span("invoke_agent PM", attributes=AGENT)
    around = trace.set_span_in_context(root)
    tracer = provider.get_tracer("opentelemetry.instrumentation.httpx")
    begin = time.process_time()
    for _ in range(SPANS):
        tracer.start_span("POST", context=around, attributes=WEB).end()
    spent = time.process_time() - begin
    root.end()
    return spent / SPANS


@pytest.fixture
def without_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
def test_a_span_that_is_no_model_call_is_let_through_in_five_microseconds() -> None:
    """The least of many short rounds in turns: other programs only add. A slower machine may take longer in proportion to what
    the SDK itself takes for the span (10 us where the goal was set)."""
    plain, watched = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    costspan.enable(tracer_provider=watched, instrument=False)
    try:
        pairs = [(seconds_of_a_span(plain), seconds_of_a_span(watched)) for _ in range(ROUNDS)]
    finally:
        costspan.disable()
    alone = min(pair[0] for pair in pairs)
    added = min(pair[1] for pair in pairs) - alone
    assert added <= max(GOAL_SECONDS, alone * 0.75), f"{added * 1e6:.1f} us beside the SDK's own {alone * 1e6:.1f} us"
    print(f"adds {added * 1e6:.1f} us to the SDK's own {alone * 1e6:.1f} us")
