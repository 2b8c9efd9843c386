from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from costspan.intake.otlp import decode_json
from costspan.normalise import dialects
from costspan.normalise.dialects import read
from costspan.records import CALL
from made_spans import meaning, span

if TYPE_CHECKING:
    from costspan.readings import SpanRecord

TRACES = Path(__file__).parents[1] / "pipeline" / "traces"
WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    1.5,
    float("nan"),
    10**30,
    "",
    "[",
    '{"a":',
    "x",
    [],
    [1],
    ["x", 2],
    {},
    {"a": 1},
    b"x",
)


def one_span_of_each_kind() -> list[SpanRecord]:
    found: dict[tuple[object, ...], SpanRecord] = {}
    for path in sorted(TRACES.glob("*.json.gz")):
        for record in decode_json(gzip.decompress(path.read_bytes())):
            reading = read(record)
            found.setdefault((record.scope, reading and reading.kind, record.error), record)
    return list(found.values())


EACH = one_span_of_each_kind()


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_no_attribute_of_a_wrong_type_raises(value: object) -> None:
    for record in EACH:
        whole = record.attributes
        for key in whole:
            record.attributes = {**whole, key: value}
            read(record)
        record.attributes = dict.fromkeys(whole, value)
        read(record)
        record.attributes = whole


def test_a_span_without_attributes_raises_nowhere() -> None:
    for record in EACH:
        read(span(record.scope, {}))


def test_reading_changes_nothing_in_the_span() -> None:
    for record in EACH:
        before = (dict(record.attributes), record.start_ns, record.end_ns, record.name)
        assert read(record) == read(record)
        assert (dict(record.attributes), record.start_ns, record.end_ns, record.name) == before


@pytest.mark.parametrize(
    ("scope", "attributes", "dialect"),
    [
        ("my.own", {"gen_ai.operation.name": "chat"}, "genai"),
        ("my.own", {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 3}, "genai"),
        ("opentelemetry.instrumentation.genai.openai", {"gen_ai.operation.name": "chat"}, "genai"),
        ("com.anthropic.sdk.python", {"gen_ai.operation.name": "chat"}, "anthropic_sdk"),
        ("com.anthropic.sdk.typescript.bedrock", {"gen_ai.operation.name": "chat"}, "anthropic_sdk"),
        ("my.own", {"openinference.span.kind": "LLM"}, "openinference"),
        ("openinference.instrumentation.mistralai", {"openinference.span.kind": "LLM"}, "openinference"),
        ("opentelemetry.instrumentation.cohere", {"gen_ai.operation.name": "chat"}, "openllmetry"),
        ("opentelemetry.instrumentation.bedrock", {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 3}, "openllmetry"),
        ("openlit.instrumentation.groq", {"gen_ai.operation.name": "chat"}, "openlit"),
        ("langfuse-sdk", {"langfuse.observation.type": "generation"}, "langfuse"),
        ("langsmith", {"langsmith.span.kind": "llm", "gen_ai.operation.name": "chat"}, "langsmith"),
        ("mlflow.openai", {"mlflow.spanType": '"LLM"'}, "mlflow"),
        ("ai", {"ai.operationId": "ai.generateText.doGenerate"}, "vercel_ai"),
        ("pydantic-ai", {"gen_ai.operation.name": "chat"}, "pydantic_ai"),
        ("logfire.openai", {"gen_ai.operation.name": "chat"}, "logfire"),
        ("strands.telemetry.tracer", {"gen_ai.operation.name": "chat"}, "strands"),
        ("gcp.vertex.agent", {"gen_ai.operation.name": "generate_content"}, "google_adk"),
        ("costspan", {"costspan.kind": "call"}, "costspan"),
    ],
)
def test_each_emitter_is_read_by_its_own_rules(scope: str, attributes: dict[str, object], dialect: str) -> None:
    reading = meaning(scope, attributes)
    assert (reading.kind, reading.dialect) == (CALL, dialect)


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("opentelemetry.instrumentation.redis", {"db.system": "redis"}),
        ("opentelemetry.instrumentation.httpx", {"http.request.method": "POST", "url.full": "https://api.openai.com"}),
        ("my.own", {}),
        ("my.own", {"gen_ai.operation.name": "create_agent", "gen_ai.request.model": "gpt-4o"}),
        ("opentelemetry.instrumentation.genai.openai", {"gen_ai.operation.name": "fetch_response"}),
    ],
)
def test_what_tells_of_no_call_means_nothing(scope: str, attributes: dict[str, object]) -> None:
    assert read(span(scope, attributes)) is None


def test_the_memory_of_scopes_is_bounded() -> None:
    for number in range(3000):
        read(span(f"scope-{number}", {}))
    assert len(dialects._known) <= 2000
    assert meaning("scope-2999", {"gen_ai.operation.name": "chat"}).kind == CALL
