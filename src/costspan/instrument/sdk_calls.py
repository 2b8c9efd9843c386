"""One request of a provider's SDK, from the call of the client's `request` method to the end of its answer.

What the OpenAI and Anthropic files share; `sdk_hooks.py` calls it from inside the SDK, `stream.py` from the host's reading.
Every method that is called beside the host's own code is guarded.

A request inside a framework's call that is open (see `Unit.told`) opens no span of its own. The official GenAI
instrumentations have a similar protocol by a Context key; it is not joined, because a value there makes them drop the
user's own spans, metrics and content. Spans that they write beside ours are folded by `account/dedupe.py`.
"""

from __future__ import annotations

import time
import weakref
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry import context as otel_context

from costspan import conventions as c
from costspan import guard
from costspan.instrument import answer
from costspan.instrument.heard import Heard
from costspan.instrument.spans import SWITCH, Unit
from costspan.instrument.stream import AsyncBody, AsyncReader, SyncBody, SyncReader, stands_for
from costspan.instrument.unsent import never_left
from costspan.normalise.extracted import Extracted
from costspan.records import CALL, MISSING

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from costspan.instrument.spans import Spans

RAW_HEADER: Final = "X-Stainless-Raw-Response"
"""Set by `with_raw_response` ("true") and `with_streaming_response` ("stream") in both SDKs."""
_IN_WORDS: Final = frozenset({c.CHAT, c.TEXT_COMPLETION, c.EMBEDDINGS})
"""Operations whose usage can be estimated from texts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for, as far as it matters here.

    `asked_usage`: we have asked the provider for the usage of a stream, and hide it from the host. `later` marks the asking
    for, and reading of, what is told later: results of a batch, an answer made in the background. `words` is the request's
    number, see `request_hash.py`.
    """

    operation: str
    provider: str
    model: str | None
    stream: bool = False
    raw: str | None = None
    asked_usage: bool = False
    later: bool = False
    lengths: str | None = None
    words: str | None = None


class Told(Protocol):
    """Collects what the provider tells of one request. `ended`: the answer is complete."""

    ended: bool

    def note(self, data: dict[str, Any], *, stream: bool) -> None:
        """A body, or an event of a stream, as parsed JSON."""

    def found(self) -> Extracted | None:
        """Everything so far; None when nothing was told."""


class Sdk(Protocol):
    """What a provider's file gives: how its requests and answers are to be read."""

    name: str

    def ask(self, client: Any, options: Any, *, stream: bool) -> Ask | None:
        """What this request asks for; None when it is no model call."""

    def told(self) -> Told:
        """An empty collector."""

    def with_usage_asked(self, options: Any) -> Any:
        """A copy of the request that asks for the usage of its stream."""

    def whole(self, data: dict[str, Any], ask: Ask, context: Context) -> None:
        """The answer to a question about a batch has come."""

    def item(self, item: Any, ask: Ask, context: Context) -> None:
        """An item of a batch's results has been read by the host."""


MAKING: Final[ContextVar[SdkCall | None]] = ContextVar("costspan.sdk_call", default=None)
"""The request that is being made, between the call of `request` and its return."""


class SdkCall:
    """One model call through an SDK: a span of its own, or a deposit on the span of a framework's call."""

    __slots__ = (
        "__weakref__", "_final", "_open", "_reader", "_skip", "_told", "_unclaimed", "apart", "ask", "attempt_ns", "before",
        "began", "context", "first_ns", "heard", "looks_at_items", "reading", "retries", "sdk", "started_ns",
        "token", "unit", "unsent",
    )  # fmt: skip

    def __init__(self, sdk: Sdk, ask: Ask, context: Context) -> None:
        self.sdk = sdk
        self.ask = ask
        self.context = context
        self.unit: Unit | None = None
        self.began = self.reading = self.unsent = self.apart = self._skip = False
        self.looks_at_items = ask.asked_usage or ask.later
        """Whether `hidden` has anything to do."""
        self.retries = 0
        self.first_ns = 0
        self.started_ns = self.attempt_ns = time.time_ns()
        self.before: SdkCall | None = None
        self.token: Any = None
        self._told: Told | None = sdk.told()
        self._final: dict[str, Any] | None = None
        self.heard: Heard | None = None
        self._open = [True]
        self._unclaimed = [True]
        self._reader: weakref.ref[Any] | None = None

    @property
    def is_open(self) -> bool:
        """It has not ended yet."""
        return bool(self._open)

    @property
    def provider(self) -> str:
        """See `Deposit`."""
        return self.ask.provider

    @property
    def model(self) -> str | None:
        """See `Deposit`."""
        return self.ask.model

    # --- while the request is made -------------------------------------------------------------------
    def enter(self) -> None:
        """Make the request current, for what the SDK and other instrumentations do inside it."""
        self.before = MAKING.get()
        MAKING.set(self)
        if self.unit is not None:
            self.token = otel_context.attach(self.unit.context)

    def leave(self) -> None:
        """Undo `enter`; not where a coroutine is closed in another context than the one it ran in."""
        if MAKING.get() is self:
            MAKING.set(self.before)
            if self.token is not None:
                otel_context.detach(self.token)
        self.before = self.token = None

    @guard.guarded("sdk.retry")
    def retried(self, error: BaseException | None) -> None:
        """An attempt has failed and another follows. `error` is None where the provider answered with an error status.

        An attempt whose answer was lost may have been billed: it is a call of its own, with unknown usage.
        """
        self.retries += 1
        began, self.attempt_ns = self.attempt_ns, time.time_ns()
        spans = SWITCH.spans
        if error is None or spans is None or not self.is_open:
            return
        if never_left(error):
            return
        unit = spans.open(CALL, self.ask.model, context=self.context, attributes=self.opening(), started_ns=began)
        spans.close(unit, {c.MISSING_REASON: "error", c.RETRY_COUNT: self.retries - 1}, error=error.__cause__ or error)

    def opening(self) -> dict[str, Any]:
        """The attributes that a span of this call starts with."""
        ask = self.ask
        attributes: dict[str, Any] = {c.OPERATION_NAME: ask.operation, c.PROVIDER_NAME: ask.provider}
        if ask.model:
            attributes[c.REQUEST_MODEL] = ask.model
        if ask.stream:
            attributes[c.REQUEST_STREAM] = True
        if ask.lengths:
            attributes[c.REQUEST_LENGTHS] = ask.lengths
        if ask.words:
            attributes[c.REQUEST_HASH] = ask.words
        return attributes

    # --- what is told --------------------------------------------------------------------------------
    def note(self, data: Any) -> None:
        """A body or an event has been parsed by the SDK. May take the usage that only we have asked for out of it.

        The one method here without a guard of its own, as it runs for every event of a stream: its callers have one.
        """
        told = self._told
        if told is None or not self._open or type(data) is not dict:
            return
        if not self.began:
            self.began = True
            self.first_ns = time.time_ns()
        if self.ask.later:
            self.sdk.whole(data, self.ask, self.context)
            return
        told.note(data, stream=self.ask.stream)
        if self.heard is not None:
            self.heard.answer(data)
        if self.ask.asked_usage and "usage" in data:
            self._skip = not data.get("choices")
            if not self._skip:
                del data["usage"]

    @guard.guarded("sdk.unparsed")
    def unparsed(self, found: list[object]) -> None:
        """What a body said that the host has read past the SDK's parsers."""
        for data in found:
            self.note(data)

    @guard.guarded("sdk.item")
    def hidden(self, item: Any) -> bool:
        """True for the chunk that the host has not asked for. An item of a batch's results is counted in passing."""
        if self._skip:
            self._skip = False
            return True
        if self.ask.later:
            self.sdk.item(item, self.ask, self.context)
        return False

    # --- the end -------------------------------------------------------------------------------------
    @guard.guarded("sdk.left")
    def left(self) -> None:
        """The host has closed or dropped the answer: an abort, unless there was nothing more to come."""
        told = self._told
        self.end(None if told is not None and told.ended else GeneratorExit())

    @guard.guarded("sdk.end")
    def end(self, error: BaseException | None = None) -> None:
        """Close the span; what is unknown by now stays unknown. Only the first call counts, from whatever thread."""
        try:
            self._open.pop()
        except IndexError:
            return
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        found = self._found()
        final = self._final = self._answer(found, error)
        self._told = None
        unit, self.unit = self.unit, None
        spans = SWITCH.spans
        if spans is None:
            return  # `disable()` has ended what was open
        if unit is None and self.apart and final.get(c.USAGE_SOURCE, MISSING) != MISSING and self.claim():
            unit = spans.open(CALL, self.ask.model, context=self.context, attributes=self.opening(), started_ns=self.started_ns)
        if unit is not None:
            spans.close(unit, final, error=error)
        if found is not None and found.side_usages:
            side_calls(spans, found, self.context, self.opening(), self.started_ns)

    def claim(self) -> bool:
        """See `Deposit`."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def _found(self) -> Extracted | None:
        return None if self._told is None else self._told.found()

    def attributes(self) -> dict[str, Any]:
        """What a framework's call may take from this one, at whatever moment."""
        if self._final is not None:
            return self._final
        found = self._found()
        return self._completed({} if found is None else answer.told(found), None)

    def _answer(self, found: Extracted | None, error: BaseException | None) -> dict[str, Any]:
        final: dict[str, Any] = {} if found is None else answer.told(found)
        if self.ask.stream and self.first_ns:
            final[c.TIME_TO_FIRST_CHUNK] = max(0, self.first_ns - self.started_ns) / 1e9
        if self.retries:
            final[c.RETRY_COUNT] = self.retries
        if error is not None and not self.began and never_left(error):
            self.unsent = True
            final[c.MISSING_REASON] = c.NOT_SENT
        elif error is not None:
            ended = self._told is not None and (self._told.ended or not self.ask.stream)
            known = final.get(c.USAGE_SOURCE, MISSING) != MISSING
            final |= answer.why_unhappy(error, known=known, began=self.began, ended=ended)
        return self._completed(final, error)

    def hear(self, body: Any) -> None:
        """Keep the texts of this call until its end, where estimates are switched on."""
        if SWITCH.estimate and self.ask.operation in _IN_WORDS and not self.ask.later:
            self.heard = Heard()
            self.heard.request(body)

    def _completed(self, final: dict[str, Any], error: BaseException | None) -> dict[str, Any]:
        """With an estimate, where that is switched on: of what was answered, though nobody told how much it was."""
        if self.heard is not None and (self.began or error is None):
            whole = error is None and (self._told is None or self._told.ended or not self.ask.stream)
            self.heard.complete(final, model=self.ask.model, whole=whole)
        return final

    # --- streams -------------------------------------------------------------------------------------
    def reader(self, stream: Any, *, dropped_ends: bool) -> Any:
        """What the host gets for a stream object; the same thing each time that it asks a raw response.

        None where a stand-in would show: old versions of the Anthropic SDK know their streams by exact type only. The body
        tells of their end then, which may be as late as the garbage collector comes by.
        """
        known = None if self._reader is None else self._reader()
        if known is not None and stands_for(known) is stream:
            return known
        kind = AsyncReader if hasattr(type(stream), "__anext__") else SyncReader
        made = kind(stream, self, dropped_ends=dropped_ends)
        if not isinstance(made, type(stream)):
            return None
        self._reader = weakref.ref(made)
        return made

    def watch(self, response: Any, kind: type[SyncBody | AsyncBody]) -> None:
        """Watch the bytes of a response that has not been read yet."""
        encoding = response.headers.get("content-encoding") or ""
        response.stream = kind(response.stream, self, encoding=encoding)


def side_calls(spans: Spans, found: Extracted, context: Context, opening: dict[str, Any], started_ns: int | None = None) -> None:
    """Passes that the provider billed beside an answer (compaction, an advisor) are calls of their own, at the same tier.

    `opening` are the attributes that the answer's own span began with; nothing was sent for the passes.
    """
    for side in found.side_usages:
        attributes = {name: value for name, value in opening.items() if name not in {c.REQUEST_LENGTHS, c.REQUEST_HASH}}
        if side.model:
            attributes[c.REQUEST_MODEL] = side.model
        model = attributes.get(c.REQUEST_MODEL)
        unit = spans.open(CALL, model, context=context, attributes=attributes, started_ns=started_ns)
        spans.close(unit, answer.told(Extracted(side.usage, provider=found.provider, service_tier=found.service_tier)))


def of(response: Any) -> SdkCall | None:
    """The call that a response belongs to, by its watched body."""
    found = getattr(getattr(response, "stream", None), "_self_call", None)
    return found if isinstance(found, SdkCall) else None
