"""Anthropic's SDK: messages, beta messages, streams and batches; its clients for Bedrock, Vertex and other clouds.

The SDK writes spans of its own from version 2 on (scope `com.anthropic.sdk.python`); they are folded into ours.
Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/batch-processing.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan.instrument import answer, sdk_hooks
from costspan.instrument.patch import Patches
from costspan.instrument.request_hash import request_hash
from costspan.instrument.request_shape import lengths
from costspan.instrument.sdk_calls import Ask, side_calls
from costspan.instrument.spans import SWITCH
from costspan.normalise import usage_anthropic
from costspan.normalise.extracted import peek
from costspan.normalise.usage import extract
from costspan.records import CALL

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from costspan.normalise.extracted import Extracted

_RESULTS_MAX: Final = 100_000
"""Results of batches that are remembered, so that reading them again counts nothing."""
_CLOUDS: Final = (("Bedrock", "aws.bedrock"), ("Vertex", "gcp.vertex_ai"), ("Foundry", "azure.ai.inference"))


class Told:
    """What one request was told: a message, or the events of a stream that carry counts."""

    __slots__ = ("ended", "events", "whole")

    def __init__(self) -> None:
        self.ended = False
        self.whole: dict[str, Any] | None = None
        self.events: list[dict[str, Any]] = []

    def note(self, data: dict[str, Any], *, stream: bool) -> None:
        """A message or an event; pieces of content are passed by."""
        if not stream:
            self.whole = data
            self.ended = True
            return
        kind = data.get("type")
        if kind == "message_start":
            self.events = [data]
        elif kind == "message_delta":
            self.events.append(data)
            delta = data.get("delta")
            if type(delta) is dict and delta.get("stop_reason"):
                self.ended = True
        elif kind == "message_stop":
            self.ended = True

    def found(self) -> Extracted | None:
        """Everything so far."""
        whole = self.whole
        if whole is not None:
            # Mostly what it looks like; what a gateway answers may have other usage in it.
            plain = peek(whole, "type") == "message" and usage_anthropic.is_usage(peek(whole, "usage"))
            return usage_anthropic.from_response(whole) if plain else extract(whole)
        return usage_anthropic.from_stream(self.events) if self.events else None


class Anthropic:
    """How Anthropic's requests and answers are read, and the adapter that the registry switches on."""

    name = "anthropic"

    def __init__(self) -> None:
        self._patches = Patches()
        self._results: OrderedDict[str, None] = OrderedDict()

    def switch_on(self) -> None:
        self._patches.apply(sdk_hooks.points(self, "anthropic"))

    def switch_off(self) -> None:
        self._patches.undo()

    def told(self) -> Told:
        return Told()

    def ask(self, client: Any, options: Any, *, stream: bool) -> Ask | None:
        """The call that these options make: a POST of messages or of a legacy completion, or the reading of a batch."""
        path = str(options.url).partition("?")[0].rstrip("/")
        method = str(options.method).lower()
        if method == "get" and path.endswith("/results") and "/messages/batches/" in path:
            return Ask(c.CHAT, provider_of(client), None, later=True)
        if method != "post" or not path.endswith(("/messages", "/complete")):
            return None
        body = options.json_data
        get = body.get if isinstance(body, dict) else {}.get
        model = get("model")
        return Ask(
            c.CHAT if path.endswith("/messages") else c.TEXT_COMPLETION,
            provider_of(client),
            model if isinstance(model, str) else None,
            stream=stream or get("stream") is True,
            lengths=lengths(get("messages"), None, get("system")),
            words=request_hash(model, get("messages"), get("system"), get("prompt")),
        )

    def with_usage_asked(self, options: Any) -> Any:
        """Anthropic always tells."""
        return options

    def whole(self, data: dict[str, Any], ask: Ask, context: Context) -> None:
        """The results of a batch come line by line, see `item`."""

    def item(self, item: Any, ask: Ask, context: Context) -> None:
        """One result of a batch has been read: a call, billed at the price of batches, the first time that it is seen."""
        spans = SWITCH.spans
        message = peek(peek(item, "result"), "message")
        ident = peek(message, "id")
        if spans is None or message is None or ident in self._results:
            return
        if isinstance(ident, str):
            self._results[ident] = None
            if len(self._results) > _RESULTS_MAX:
                self._results.popitem(last=False)
        found = extract(message, provider="anthropic")
        attributes: dict[str, Any] = {c.OPERATION_NAME: c.CHAT, c.PROVIDER_NAME: ask.provider, c.BATCH: True}
        if found.model:
            attributes[c.REQUEST_MODEL] = found.model
        opening = dict(attributes)
        unit = spans.open(CALL, found.model, context=context, attributes=attributes)
        spans.close(unit, answer.told(found))
        side_calls(spans, found, context, opening)


def provider_of(client: Any) -> str:
    """Who answers this client, by its class."""
    return _answering(type(client))  # type: ignore[arg-type]  # mypy does not know that classes have hashes


@lru_cache(maxsize=64)
def _answering(made_by: type) -> str:
    for kind in made_by.__mro__:
        if kind.__module__.partition(".")[0] == "anthropic":
            for word, provider in _CLOUDS:
                if word in kind.__name__:
                    return provider
    return "anthropic"


def adapter() -> Anthropic:
    """What the registry asks every framework file for."""
    return Anthropic()
