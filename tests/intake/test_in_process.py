"""Foreign instrumentations in this process: right totals whoever else is on, cost on their spans, nothing lost to sampling."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

import costspan
from costspan.testing import measure

USAGE = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}


def foreign_call(tracer, *, response_id="r1", usage=USAGE):
    start = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    with tracer.start_as_current_span("chat gpt-4o", attributes=start) as span:
        span.set_attributes({"gen_ai.response.id": response_id, **usage})


@pytest.fixture
def tracers():
    provider = TracerProvider(shutdown_on_exit=False)
    with measure(tracer_provider=provider, instrument=False) as seen:
        yield (
            seen,
            provider.get_tracer("opentelemetry.instrumentation.genai.openai"),
            provider.get_tracer("com.anthropic.sdk.python"),
        )


def test_a_foreign_agent_begins_a_run_and_owns_its_calls(tracers):
    seen, tracer, _ = tracers
    start = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "PM"}
    with tracer.start_as_current_span("invoke_agent PM", attributes=start):
        foreign_call(tracer)
    assert seen.tokens(agent="PM") == 1200
    (run,) = seen.runs
    assert [agent.name for agent in run.agents] == ["PM"]
    assert run.totals.cost_usd > 0


def test_the_agents_name_is_copied_down_to_the_call(tracers):
    seen, tracer, _ = tracers
    start = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "PM"}
    with tracer.start_as_current_span("invoke_agent PM", attributes=start):
        foreign_call(tracer)
    call = next(span for span in seen.spans if span.name.startswith("chat"))
    assert call.attributes["gen_ai.agent.name"] == "PM"


def test_two_layers_of_one_call_are_one_call(tracers):
    seen, outer, inner = tracers
    with outer.start_as_current_span("chat gpt-4o", attributes={"gen_ai.operation.name": "chat", **USAGE}) as span:
        span.set_attribute("gen_ai.response.id", "r1")
        foreign_call(inner)
    seen.handle.flush()
    assert seen.tokens() == 1200
    assert seen.metric("costspan_duplicate_spans_total") == 1


def test_our_own_call_and_a_foreign_one_beneath_are_one(tracers):
    seen, tracer, _ = tracers
    from opentelemetry import context

    from costspan.instrument.spans import SWITCH

    with costspan.run("job"), costspan.agent("PM"):
        unit = SWITCH.spans.open("call", "gpt-4o", attributes={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"})
        token = context.attach(unit.context)
        foreign_call(tracer)
        context.detach(token)
        SWITCH.spans.close(unit, {**USAGE, "gen_ai.response.id": "r1"})
    assert seen.tokens() == 1200
    (run,) = seen.runs
    assert run.totals.calls == 1
    assert len(run.calls[0].duplicates) == 1


def test_cost_reaches_foreign_spans_through_a_batch_exporter():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with measure(tracer_provider=provider, instrument=False) as seen:
        foreign_call(provider.get_tracer("opentelemetry.instrumentation.genai.openai"))
        seen.handle.pipeline.settling.flush()
        provider.force_flush()
    (span,) = exporter.get_finished_spans()
    assert span.attributes["gen_ai.usage.cost.amount"] == pytest.approx(0.0045)


def test_cost_does_not_depend_on_the_sampling_of_traces():
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    early = provider.get_tracer("opentelemetry.instrumentation.genai.openai")
    with measure(tracer_provider=provider, instrument=False) as seen:
        foreign_call(early)
        foreign_call(provider.get_tracer("opentelemetry.instrumentation.genai.anthropic"), response_id="r2")
        with costspan.run("job"):
            costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
        seen.handle.flush()
        assert seen.tokens() == 2411
        assert seen.exporter.get_finished_spans() == ()


def test_disabling_gives_the_provider_its_own_methods_back():
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("opentelemetry.instrumentation.genai.openai")
    sampler = tracer.sampler
    with measure(tracer_provider=provider):
        assert tracer.sampler is not sampler
    assert tracer.sampler is sampler
    assert "get_tracer" not in vars(provider)


def test_a_span_that_is_no_model_call_passes_its_owner_on(tracers):
    seen, tracer, _ = tracers
    database = seen.handle.provider.get_tracer("db")
    start = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "PM"}
    with tracer.start_as_current_span("invoke_agent PM", attributes=start), database.start_as_current_span("select"):
        foreign_call(tracer)
    assert seen.tokens(agent="PM") == 1200
