from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otlp_build as build
from costspan.intake.doctor import examine_environment, examine_files, examine_process, installed_packages
from costspan.intake.mending import stream_mend
from costspan.price.book import PriceBook

if TYPE_CHECKING:
    from costspan.intake.emitters import Emitter

TRACES = Path(__file__).parent.parent / "pipeline" / "traces"
BOOK = PriceBook()
LANGCHAIN = {"langchain-core": "1.7.2", "openai": "3.54.0", "anthropic": "2.12.0"}


def emitters(installed: dict[str, str], points: dict[str, str] | None = None, **environment: str) -> dict[str, Emitter]:
    found = examine_environment(BOOK, installed=installed, entry_points=points or {}, environment=environment)
    return {each.title: each for each in found.emitters}


def pairs(installed: dict[str, str], **environment: str) -> dict[tuple[str, str], str]:
    found = examine_environment(BOOK, installed=installed, entry_points={}, environment=environment)
    return {(pair.outer.title, pair.inner.title): pair.off for pair in found.overlaps}


@pytest.mark.parametrize(
    ("distribution", "title", "layer"),
    [
        ("openinference-instrumentation-langchain", "OpenInference langchain", "framework"),
        ("openinference-instrumentation-openai", "OpenInference openai", "client"),
        ("opentelemetry-instrumentation-langchain", "OpenLLMetry langchain", "framework"),
        ("opentelemetry-instrumentation-llamaindex", "OpenLLMetry llama-index", "framework"),
        ("opentelemetry-instrumentation-genai-langchain", "OpenTelemetry GenAI langchain", "framework"),
        ("opentelemetry-instrumentation-openai-v2", "OpenTelemetry GenAI openai", "client"),
        ("opentelemetry-instrumentation-google-genai", "OpenTelemetry GenAI google-genai", "client"),
        ("openlit", "OpenLIT", "framework"),
        ("pydantic-ai-slim", "Pydantic AI pydantic-ai", "framework"),
    ],
)
def test_packages_that_write_spans_are_known_by_their_names(distribution: str, title: str, layer: str) -> None:
    found = emitters({distribution: "1.0"})
    assert found[title].layer == layer


def test_packages_that_have_nothing_to_do_with_models_are_not_listed() -> None:
    assert emitters({"opentelemetry-instrumentation-requests": "1", "opentelemetry-instrumentation-threading": "1"}) == {}


@pytest.mark.parametrize(("version", "said", "state"), [("1.10.0", "", None), ("1.17.0", "", "on"), ("2.12.0", "false", "off")])
def test_anthropics_own_spans_are_on_by_themselves(version: str, said: str, state: str | None) -> None:
    found = emitters({"anthropic": version}, ANTHROPIC_OPEN_TELEMETRY=said).get("Anthropic SDK")
    assert (found and found.state) == state


def test_overlapping_layers_come_with_the_line_that_parts_them() -> None:
    installed = LANGCHAIN | {"openinference-instrumentation-langchain": "0.1.80"}
    found = pairs(installed)
    assert found["OpenInference langchain", "Anthropic SDK"] == "ANTHROPIC_OPEN_TELEMETRY=false"
    assert ("OpenInference langchain", "Anthropic SDK") not in pairs(installed, ANTHROPIC_OPEN_TELEMETRY="false")
    both = LANGCHAIN | {"openinference-instrumentation-openai": "1", "opentelemetry-instrumentation-openai": "1"}
    assert any({"OpenInference openai", "OpenLLMetry openai"} == set(pair) for pair in pairs(both))


def test_families_that_keep_their_own_client_layer_quiet_do_not_overlap() -> None:
    official = {"opentelemetry-instrumentation-genai-langchain": "1.3b0", "opentelemetry-instrumentation-genai-openai": "1.3b0"}
    assert not any("GenAI" in outer and "GenAI" in inner for outer, inner in pairs(LANGCHAIN | official))
    nested = {"openinference-instrumentation-langchain": "1", "openinference-instrumentation-openai": "1"}
    assert ("OpenInference langchain", "OpenInference openai") in pairs(LANGCHAIN | nested)


def test_a_layer_over_a_client_that_is_not_installed_does_not_overlap() -> None:
    groq = {"openinference-instrumentation-crewai": "1", "openinference-instrumentation-groq": "1"}
    assert pairs(groq) == {}
    assert pairs(groq | {"groq": "1"})


def test_a_disabled_instrumentation_is_off() -> None:
    name = "opentelemetry-instrumentation-langchain"
    found = emitters({name: "1"}, {name: "langchain"}, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="redis, langchain")
    assert found["OpenLLMetry langchain"].state == "off"


def test_the_real_environment_is_read_without_importing_anything_of_it() -> None:
    assert installed_packages()["langchain-core"]
    code = (
        "import sys; from costspan.intake.doctor import examine_environment; from costspan.price.book import PriceBook\n"
        "examine_environment(PriceBook())\n"
        "print([name for name in ('langchain_core', 'openai', 'anthropic', 'crewai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_stream_without_usage_comes_with_the_exact_line_that_mends_it(tmp_path: Path) -> None:
    health = examine_files([TRACES / "official-langchain__pipeline_openai_stream_nousage.json.gz"], BOOK)
    (finding,) = [each for each in health.findings if each.topic == "stream"]
    assert "stream_usage=True" in finding.mend
    stream = build.chat(1, tokens=None, attributes={"gen_ai.request.stream": True})
    path = build.save(tmp_path / "a", build.to_json(build.request(stream, scope="opentelemetry.instrumentation.genai.openai")))
    (finding,) = [each for each in examine_files([path], BOOK).findings if each.topic == "stream"]
    assert 'stream_options={"include_usage": True}' in finding.mend


def test_a_stream_that_our_own_hooks_told_of_is_mended_by_one_variable() -> None:
    assert stream_mend("costspan", "openai").startswith("COSTSPAN_ASK_STREAM_USAGE=on")
    assert "stream_options" in stream_mend("opentelemetry.instrumentation.openai", "openai")


def test_double_layers_in_a_trace_are_named_with_the_line_that_parts_them() -> None:
    health = examine_files([TRACES / "openllmetry-langchain+official-anthropic__pipeline_anthropic.json.gz"], BOOK)
    mends = {each.mend for each in health.findings if each.topic == "overlap"}
    assert "to have one layer only: ANTHROPIC_OPEN_TELEMETRY=false" in mends
    assert health.report.totals.calls == 8
    assert health.scopes["com.anthropic.sdk.python"] == 8


def test_unpriced_models_and_calls_without_owner_are_told(tmp_path: Path) -> None:
    request = build.request(build.chat(1, model="my-own-model", provider="acme"), build.chat(2, trace=2))
    health = examine_files([build.save(tmp_path / "a", build.to_json(request))], BOOK)
    told = {each.topic: each for each in health.findings}
    assert "my-own-model" in told["price"].text
    assert "COSTSPAN_PRICES" in told["price"].mend
    assert "2 of 2 calls" in told["owner"].text


def test_a_sound_trace_has_nothing_to_mend(tmp_path: Path) -> None:
    request = build.request(build.agent(1, "A"), build.chat(2, parent=1))
    assert examine_files([build.save(tmp_path / "a", build.to_json(request))], BOOK).findings == ()


def test_a_running_process_tells_its_provider_and_what_is_switched_on() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
provider = TracerProvider(); provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
ThreadingInstrumentor().instrument()
from costspan.intake.doctor import examine_process
found = examine_process()
print(found.provider, found.processors, found.active, found.sampler)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "opentelemetry.sdk.trace.TracerProvider" in done.stdout
    assert "ConsoleSpanExporter" in done.stdout
    assert "threading (opentelemetry-instrumentation-threading)" in done.stdout


def test_examining_a_process_without_a_provider_changes_nothing() -> None:
    found = examine_process(BOOK)
    assert found.processors == () or found.provider
    assert found.environment.python
