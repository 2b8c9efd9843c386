"""OTLP/HTTP for traces: `POST /v1/traces`, protobuf or JSON, plain or packed. What is answered is what OTLP lays down.

200 with a partial success where some spans could not be taken; 400 and 413 say never to send it again, 503 with
Retry-After to come again. Metrics and logs are answered with 200 and dropped, so that a program which sends all three to
one address is not troubled; `/health` counts them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from costspan.server.errors import RefusedError, busy, malformed, too_large
from costspan.server.inbox import Parcel, Taken
from costspan.server.limits import BODY_BYTES_MAX, BODY_SECONDS, DRAINED_BYTES_MAX, RETRY_SECONDS
from costspan.server.security import Gate
from costspan.server.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message
    from starlette.requests import Request

    from costspan.server.inbox import Inbox

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
ANSWER_SECONDS: Final = 60.0


def create_receiver(inbox: Inbox, *, token: str | None = None, hosts: Iterable[str] = ()) -> Starlette:
    """The application behind the OTLP/HTTP port."""

    async def traces(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind not in (PROTOBUF, JSON):
                message = f"Content-Type {kind[:60]!r} is not known here; use {PROTOBUF} or {JSON}"
                raise RefusedError(415, "UNIMPLEMENTED", message)
            return _answer(await _taken(request, inbox, is_json=kind == JSON), kind)
        except RefusedError as refusal:
            return _refusal(refusal, kind)
        except ClientDisconnect:
            return Response(status_code=400)

    async def ignored(request: Request) -> Response:
        async for _ in request.stream():
            pass
        inbox.counts["ignored_requests"] += 1
        return Response(b"{}" if request.headers.get("content-type", "").startswith(JSON) else b"", media_type=PROTOBUF)

    async def index(_: Request) -> Response:
        return PlainTextResponse("costspan: OTLP/HTTP, send traces to /v1/traces\n")

    return Starlette(
        routes=[
            Route("/v1/traces", traces, methods=["POST"]),
            Route("/v1/metrics", ignored, methods=["POST"]),
            Route("/v1/logs", ignored, methods=["POST"]),
            Route("/", index),
        ],
        middleware=[Middleware(Gate, token=token, hosts=tuple(hosts))],
    )


async def _taken(request: Request, inbox: Inbox, *, is_json: bool) -> Taken:
    data = await _body(request)
    encoding = request.headers.get("content-encoding", "")
    if encoding:
        data = await asyncio.to_thread(unpack, data, encoding)
    answer = inbox.put(Parcel(data, is_json=is_json))
    try:
        # Shielded: what is being written is written, whether the client still waits or not.
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), ANSWER_SECONDS)
    except TimeoutError:
        raise busy("writing takes too long; come again") from None


async def _body(request: Request) -> bytes:
    """The body. One that is too large is read on and dropped, within bounds: whoever is hung up on does not hear why."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > DRAINED_BYTES_MAX:
        raise _large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > DRAINED_BYTES_MAX:
                    raise _large()
                if size <= BODY_BYTES_MAX:
                    parts.append(part)
                else:
                    parts.clear()
    except TimeoutError:
        raise RefusedError(
            408, "DEADLINE_EXCEEDED", f"the body did not come within {BODY_SECONDS:.0f} seconds", retry=True
        ) from None
    if size > BODY_BYTES_MAX:
        raise _large()
    if not size:
        raise malformed("the body is empty")
    return b"".join(parts)


def _large() -> RefusedError:
    return too_large(f"the body is larger than {BODY_BYTES_MAX >> 20} MiB; send smaller batches")


def answer_message(taken: Taken) -> ExportTraceServiceResponse:
    """What OTLP answers to a request that was taken: empty, or what of it was not."""
    message = ExportTraceServiceResponse()
    if taken.rejected or taken.message:
        message.partial_success.rejected_spans = taken.rejected
        message.partial_success.error_message = taken.message
    return message


def _answer(taken: Taken, kind: str) -> Response:
    return Response(_encoded(answer_message(taken), kind), media_type=kind)


def _refusal(refusal: RefusedError, kind: str) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if refusal.retry else None
    # The rest of a body that was not read to its end would be taken for the next request.
    headers = {**(headers or {}), "Connection": "close"} if refusal.status in (408, 413) else headers
    if kind not in (PROTOBUF, JSON):  # a person with curl
        return PlainTextResponse(f"costspan: {refusal}\n", refusal.status, headers)
    return Response(_encoded(Status(message=str(refusal)), kind), refusal.status, headers, kind)


def _encoded(message: Message, kind: str) -> bytes:
    if kind == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()
