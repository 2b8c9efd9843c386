"""Who can write spans of model calls here: instrumentation packages by their names, and libraries that write spans themselves.

A layer is `framework` (LangChain, CrewAI, an agent SDK: it calls a provider's client) or `client` (the provider's client
itself). Two emitters whose layers lie on one another tell of the same calls twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FRAMEWORK: Final = "framework"
CLIENT: Final = "client"
EVERYTHING: Final = "*"

OPENINFERENCE: Final = "OpenInference"
OPENLLMETRY: Final = "OpenLLMetry"
OFFICIAL: Final = "OpenTelemetry GenAI"

FRAMEWORKS: Final = frozenset(
    {
        "langchain", "crewai", "openai-agents", "llama-index", "pydantic-ai", "haystack", "dspy", "smolagents", "autogen",
        "autogen-agentchat", "ag2", "agno", "strands", "google-adk", "litellm", "instructor", "claude-agent-sdk", "beeai",
        "agent-framework", "pipecat", "qwen-agent", "portkey", "guardrails",
    }
)  # fmt: skip
"""Targets that call model clients; other targets are clients."""
NO_MODEL: Final = frozenset({"mcp", "threading", "milvus", "chromadb", "pinecone", "qdrant", "weaviate", "lancedb", "marqo"})

CLIENTS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google-genai": "google-genai",
    "boto3": "bedrock",
    "mistralai": "mistralai",
    "groq": "groq",
    "cohere": "cohere",
    "ollama": "ollama",
    "together": "together",
}
"""Installed distribution -> the client it is, by the name that instrumentations use."""
FRAMEWORK_PACKAGES: Final[Mapping[str, str]] = {
    "langchain-core": "langchain",
    "crewai": "crewai",
    "openai-agents": "openai-agents",
    "llama-index-core": "llama-index",
    "pydantic-ai-slim": "pydantic-ai",
    "haystack-ai": "haystack",
    "dspy": "dspy",
    "smolagents": "smolagents",
    "agno": "agno",
    "strands-agents": "strands",
    "google-adk": "google-adk",
    "litellm": "litellm",
}

_NAMES: Final = (
    (re.compile(r"openinference-instrumentation-(.+)"), OPENINFERENCE),
    (re.compile(r"opentelemetry-instrumentation-genai-(.+)"), OFFICIAL),
    (re.compile(r"opentelemetry-instrumentation-(openai)-v2"), OFFICIAL),
    (re.compile(r"opentelemetry-instrumentation-(openai-agents)-v2"), OFFICIAL),
    (re.compile(r"opentelemetry-instrumentation-(google-genai)"), OFFICIAL),
    (
        re.compile(
            r"opentelemetry-instrumentation-(agno|alephalpha|anthropic|bedrock|cohere|crewai|google-generativeai|groq|haystack|"
            r"langchain|llamaindex|mistralai|ollama|openai|openai-agents|replicate|sagemaker|together|transformers|vertexai|"
            r"voyageai|watsonx|writer)"
        ),
        OPENLLMETRY,
    ),
)
_SPELLINGS: Final = {"llamaindex": "llama-index", "google-generativeai": "google-genai", "google-adk": "google-adk"}


@dataclass(frozen=True, slots=True)
class Native:
    """A distribution that writes spans of its own accord. `since` is its first version that does."""

    family: str
    target: str
    since: tuple[int, ...] = ()
    off_variable: str | None = None
    off_value: str = "false"
    how: str = ""


NATIVE: Final[Mapping[str, Native]] = {
    # The wheels of anthropic 1.10 have no spans, those of 1.17 have; on as soon as there is a global tracer provider.
    "anthropic": Native("Anthropic SDK", "anthropic", (1, 17), "ANTHROPIC_OPEN_TELEMETRY"),
    "openlit": Native("OpenLIT", EVERYTHING, how="openlit.init()"),
    "langfuse": Native("Langfuse", "langchain", how="its CallbackHandler"),
    "logfire": Native("Logfire", EVERYTHING, how="logfire.instrument_…()"),
    "traceloop-sdk": Native(OPENLLMETRY, EVERYTHING, how="Traceloop.init() (every installed package of theirs)"),
    "mlflow": Native("MLflow", EVERYTHING, how="mlflow.….autolog()"),
    "mlflow-skinny": Native("MLflow", EVERYTHING, how="mlflow.….autolog()"),
    "pydantic-ai-slim": Native("Pydantic AI", "pydantic-ai", how="Agent.instrument_all() or instrument=True"),
    "strands-agents": Native("Strands", "strands", how="StrandsTelemetry or a global tracer provider"),
    "google-adk": Native("Google ADK", "google-adk", how="always, with a global tracer provider"),
    "litellm": Native("LiteLLM", "litellm", how='litellm.callbacks = ["otel"]'),
}
_FOLD_THEIR_OWN: Final = (OFFICIAL, OPENLLMETRY)
"""Families whose framework layer keeps their own client layer quiet (OpenLLMetry not in OpenAI's Responses API)."""
LANGSMITH_VARIABLES: Final = ("LANGSMITH_OTEL_ENABLED", "LANGSMITH_TRACING")


@dataclass(frozen=True, slots=True)
class Emitter:
    """Something installed that can write spans of model calls.

    `state`: `on`, `off` or `unknown` (it is up to the program). `switch` is how it is switched on; `off` the line that
    switches it off. `entry_point` is its name among OpenTelemetry's instrumentors.
    """

    distribution: str
    version: str
    family: str
    target: str
    state: str = "unknown"
    switch: str = ""
    off: str = ""
    entry_point: str | None = None

    @property
    def layer(self) -> str:
        """`framework` or `client`."""
        return FRAMEWORK if self.target in FRAMEWORKS or self.target == EVERYTHING else CLIENT

    @property
    def title(self) -> str:
        """`OpenInference langchain`."""
        return self.family if self.target == EVERYTHING or self.target in self.family.lower() else f"{self.family} {self.target}"


def find(installed: Mapping[str, str], entry_points: Mapping[str, str], environment: Mapping[str, str]) -> list[Emitter]:
    """Emitters among the installed distributions (name -> version), without importing any of them.

    `entry_points` are OpenTelemetry's instrumentors, name by distribution. `environment` are the process's variables.
    """
    return sorted(_emitters(installed, entry_points, environment), key=lambda each: (each.layer, each.target, each.family))


def _emitters(installed: Mapping[str, str], entry_points: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Emitter]:
    disabled = {name.strip() for name in environment.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    for name, version in installed.items():
        native = NATIVE.get(name)
        if native is not None and _reached(version, native.since):
            yield _native(name, version, native, environment)
        for pattern, family in _NAMES:
            match = pattern.fullmatch(name)
            if match is None or match[1] in NO_MODEL:
                continue
            entry = entry_points.get(name)
            yield Emitter(
                name,
                version,
                family,
                _SPELLINGS.get(match[1], match[1]),
                state="off" if entry is not None and entry in disabled else "unknown",
                switch=f"opentelemetry-instrument (entry point {entry}) or .instrument()" if entry else ".instrument()",
                off=f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={entry}" if entry else f"pip uninstall {name}",
                entry_point=entry,
            )
            break
    yield from _langsmith(installed, environment)


def _native(name: str, version: str, native: Native, environment: Mapping[str, str]) -> Emitter:
    if native.off_variable is None:
        return Emitter(name, version, native.family, native.target, switch=native.how, off=f"leave out {native.how}")
    said = environment.get(native.off_variable, "").strip().lower()
    return Emitter(
        name,
        version,
        native.family,
        native.target,
        state="off" if said in ("false", "0", "off", "no") else "on",
        switch="by itself, with a global tracer provider",
        off=f"{native.off_variable}={native.off_value}",
    )


def _langsmith(installed: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Emitter]:
    """LangSmith comes with every LangChain, but writes OpenTelemetry spans only when it is told to."""
    if "langsmith" in installed and all(environment.get(name, "").lower() == "true" for name in LANGSMITH_VARIABLES):
        off = f"{LANGSMITH_VARIABLES[0]}=false"
        yield Emitter("langsmith", installed["langsmith"], "LangSmith", "langchain", "on", "its variables", off)


def _reached(version: str, since: tuple[int, ...]) -> bool:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[: len(since)])
    return numbers >= since


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two emitters that tell of the same calls; `off` switches off the one that adds less."""

    outer: Emitter
    inner: Emitter
    text: str
    off: str


def overlaps(emitters: list[Emitter], installed: Mapping[str, str]) -> list[Overlap]:
    """Pairs that may both be on and lie on one another."""
    clients = {client for name, client in CLIENTS.items() if name in installed}
    found = []
    able = [emitter for emitter in emitters if emitter.state != "off"]
    for place, one in enumerate(able):
        for other in able[place + 1 :]:
            pair = _overlap(one, other, clients)
            if pair is not None:
                found.append(pair)
    return found


def _overlap(one: Emitter, other: Emitter, clients: set[str]) -> Overlap | None:
    both_frameworks = one.layer == other.layer == FRAMEWORK
    if one.distribution == other.distribution or (both_frameworks and one.target != other.target):
        return None
    if one.target == other.target and one.target != EVERYTHING:
        text = f"both tell of each {one.target} call"
        return Overlap(one, other, text, other.off if other.state == "on" or one.state != "on" else one.off)
    outer, inner = (one, other) if one.layer == FRAMEWORK else (other, one)
    if outer.layer != FRAMEWORK or inner.layer != CLIENT or inner.target not in clients:
        return None
    if outer.family == inner.family and outer.family in _FOLD_THEIR_OWN:
        return None
    under = "any framework" if outer.target == EVERYTHING else outer.target
    return Overlap(outer, inner, f"each {inner.target} call made through {under} is told twice", inner.off)
