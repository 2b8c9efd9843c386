"""The provider's HTTP side: HTTP/1.1 with keep-alive, server-sent events in chunks, and connections that break on purpose."""

from __future__ import annotations

import base64
import json
import select
import socket
import struct
import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from costspan.demo import batches, provider_log, replies
from costspan.demo.paths import BEDROCK_STREAM, is_anthropic, wire_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costspan.demo.desk import Desk, Job
    from costspan.demo.exchange import Event

RETRIED = (408, 409, 429)
ERRORS = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("invalid_request_error", "authentication_error"),
    404: ("invalid_request_error", "not_found_error"),
    429: ("requests", "rate_limit_error"),
    529: ("server_error", "overloaded_error"),
}


class Server(ThreadingHTTPServer):
    """Loopback only, a free port, a thread per connection; closing it breaks what is still open."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.batches = batches.Batches(desk)
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._connections):
            hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what this server is for; anything else is a bug worth seeing."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def hang_up(connection: socket.socket) -> None:
    """Break a connection so that the other side sees it at once."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # gone already


def amazon_frame(data: str) -> bytes:
    """One message of Amazon's event stream: lengths, headers, the payload in base64 within JSON, and two checksums."""
    payload = json.dumps({"bytes": base64.b64encode(data.encode()).decode()}).encode()
    pairs = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in pairs.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


class ClientLeftError(ConnectionError):
    """The client has closed its side."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr: the log is the book."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        batch = self.server.batches.get(path) if batches.PATH + "/" in path else None
        if isinstance(batch, str):
            self._send(200, batch.encode(), {"content-type": "application/x-jsonl"})
        elif batch is not None:
            self._json(200, self._absolute(batch))
        elif path == "/_fake/log":
            entries = self.server.desk.book.entries()
            self._json(200, [provider_log.to_json(entry) for entry in entries])
        elif path.endswith("/models"):
            self._json(200, {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None})
        else:
            self._error(404, "nothing here")

    def do_POST(self) -> None:
        raw = self._body()
        path = unquote(urlsplit(self.path).path)
        if path == "/_fake/script":
            self._script(json.loads(raw))
            return
        wire = wire_for(path)
        if wire is None and not path.endswith(batches.PATH):
            self._error(404, f"no such API: {path}")
            return
        try:
            body = json.loads(raw)
            if wire is None:
                self._json(200, self._absolute(self.server.batches.create(body, path)))
                return
            job = self.server.desk.take(wire, path, body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._error(400, f"could not read the request: {type(error).__name__}: {error}")
            return
        self._answer(job)

    def _absolute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "results_url": f"http://{self.headers.get('host')}{batch['results_url']}"}

    def _answer(self, job: Job) -> None:
        job.entry.retry_count = int(self.headers.get("x-stainless-retry-count") or 0)
        job.entry.traceparent = self.headers.get("traceparent")
        try:
            self._serve(job)
        except ConnectionError:
            job.entry.client_left = True
            self.close_connection = True
        finally:
            self.server.desk.book.end(job.entry)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _script(self, order: Mapping[str, Any]) -> None:
        given = [replies.from_json(reply) for reply in order["replies"]]
        self.server.desk.scripts.add(given, order.get("agent"))
        self._json(200, {"queued": len(given)})

    def _serve(self, job: Job) -> None:
        reply = job.reply
        if reply.delay:
            self._wait(reply.delay)
        if reply.cut_after == 0:
            self._cut(job)
        elif reply.raw_body is not None:
            self._send(200, reply.raw_body.encode(), {"content-type": "text/html", **reply.headers})
        elif reply.status >= 400:
            self._fail(job)
        elif job.answer.ask.stream and job.wire.stream is not None:
            self._stream(job)
        else:
            self._whole(job)

    def _whole(self, job: Job) -> None:
        headers = {"content-type": "application/json", **self._request_id(job), **job.reply.headers}
        body = json.dumps(job.body()).encode()
        self._gone()
        if job.reply.cut_after:
            self._send(200, body[: len(body) // 2], {**headers, "content-length": str(len(body))})
            self._cut(job)
            return
        job.told(job.tells_whole)
        self._send(200, body, headers)

    def _fail(self, job: Job) -> None:
        headers = dict(job.reply.headers)
        if job.reply.status in RETRIED or job.reply.status >= 500:
            headers |= {"retry-after-ms": str(int(job.reply.retry_after * 1000)), "retry-after": f"{job.reply.retry_after:g}"}
        self._error(job.reply.status, job.reply.text or "scripted failure", {**self._request_id(job), **headers})

    def _stream(self, job: Job) -> None:
        self.send_response(200)
        kind = "application/vnd.amazon.eventstream" if job.entry.path.endswith(BEDROCK_STREAM) else "text/event-stream"
        headers = {"content-type": kind, "cache-control": "no-cache", "transfer-encoding": "chunked"}
        for name, value in {**headers, **self._request_id(job), **job.reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for number, event in enumerate(job.events()):
            if number == job.reply.cut_after:
                self._cut(job)
                return
            if number == job.reply.error_after:
                self._event(self._stream_error())
                break
            if number and job.reply.chunk_delay:
                self._wait(job.reply.chunk_delay)
            self._gone()
            self._event(event)
            job.told(event.told)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _event(self, event: Event) -> None:
        data = event.data if isinstance(event.data, str) else json.dumps(event.data)
        if self.path.endswith(BEDROCK_STREAM):
            raw = amazon_frame(data)
        else:
            raw = ((f"event: {event.name}\n" if event.name else "") + f"data: {data}\n\n").encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))
        self.wfile.flush()

    def _wait(self, seconds: float) -> None:
        """Sleep, but notice at once when the client goes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], left)
            if readable:
                self._gone()
                time.sleep(min(left, 0.01))

    def _gone(self) -> None:
        """Raise if the client has closed: what would be written now reaches nobody."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise ClientLeftError

    def _cut(self, job: Job) -> None:
        job.entry.cut = True
        self.close_connection = True
        hang_up(self.connection)

    def _request_id(self, job: Job) -> dict[str, str]:
        name = "request-id" if job.entry.api.startswith("anthropic") else "x-request-id"
        return {name: f"req_{job.entry.number:06d}"}

    @property
    def _anthropic(self) -> bool:
        return is_anthropic(unquote(urlsplit(self.path).path))

    def _stream_error(self) -> Event:
        from costspan.demo.exchange import Event

        if self._anthropic:
            return Event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
        return Event({"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}})

    def _error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        kinds = ERRORS.get(status, ("server_error", "api_error"))
        body: dict[str, Any] = {"error": {"message": message, "type": kinds[0], "param": None, "code": kinds[1]}}
        if self._anthropic:
            body = {"type": "error", "error": {"type": kinds[1], "message": message}, "request_id": "req_error"}
        self._json(status, body, headers)

    def _json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
