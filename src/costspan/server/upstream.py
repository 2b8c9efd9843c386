"""One OTLP/HTTP endpoint that spans are forwarded to, and requests as it gets them: protobuf, gzip, cost attributes added."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from costspan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS: Final = 10.0
_AGAIN: Final = (408, 429, 502, 503, 504)
_ID_NAMES: Final = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


class Outcome(NamedTuple):
    """What became of a request. `final`: refused for good. `wait_seconds`: what upstream asked to be given."""

    sent: bool
    final: bool = False
    why: str = ""
    wait_seconds: float = 0.0


class Upstream:
    """Raises SettingsError for an address that is none. Headers come from OTEL_EXPORTER_OTLP_HEADERS."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            message = f"--forward {endpoint!r} is no address; give one such as http://localhost:14318"
            raise SettingsError(message)
        self.url = endpoint if parts.path.rstrip("/") else f"{endpoint.rstrip('/')}/v1/traces"
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", "User-Agent": "costspan"}
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, headers={**headers, **_given_headers()}, trust_env=False)

    def send(self, message: ExportTraceServiceRequest) -> Outcome:
        """One try. Never raises."""
        body = gzip.compress(message.SerializeToString(), compresslevel=3, mtime=0)
        try:
            answer = self._client.post(self.url, content=body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Outcome(sent=False, why=f"{self.url} does not answer ({type(error).__name__}: {error})")
        if answer.status_code < 300:
            return Outcome(sent=True)
        why = f"{self.url} answered {answer.status_code}"
        if answer.status_code in _AGAIN:
            told = answer.headers.get("retry-after", "")
            return Outcome(sent=False, why=why, wait_seconds=min(float(told), 300.0) if told.isdecimal() else 0.0)
        return Outcome(sent=False, final=True, why=f"{why}: {answer.text[:200]}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def parse(data: bytes, *, is_json: bool) -> ExportTraceServiceRequest | None:
    """The request as a message; None where the strict reader of protobuf does not take what ours took."""
    message = ExportTraceServiceRequest()
    try:
        if is_json:
            json_format.ParseDict(_with_base64_ids(json.loads(data)), message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(data)
    except (DecodeError, ValueError, json_format.ParseError, RecursionError, TypeError):
        return None
    return message


def _with_base64_ids(part: Any) -> Any:
    """OTLP/JSON writes ids in hex where JSON of protobuf has base64."""
    if isinstance(part, list):
        return [_with_base64_ids(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _base64(value) if name in _ID_NAMES and isinstance(value, str) else _with_base64_ids(value)
        for name, value in part.items()
    }


def _base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except (ValueError, binascii.Error):
        return text


def annotated(
    message: ExportTraceServiceRequest, notes: Mapping[tuple[int, int], Mapping[str, str | int | float | bool]]
) -> ExportTraceServiceRequest:
    """The same message, spans that have notes with these attributes added (over older ones of the same names)."""
    for resource_spans in message.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                note = notes.get((int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")))
                if note:
                    _write(span, note)
    return message


def _write(span: Any, note: Mapping[str, str | int | float | bool]) -> None:
    present = {pair.key: pair for pair in span.attributes if pair.key in note}
    for name, value in note.items():
        pair = present.get(name)
        if pair is None:
            pair = span.attributes.add()
            pair.key = name
        pair.ClearField("value")
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value


def _given_headers() -> dict[str, str]:
    """`name=value,name=value`, URL-encoded, as OpenTelemetry has it."""
    text = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {unquote(name.strip()): unquote(value.strip()) for name, value in pairs}
