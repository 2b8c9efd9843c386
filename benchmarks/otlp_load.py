"""OTLP requests as agents send them, for the benchmarks: runs of 16 spans (a workflow, agents, model calls, tools, HTTP)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (("openai", "gpt-5-mini"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4o"), ("gcp.gemini", "gemini-2.5-flash"))
AGENTS = ("planner", "writer", "reviewer", "researcher", "tester", "editor")
TOOLS = ("search", "read_file", "run_tests", "ask_expert")
GENAI = "opentelemetry.instrumentation.genai.langchain"
SDK = "opentelemetry.instrumentation.openai_v2"
HTTP = "opentelemetry.instrumentation.httpx"
SPANS_PER_RUN = 16
_MS = 1_000_000


class Load:
    """Runs one after another, each a little later than the one before; the same seed gives the same load.

    `layers`: a second instrumentation tells of each model call too, which makes 22 spans of a run.
    """

    def __init__(
        self, seed: int = 1, *, start_ns: int = 1_795_302_362_000_000_000, step_ms: int = 50, layers: bool = False
    ) -> None:
        self._layers = layers
        self._random = random.Random(seed)
        self._now = start_ns
        self._step = step_ms * _MS

    def batches(self, spans: int, size: int = 512) -> Iterator[bytes]:
        """Requests of `size` spans, `spans` in all."""
        waiting: list[tuple[str, dict]] = []
        made = 0
        while made < spans:
            while len(waiting) < size:
                waiting += self._run()
            yield self._request(waiting[:size])
            made += size
            waiting = waiting[size:]

    def _request(self, spans: list[tuple[str, dict]]) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        for name, value in (
            ("service.name", "load"),
            ("telemetry.sdk.language", "python"),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.version", "1.45.0"),
            ("deployment.environment.name", "bench"),
        ):
            _set(resource.resource.attributes, name, value)
        scopes = {}
        for scope, span in spans:
            if scope not in scopes:
                scopes[scope] = resource.scope_spans.add()
                scopes[scope].scope.name = scope
                scopes[scope].scope.version = "1.3"
            made = scopes[scope].spans.add(**{k: v for k, v in span.items() if k != "attributes"})
            for name, value in span["attributes"].items():
                _set(made.attributes, name, value)
        return request.SerializeToString()

    def _run(self) -> list[tuple[str, dict]]:
        rng = self._random
        trace = rng.randbytes(16)
        self._now += self._step
        start = self._now
        root = rng.randbytes(8)
        found: list[tuple[str, dict]] = []

        def span(scope: str, parent: bytes, name: str, at: int, ms: int, attributes: dict, kind: int = 1) -> bytes:
            own = rng.randbytes(8)
            found.append(
                (
                    scope,
                    {
                        "trace_id": trace,
                        "span_id": own,
                        "parent_span_id": parent,
                        "name": name,
                        "kind": kind,
                        "start_time_unix_nano": start + at * _MS,
                        "end_time_unix_nano": start + (at + ms) * _MS,
                        "attributes": attributes,
                    },
                )
            )
            return own

        for number in range(3):
            agent = rng.choice(AGENTS)
            at = 10 + number * 3000
            place = span(
                GENAI,
                root,
                f"invoke_agent {agent}",
                at,
                2900,
                {
                    "gen_ai.operation.name": "invoke_agent",
                    "gen_ai.agent.name": agent,
                    "gen_ai.provider.name": "langchain",
                    "gen_ai.conversation.id": trace.hex(),
                    "langgraph.node": agent,
                    "langgraph.step": number,
                },
            )
            for turn in range(2):
                self._call(span, place, at + 100 + turn * 1400)
            tool = rng.choice(TOOLS)
            span(
                GENAI,
                place,
                f"execute_tool {tool}",
                at + 1250,
                200,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": tool,
                    "gen_ai.tool.type": "function",
                    "gen_ai.tool.call.id": f"call_{rng.getrandbits(64):x}",
                },
            )
            span(
                HTTP,
                place,
                "POST",
                at + 110,
                1000,
                {
                    "http.request.method": "POST",
                    "url.full": "https://api.example.com/v1/chat/completions",
                    "server.address": "api.example.com",
                    "server.port": 443,
                    "http.response.status_code": 200,
                    "network.protocol.version": "1.1",
                },
                3,
            )
        found.append(
            (
                GENAI,
                {
                    "trace_id": trace,
                    "span_id": root,
                    "parent_span_id": b"",
                    "name": "invoke_workflow pipeline",
                    "kind": 1,
                    "start_time_unix_nano": start,
                    "end_time_unix_nano": start + 9500 * _MS,
                    "attributes": {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "pipeline"},
                },
            )
        )
        return found

    def _call(self, span, parent: bytes, at: int) -> None:
        rng = self._random
        provider, model = rng.choice(MODELS)
        read = rng.randrange(0, 2000)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.response.id": f"resp_{rng.getrandbits(128):032x}",
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 4096,
            "gen_ai.request.stream": True,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": read + rng.randrange(100, 4000),
            "gen_ai.usage.output_tokens": rng.randrange(20, 900),
            "gen_ai.usage.cache_read.input_tokens": read,
            "server.address": "api.example.com",
            "server.port": 443,
        }
        own = span(GENAI, parent, f"chat {model}", at, 1100, attributes, 3)
        if self._layers:
            span(SDK, own, f"chat {model}", at + 2, 1096, attributes, 3)


def _set(attributes, name: str, value: object) -> None:
    pair = attributes.add()
    pair.key = name
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    elif isinstance(value, list):
        for item in value:
            pair.value.array_value.values.add().string_value = item
    else:
        pair.value.string_value = str(value)
