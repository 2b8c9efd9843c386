"""OTLP requests for tests, in JSON and in protobuf, from one description."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import zstandard
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

if TYPE_CHECKING:
    from pathlib import Path

START = 1_795_302_362_000_000_000
SECOND = 1_000_000_000
SCOPE = "opentelemetry.instrumentation.genai.langchain"


def value(raw: Any) -> dict[str, Any]:
    if isinstance(raw, bool):
        return {"boolValue": raw}
    if isinstance(raw, int):
        return {"intValue": str(raw)}
    if isinstance(raw, float):
        return {"doubleValue": raw}
    if isinstance(raw, list):
        return {"arrayValue": {"values": [value(item) for item in raw]}}
    return {"stringValue": raw}


def attributes(raw: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(item)} for key, item in raw.items()]


def span(
    number: int, *, trace: int = 1, parent: int = 0, name: str = "", at: float = 0.0, seconds: float = 1.0, **extra: Any
) -> dict[str, Any]:
    """A span as OTLP/JSON has it; `extra` goes over it last (`attributes` as a plain dict)."""
    start = START + int(at * SECOND)
    made: dict[str, Any] = {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name or f"span {number}",
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(seconds * SECOND)),
        "attributes": attributes(extra.pop("attributes", {})),
        "status": {},
    }
    return made | extra


def chat(
    number: int,
    *,
    model: str = "gpt-5-mini",
    provider: str = "openai",
    tokens: tuple[int, int] | None = (1000, 100),
    **extra: Any,
) -> dict[str, Any]:
    """A model call by the OTel GenAI convention."""
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"resp-{extra.get('trace', 1)}-{number}",
    }
    if tokens is not None:
        found |= {"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1]}
    found |= extra.pop("attributes", {})
    return span(number, name=f"chat {model}", attributes=found, **extra)


def agent(number: int, name: str, **extra: Any) -> dict[str, Any]:
    found = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name} | extra.pop("attributes", {})
    return span(number, name=f"invoke_agent {name}", attributes=found, **extra)


def tool(number: int, name: str, **extra: Any) -> dict[str, Any]:
    found = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name} | extra.pop("attributes", {})
    return span(number, name=f"execute_tool {name}", attributes=found, **extra)


def workflow(number: int, name: str, **extra: Any) -> dict[str, Any]:
    found = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name} | extra.pop("attributes", {})
    return span(number, name=f"invoke_workflow {name}", attributes=found, **extra)


def request(
    *spans: dict[str, Any], scope: str = "opentelemetry.instrumentation.genai.langchain", service: str = "tests"
) -> dict[str, Any]:
    resource = {"attributes": attributes({"service.name": service})}
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {"name": scope, "version": "1.3b0"}, "spans": list(spans)}]}
        ]
    }


def to_json(document: Any, **options: Any) -> bytes:
    return json.dumps(document, **options).encode()


def to_protobuf(document: dict[str, Any]) -> bytes:
    """The same request in protobuf; ids that are not hex are left out."""
    copy = json.loads(json.dumps(document))
    for resource_spans in copy["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for item in scope_spans["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    item[name] = base64.b64encode(bytes.fromhex(item.get(name) or "")).decode()
                for link in item.get("links", []):
                    for name in ("traceId", "spanId"):
                        link[name] = base64.b64encode(bytes.fromhex(link[name])).decode()
    return json_format.ParseDict(copy, TracesData()).SerializeToString()


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
