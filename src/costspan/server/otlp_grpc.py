"""OTLP/gRPC for traces: the TraceService, on the same inbox as OTLP/HTTP.

Requests are taken as bytes and decoded by our own reader, so that no generated code is needed and one damaged span does
not cost the others. gRPC itself unpacks gzip, up to the limit for messages.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLongError
from typing import TYPE_CHECKING, Any, Final

import grpc

from costspan import guard
from costspan.errors import SettingsError
from costspan.server.errors import RefusedError, busy
from costspan.server.inbox import Parcel
from costspan.server.limits import BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADER_SECONDS
from costspan.server.otlp_http import ANSWER_SECONDS, answer_message
from costspan.server.security import bearer_matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.server.inbox import Inbox, Taken

SERVICES: Final = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "ignored",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "ignored",
}
THREADS: Final = 16
"""A request waits for its answer in a thread; senders keep one request on the way each."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", BODY_BYTES_MAX),
    ("grpc.max_metadata_size", HEADER_BYTES_MAX),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", int(HEADER_SECONDS * 1000)),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class GrpcReceiver:
    """Listens from `start` to `stop`. `port` is the real one (0 picks any)."""

    def __init__(self, inbox: Inbox, *, host: str, port: int, token: str | None = None) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, "costspan-grpc"), handlers=(_Handlers(inbox, token),), options=_OPTIONS
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port: int = self._server.add_insecure_port(address)
        except RuntimeError as error:
            message = (
                f"cannot listen on {address} for OTLP/gRPC: the port is taken or not allowed; "
                "choose another with --grpc-port, or -1 for none"
            )
            raise SettingsError(message) from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace_seconds: float = 2.0) -> None:
        """End after the requests that are on the way."""
        self._server.stop(grace_seconds).wait(grace_seconds + 1)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, inbox: Inbox, token: str | None) -> None:
        self._inbox = inbox
        self._token = token
        self._ways: dict[str, Callable[[bytes, Any], bytes]] = {"traces": self._traces, "ignored": self._ignored}

    def service(self, handler_call_details: Any) -> Any:
        way = SERVICES.get(handler_call_details.method)
        return None if way is None else grpc.unary_unary_rpc_method_handler(self._ways[way])

    def _traces(self, data: bytes, context: Any) -> bytes:
        self._admit(context)
        try:
            taken = self._taken(data)
        except RefusedError as refusal:
            context.abort(getattr(grpc.StatusCode, refusal.grpc), str(refusal))
        answer: bytes = answer_message(taken).SerializeToString()
        return answer

    def _taken(self, data: bytes) -> Taken:
        try:
            return self._inbox.put(Parcel(data, is_json=False)).result(ANSWER_SECONDS)
        except WaitedTooLongError:
            raise busy("writing takes too long; come again") from None

    def _ignored(self, _: bytes, context: Any) -> bytes:
        self._admit(context)
        self._inbox.counts["ignored_requests"] += 1
        return b""

    def _admit(self, context: Any) -> None:
        if self._token is None:
            return
        with guard.Guard("server.grpc.token"):
            given = dict(context.invocation_metadata()).get("authorization", "")
            if isinstance(given, str) and bearer_matches(given, self._token):
                return
        context.abort(
            grpc.StatusCode.UNAUTHENTICATED, "give the token of this server (COSTSPAN_TOKEN) as `authorization: Bearer TOKEN`"
        )
