"""The texts of one call, kept until it ends and only where estimates are switched on: see `normalise/estimate.py`.

Plain values are looked at and nothing else: a generator or an object of the host's own is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan import guard
from costspan.normalise.estimate import Texts, estimate
from costspan.normalise.span_costspan import usage_attributes, usage_from
from costspan.records import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable

CHARACTERS_MAX: Final = 20_000_000
"""Beyond this many characters nothing more is kept of a call, and its estimate has low confidence."""
DEPTH_MAX: Final = 8
"""Deeper than any provider's shape."""
_REQUEST: Final = ("system", "instructions", "messages", "input", "prompt")
_ANSWER: Final = ("choices", "content", "output", "completion")
_WORDS: Final = frozenset({
    "text", "content", "thinking", "reasoning", "reasoning_content", "refusal", "arguments", "partial_json", "output",
    "summary", "name", "system", "completion",
})  # fmt: skip
"""Keys whose texts a model reads or writes."""
_HOLDERS: Final = frozenset({"message", "delta", "function", "tool_calls", "function_call", "parts"})
_TOOL_MARKS: Final = frozenset({"tool_calls", "function_call", "tool_call_id", "tool_use_id"})
_TOOL_TYPES: Final = frozenset({"tool_use", "tool_result", "function_call", "function_call_output", "input_json_delta"})


class Heard:
    """Collects the texts of a request and of its answer, whole or piece by piece."""

    __slots__ = ("_left", "answered", "asked", "ended", "messages", "tools")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.messages = 0
        self.tools = False
        self.ended = False
        self._left = CHARACTERS_MAX

    def request(self, body: Any) -> None:
        """What is sent, as the SDK serialises it."""
        if not isinstance(body, dict):
            return
        for key in _REQUEST:
            part = body.get(key)
            if part:
                self.messages += len(part) if isinstance(part, list) else 1
                self._gather(part, self.asked, 0)
        self.tools = self.tools or bool(body.get("tools") or body.get("functions"))

    def answer(self, data: Any) -> None:
        """A whole answer, or an event or chunk of a stream."""
        if not isinstance(data, dict):
            return
        kind, delta = data.get("type"), data.get("delta")
        if isinstance(delta, str):  # the responses API's `….delta` events
            self._keep(delta, self.answered)
            self.tools = self.tools or "function_call" in str(kind)
        elif delta is not None:
            self._gather(delta, self.answered, 0)
        elif data.get("object") == "response" or not str(kind or "").startswith("response."):
            for key in _ANSWER:
                if data.get(key):
                    self._gather(data[key], self.answered, 0)

    @guard.guarded("heard.said")
    def said(self, token: object) -> None:
        """A piece of an answer, as a framework hands it out: a text, or a list of content blocks."""
        self._gather(token, self.answered, 0)

    def result(self, result: Any) -> None:
        """A framework's whole answer (LangChain's LLMResult), in place of its pieces."""
        self.answered.clear()
        for choices in getattr(result, "generations", None) or ():
            for choice in choices:
                message = getattr(choice, "message", None)
                if message is None:
                    self._gather(getattr(choice, "text", None), self.answered, 0)
                else:
                    self._gather(_plain(message), self.answered, 0)

    def _keep(self, text: str, where: list[str]) -> None:
        self._left -= len(text)
        if self._left >= 0:
            where.append(text)

    def _gather(self, part: Any, where: list[str], depth: int) -> None:
        kind = type(part)
        if kind is str:
            self._keep(part, where)
        elif depth > DEPTH_MAX:
            return
        elif kind is list:
            for each in part:
                self._gather(each, where, depth + 1)
        elif kind is dict:
            self.tools = self.tools or not _TOOL_MARKS.isdisjoint(part) or part.get("type") in _TOOL_TYPES
            for key, value in part.items():
                if key in _WORDS or key in _HOLDERS:
                    self._gather(value, where, depth + 1)
                elif key in {"input", "args"} and type(value) is dict:
                    self._keep(str(value), where)

    def complete(self, attributes: dict[str, Any], *, model: str | None, whole: bool) -> None:
        """Put an estimate into a call's attributes where the provider told no usage, or only a part of it."""
        known = attributes.get(c.USAGE_SOURCE, MISSING) != MISSING or attributes.get(c.CACHE_HIT)
        if known or not (self.asked or self.answered):
            return
        texts = Texts(self.asked, self.messages, ["".join(self.answered)], self.tools, whole and self._left >= 0)
        made = estimate(texts, model=attributes.get(c.RESPONSE_MODEL) or model, told=usage_from(attributes))
        attributes.update(usage_attributes(made.usage))
        attributes[c.ESTIMATOR] = made.estimator


def of_messages(messages: Iterable[Any], params: Any) -> Heard:
    """The texts of a conversation in LangChain's messages."""
    heard = Heard()
    heard.request({"messages": [_plain(message) for message in messages]})
    heard.tools = heard.tools or (isinstance(params, dict) and bool(params.get("tools") or params.get("functions")))
    return heard


def _plain(message: Any) -> dict[str, Any]:
    fields = {name: getattr(message, name, None) for name in ("content", "tool_calls", "tool_call_id")}
    return {name: value for name, value in fields.items() if value}
