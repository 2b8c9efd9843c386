"""Forwarding to an upstream OTLP endpoint (a Collector, Tempo, Jaeger, Langfuse ...), with cost on the spans of model calls.

A request is held until the traces in it are settled, or for thirty seconds, because only then it is known which span tells
of a call first. While upstream is down requests wait in memory, up to a limit; then the oldest go, and `health` says so.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan import guard
from costspan.pipeline import call_attributes
from costspan.server.upstream import Upstream, annotated, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from costspan.records import Call
    from costspan.server.inbox import Parcel

    Attributes = Mapping[str, str | int | float | bool]

BUFFER_BYTES_MAX: Final = 32 << 20
HOLD_SECONDS: Final = 30.0
NOTES_MAX: Final = 50_000
SETTLED_MAX: Final = 50_000
_STEP_SECONDS: Final = 0.2
_WAIT_MAX_SECONDS: Final = 60.0


class _Held:
    """One request on its way through."""

    __slots__ = ("data", "is_json", "spans", "taken", "traces")

    def __init__(self, parcel: Parcel, traces: set[int], now: float) -> None:
        self.data = parcel.data
        self.is_json = parcel.is_json
        self.traces = traces
        self.taken = now


class Forwarder:
    """`take` and `settled` are called by the inbox's thread; a thread of its own sends.

    `preview` answers with the calls of traces that are still open, for requests that cannot wait any longer.
    """

    def __init__(self, endpoint: str, *, buffer_bytes: int = BUFFER_BYTES_MAX, hold_seconds: float = HOLD_SECONDS) -> None:
        self._upstream = Upstream(endpoint)
        self._buffer_bytes = buffer_bytes
        self._hold_seconds = hold_seconds
        self.preview: Callable[[Iterable[int]], Iterable[Call]] = lambda _: ()
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._notes: OrderedDict[tuple[int, int], Attributes] = OrderedDict()
        self._settled: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="costspan-forward", daemon=True)
        self._failures = 0
        self._failure = ""
        self._wait_until = 0.0
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Send what is there, once, as far as upstream takes it."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._upstream.close()

    def take(self, parcel: Parcel, traces: set[int]) -> None:
        """A request that is on disk here."""
        with self._lock:
            self._held.append(_Held(parcel, traces, time.monotonic()))
            self._bytes += len(parcel.data)
            for trace_id in traces:
                self._settled.pop(trace_id, None)
            while self._bytes > self._buffer_bytes and self._held:
                self._bytes -= len(self._held.popleft().data)
                self.counts["dropped_requests"] += 1

    def settled(self, calls: Iterable[Call], traces: Iterable[int]) -> None:
        """Traces are settled, and these are their calls."""
        with self._lock:
            for call in calls:
                self._note(call)
            for trace_id in traces:
                self._settled[trace_id] = None
            _shorten(self._notes, NOTES_MAX)
            _shorten(self._settled, SETTLED_MAX)

    def _note(self, call: Call) -> None:
        self._notes[(int(call.trace_id, 16), int(call.id, 16))] = call_attributes(call, metered=c.PROMETHEUS)
        for other in call.duplicates:
            self._notes[(int(other.trace_id, 16), int(other.span_id, 16))] = {c.DUPLICATE_OF: call.id}

    def health(self) -> dict[str, object]:
        """Where it goes, what waits, what was lost."""
        return {
            "endpoint": self._upstream.url,
            "ok": not self._failure,
            "trouble": self._failure or None,
            "waiting_requests": len(self._held),
            "waiting_bytes": self._bytes,
            "buffer_bytes": self._buffer_bytes,
            **{name: self.counts[name] for name in ("sent_requests", "dropped_requests", "refused_requests", "failed_tries")},
        }

    # --- the thread --------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stopped.wait(_STEP_SECONDS):
            with guard.Guard("server.forward"):
                self._send_due(everything=False)
        with guard.Guard("server.forward"):
            self._wait_until = 0.0
            self._send_due(everything=True)

    def _send_due(self, *, everything: bool) -> None:
        while time.monotonic() >= self._wait_until:
            held = self._next(everything=everything)
            if held is None:
                return
            if not self._send(held):
                with self._lock:
                    self._held.appendleft(held)
                    self._bytes += len(held.data)
                return

    def _next(self, *, everything: bool) -> _Held | None:
        """The first request that need not wait for its traces any more."""
        with self._lock:
            for place, held in enumerate(self._held):
                old = everything or time.monotonic() - held.taken > self._hold_seconds
                if old or held.traces <= self._settled.keys():
                    del self._held[place]
                    self._bytes -= len(held.data)
                    break
            else:
                return None
        if not held.traces <= self._settled.keys():
            calls = list(self.preview(held.traces))
            with self._lock:
                for call in calls:
                    self._note(call)
        return held

    def _send(self, held: _Held) -> bool:
        """True when the request is out of our hands, sent or refused for good."""
        message = parse(held.data, is_json=held.is_json)
        if message is None:
            self.counts["refused_requests"] += 1
            return True
        with self._lock:
            notes = dict(self._notes)
        outcome = self._upstream.send(annotated(message, notes))
        if outcome.sent or outcome.final:
            self.counts["sent_requests" if outcome.sent else "refused_requests"] += 1
            self._failure = "" if outcome.sent else outcome.why
            self._failures = 0
            return True
        self.counts["failed_tries"] += 1
        self._failures += 1
        if not self._failure:
            guard.warn_once(f"server.forward {self._upstream.url}", f"{outcome.why}; spans wait here until it is back")
        self._failure = outcome.why
        self._wait_until = time.monotonic() + max(
            outcome.wait_seconds, min(2.0 ** min(self._failures - 1, 10), _WAIT_MAX_SECONDS)
        )
        return False


def _shorten(held: OrderedDict[Any, Any], most: int) -> None:
    while len(held) > most:
        held.popitem(last=False)
