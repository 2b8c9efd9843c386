"""What comes in: decoded, normalised, written, and only then acknowledged. One thread, so that order and memory are certain.

Requests that arrive while one is being written share the next transaction. Nothing is acknowledged that is not on disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan import guard
from costspan.conventions import METERED, METERED_ROAD, OTLP
from costspan.errors import CostspanError, HistoryError
from costspan.history.span_store import TIME_MAX
from costspan.intake.otlp import decode_json, decode_protobuf
from costspan.normalise.dialects import read
from costspan.server.errors import RefusedError, busy, malformed
from costspan.server.limits import INFLIGHT_BYTES_MAX, SPANS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from costspan.history.store import Store
    from costspan.readings import Reading, SpanRecord
    from costspan.server.settle import Settler

    Pair = tuple[SpanRecord, Reading | None]

GROUP_BYTES: Final = 4 << 20
"""Requests of so many bytes together share a transaction."""
TICK_SECONDS: Final = 0.25
BACKOFF_SECONDS: Final = 5.0
_INT_MAX: Final = (1 << 63) - 1


_LOSSES: Final = ("left out", "not valid", "ends in the middle", "ends early")
"""Words by which the reader of OTLP says that something is missing; other remarks are merely odd."""


class Taken(NamedTuple):
    """The answer to a request that is on disk: how many spans of it could not be taken, and why."""

    spans: int
    rejected: int = 0
    message: str = ""


class Parcel:
    """One request: unpacked OTLP bytes, and who waits for the answer."""

    __slots__ = ("answer", "data", "is_json", "raw")

    def __init__(self, data: bytes, *, is_json: bool) -> None:
        self.data = data
        self.is_json = is_json
        self.answer: Future[Taken] = Future()


class Inbox:
    """`put` may be called from any thread; the thread that `start` begins does the work.

    `forward` is told of the bytes of every parcel that is on disk, with the trace ids in it.
    """

    def __init__(
        self,
        store: Store,
        settler: Settler,
        *,
        forward: Callable[[Parcel, set[int]], None] | None = None,
        housekeeping: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._settler = settler
        self._forward = forward
        self._housekeeping = housekeeping
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="costspan-inbox", daemon=True)
        self._stopping = False
        self._settle_after = 0.0
        self.counts: Counter[str] = Counter()
        self.trouble = ""
        """The line that says why nothing can be written; empty while all is well."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Write what has come, settle what has ended, and end the thread."""
        self._stopping = True
        self._parcels.put(None)
        self._thread.join(timeout_seconds)

    def put(self, parcel: Parcel) -> Future[Taken]:
        """Hand over a request. Raises RefusedError when too much is waiting already."""
        size = len(parcel.data)
        with self._lock:
            if self._stopping or self._bytes + size > INFLIGHT_BYTES_MAX:
                self.counts["refused_busy"] += 1
                raise busy("this server is stopping" if self._stopping else "too much is waiting to be written; come again")
            self._bytes += size
        parcel.answer.add_done_callback(lambda _: self._done(size))
        self._parcels.put(parcel)
        return parcel.answer

    def _done(self, size: int) -> None:
        with self._lock:
            self._bytes -= size

    # --- the thread --------------------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            parcels = self._next()
            if parcels:
                with guard.Guard("server.inbox"):
                    self._take(parcels)
                for parcel in parcels:
                    if not parcel.answer.done():
                        parcel.answer.set_exception(busy("this server could not write the request; come again"))
            elif self._stopping:
                break
            self._settle()
        with guard.Guard("server.stop"):
            self._settler.stop()

    def _next(self) -> list[Parcel]:
        """The waiting requests, up to `GROUP_BYTES`; none after a moment without any."""
        found: list[Parcel] = []
        size = 0
        try:
            while size < GROUP_BYTES:
                parcel = (
                    self._parcels.get(timeout=TICK_SECONDS) if not found and not self._stopping else self._parcels.get_nowait()
                )
                if parcel is not None:
                    found.append(parcel)
                    size += len(parcel.data)
        except queue.Empty:
            pass
        return found

    def _take(self, parcels: list[Parcel]) -> None:
        decoded: list[tuple[Parcel, list[Pair], Taken]] = []
        for parcel in parcels:
            try:
                pairs, taken = decode(parcel)
            except RefusedError as refusal:
                self.counts["refused_malformed"] += 1
                parcel.answer.set_exception(refusal)
            else:
                decoded.append((parcel, pairs, taken))
        now_ns = time.time_ns()
        try:
            self._store.add_spans([pairs for _, pairs, _ in decoded if pairs], seen_ns=now_ns)
        except HistoryError as error:
            self._cannot_write(error, [parcel for parcel, _, _ in decoded])
            return
        self._writes_again()
        for parcel, pairs, taken in decoded:
            traces = {record.trace_id for record, _ in pairs} if self._forward is not None else set()
            self._settler.add(pairs, now_ns)
            if self._forward is not None:
                with guard.Guard("server.forward"):
                    self._forward(parcel, traces)
            self.counts["requests"] += 1
            self.counts["spans"] += taken.spans
            self.counts["rejected_spans"] += taken.rejected
            parcel.answer.set_result(taken)

    def _cannot_write(self, error: HistoryError, parcels: list[Parcel]) -> None:
        """Nobody is told that his spans are safe: he keeps them and comes again."""
        self.counts["failed_writes"] += 1
        if not self.trouble:
            guard.warn_once(f"server.write {error}", str(error))
        self.trouble = str(error)
        for parcel in parcels:
            parcel.answer.set_exception(busy(str(error)))

    def _writes_again(self) -> None:
        self.trouble = ""

    def _settle(self) -> None:
        now = time.monotonic()
        if now < self._settle_after:
            return
        try:
            more = self._settler.tick(time.time_ns())
        except CostspanError as error:
            self.counts["failed_settles"] += 1
            self.trouble = str(error)
            guard.warn_once(f"server.settle {error}", str(error))
            self._settle_after = now + BACKOFF_SECONDS
            return
        except Exception as error:  # noqa: BLE001 - handed to the guard's book; one bad trace must not end the thread
            guard.note("server.settle", error)
            self._settle_after = now + BACKOFF_SECONDS
            return
        self._settle_after = 0.0 if more else now + TICK_SECONDS
        if not more and self._housekeeping is not None:
            with guard.Guard("server.housekeeping"):
                self._housekeeping()


def decode(parcel: Parcel) -> tuple[list[Pair], Taken]:
    """The spans of a request with what they mean. Raises RefusedError when nothing of it can be read."""
    problems: list[str] = []
    rejected = 0
    pairs: list[Pair] = []
    for record in _records(parcel, problems):
        if not record.trace_id or not record.span_id:
            rejected += 1
            problems.append("a span has no trace id or no span id")
        elif len(pairs) >= SPANS_MAX:
            rejected += 1
            problems.append(f"more than {SPANS_MAX:,} spans in one request")
        else:
            pairs.append((record, _reading(sane(record))))
    lost = [problem for problem in problems if any(word in problem for word in _LOSSES)]
    if lost and not pairs and not rejected:
        message = f"not an OTLP trace request: {lost[0]}"
        raise malformed(message)
    rejected = max(rejected, len(lost))
    return pairs, Taken(len(pairs), rejected, (lost or problems)[0] if rejected else "")


def _records(parcel: Parcel, problems: list[str]) -> Iterator[SpanRecord]:
    def note(offset: int, reason: str) -> None:
        if len(problems) < SPANS_MAX:
            problems.append(f"byte {offset:,}: {reason}")

    try:
        yield from (decode_json if parcel.is_json else decode_protobuf)(parcel.data, note)
    except (ValueError, RecursionError, CostspanError) as error:
        problems.append(f"not valid: {error}")


@guard.guarded("server.read")
def _reading(record: SpanRecord) -> Reading | None:
    reading = read(record)
    if reading is not None and record.attributes.get(METERED) is True:
        # Written on its way out by a costspan in that process, whoever opened the span. Metrics that came here were dropped.
        reading.metered = record.attributes.get(METERED_ROAD) != OTLP
    return reading


def sane(record: SpanRecord) -> SpanRecord:
    """The span within the bounds of OTLP, which JSON does not keep by itself: 64-bit times and counts."""
    if not 0 <= record.start_ns <= TIME_MAX:
        record.start_ns = min(max(0, record.start_ns), TIME_MAX)
    if not 0 <= record.end_ns <= TIME_MAX:
        record.end_ns = min(max(0, record.end_ns), TIME_MAX)
    for name, value in record.attributes.items():
        if type(value) is int and not -_INT_MAX <= value <= _INT_MAX:
            record.attributes = {key: kept for key, kept in record.attributes.items() if key != name}
            return sane(record)
    return record
