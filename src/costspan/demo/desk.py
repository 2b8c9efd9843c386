"""What the provider does with one request, whatever the transport: read it, choose a reply, count it, write the answer."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costspan.demo.exchange import Answer, Ask, Meter, dated, sample
from costspan.demo.paths import of_path
from costspan.demo.provider_log import Book
from costspan.demo.replies import DEFAULT, Scripts, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from costspan.demo.exchange import Event
    from costspan.demo.paths import Wire
    from costspan.demo.provider_log import Entry
    from costspan.demo.replies import Reply
    from costspan.records import Usage


@dataclass(slots=True)
class Job:
    """One request at the desk: what to answer, and the log's entry to fill in while answering."""

    wire: Wire
    reply: Reply
    answer: Answer
    entry: Entry

    def body(self) -> dict[str, Any]:
        return self.wire.write(self.answer)

    def events(self) -> Iterator[Event]:
        assert self.wire.stream is not None
        return self.wire.stream(self.answer)

    def told(self, usage: Usage | None) -> None:
        """Note that this usage has reached the client's socket."""
        if usage is not None:
            self.entry.told_usage = usage
            self.entry.told = usage == self.entry.usage

    @property
    def tells_whole(self) -> Usage | None:
        """The usage that a whole (not streamed) answer carries."""
        return None if self.reply.omit_usage or self.wire.free else self.answer.usage


class Desk:
    """Takes requests and makes answers; everything that is drawn depends on the seed, the agent and its n-th request only."""

    def __init__(self, seed: int, log_file: Path | None = None) -> None:
        self.scripts = Scripts()
        self.book = Book(log_file)
        self._meter = Meter(seed)
        self._lock = threading.Lock()
        self._per_agent: Counter[str] = Counter()

    def take(self, wire: Wire, path: str, body: dict[str, Any], *, batch: bool = False) -> Job:
        """Open the log's entry for a request and decide what it gets."""
        ask = wire.read({**body, **of_path(path)})
        if wire.free:
            ask = Ask(api="anthropic.count_tokens", model=ask.model, messages=ask.messages, tools=ask.tools, body=body)
        if path.startswith("/gateway/"):
            ask = dataclasses.replace(ask, include_usage=False)
        if "/openai/deployments/" in path:
            ask = dataclasses.replace(ask, azure=True)
        entry = self.book.start(ask.api, path)
        reply = DEFAULT if wire.free else self.scripts.next(ask.agent)
        if batch:
            reply = dataclasses.replace(reply, service_tier="batch")
        answer = self._answer(ask, reply, wire, entry.number)
        entry.batch = batch
        billed = (reply.status < 400 if reply.billed is None else reply.billed) and not wire.free
        entry.agent, entry.model_asked, entry.stream = ask.agent, ask.model, ask.stream
        entry.status, entry.billed = reply.status, billed
        entry.usage = answer.usage if billed else None
        entry.tools_offered = tuple(name for name, _ in ask.tools)
        entry.results = ask.results
        entry.include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        if reply.status < 400 and reply.raw_body is None:
            entry.model_returned, entry.response_id = answer.model, answer.response_id or None
            entry.tools_asked = tuple(call.name for call in answer.tool_calls)
            entry.stated_cost_usd, entry.web_searches = reply.stated_cost_usd, reply.web_searches
            entry.service_tier = reply.service_tier or ("standard" if ask.api.startswith("anthropic") else "default")
        return Job(wire, reply, answer, entry)

    def _answer(self, ask: Ask, reply: Reply, wire: Wire, number: int) -> Answer:
        with self._lock:
            self._per_agent[ask.agent] += not wire.free
            turn = self._per_agent[ask.agent]
        calls = reply.tool_calls or self._calls(ask, reply)
        text = reply.text
        if text is None:
            text = "" if calls else self._text(ask, turn)
        usage = reply.usage or self._meter.usage(ask, "" if ask.api == "openai.embeddings" else text, calls, turn)
        marked = "".join(letter if letter.isalnum() else "-" for letter in ask.agent)
        identity = reply.response_id or f"{wire.prefix}{marked}-{number:06d}"
        return Answer(
            ask=ask,
            reply=reply,
            number=number,
            text=text,
            tool_calls=calls,
            usage=usage,
            model=reply.model or dated(ask.model),
            response_id=identity if wire.prefix else "",
            created=int(time.time()),
            finish=reply.finish or ("tool_use" if calls else "stop"),
        )

    def _text(self, ask: Ask, turn: int) -> str:
        if ask.schema is None:
            return self._meter.words(ask.agent, turn)
        return json.dumps(sample(ask.schema) if ask.schema else {"answer": "fine"})

    @staticmethod
    def _calls(ask: Ask, reply: Reply) -> tuple[ToolCall, ...]:
        """A forced tool is called, with arguments that fit its schema."""
        if reply.text is not None or ask.forced_tool is None or not ask.tools:
            return ()
        name = ask.forced_tool or ask.tools[-1][0]
        schema = dict(ask.tools).get(name, {})
        return (ToolCall(name, sample(schema) if schema else {}),)
