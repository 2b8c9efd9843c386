"""What the fake provider is told to answer: `Reply`, and the queues that hand one out per request."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from costspan.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ToolCall(NamedTuple):
    """A tool that the model asks for. `arguments` as a str is sent as it is, so it may be broken JSON."""

    name: str
    arguments: dict[str, Any] | str = "{}"
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How the provider answers one request (one attempt: a retry takes the next reply).

    Everything has a default that a real provider would give; `usage` None is counted from what was sent and answered.

    text               the answer; None: words drawn from the seed, or JSON that fits the schema asked for
    tool_calls         tools the model asks for: `ToolCall`s or (name, arguments) pairs
    usage              what is billed (`costspan.records.Usage`, input and output inclusive)
    raw_usage          the wire's usage object itself, for odd ones (a list, strings, null); `usage` is still what is billed
    web_searches       paid searches, told as Anthropic (`server_tool_use`) and the Responses API (output items) tell them
    stated_cost_usd    put beside the token counts as `usage.cost`, as OpenRouter does
    omit_usage         answer without usage (streams: whatever the client asked for)
    usage_every_chunk  OpenAI chat streams: running usage on every chunk, as some gateways send it
    status             HTTP status; from 400 on nothing is billed, unless `billed` says so
    retry_after        seconds, sent with 408, 409, 429 and 5xx
    raw_body           sent as the whole body with status 200 (unparsable JSON, HTML of a proxy)
    delay              seconds before the first byte
    chunk_delay        seconds between events of a stream
    chunks             pieces into which a streamed text is cut
    cut_after          the connection is cut after this many stream events, or in the midst of a whole body;
                       0 cuts before any byte
    error_after        a stream reports an error of the provider after this many events, and ends
    finish             stop, length, content_filter, refusal; None: what follows from the answer
    model              returned model; None: the dated name of the model asked for
    response_id        None: one of its own
    service_tier       returned tier; None: OpenAI says default, Anthropic standard
    headers            added to the answer's
    billed             None: billed when the status is below 400
    """

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    raw_usage: Any = None
    stated_cost_usd: float | None = None
    web_searches: int = 0
    omit_usage: bool = False
    usage_every_chunk: bool = False
    status: int = 200
    retry_after: float = 0.005
    raw_body: str | None = None
    delay: float = 0.0
    chunk_delay: float = 0.0
    chunks: int = 6
    cut_after: int | None = None
    error_after: int | None = None
    finish: str | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    billed: bool | None = None

    def __post_init__(self) -> None:
        calls = tuple(call if isinstance(call, ToolCall) else ToolCall(*call) for call in self.tool_calls)
        object.__setattr__(self, "tool_calls", calls)


DEFAULT = Reply()


def to_json(reply: Reply) -> dict[str, Any]:
    """A reply as JSON, for a provider in another process."""
    return dataclasses.asdict(reply)


def from_json(data: Mapping[str, Any]) -> Reply:
    """The reply that `to_json` (or a person) wrote; unknown names raise TypeError."""
    usage = data.get("usage")
    calls = tuple(ToolCall(*(call.values() if isinstance(call, dict) else call)) for call in data.get("tool_calls", ()))
    return Reply(**{**data, "tool_calls": calls, "usage": None if usage is None else Usage(**usage)})


class Scripts:
    """Replies waiting to be given: first the agent's own queue, then the queue for anybody, then the standing reply."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str | None, deque[Reply]] = {}
        self._standing: dict[str | None, Reply] = {}

    def add(self, replies: Iterable[Reply], agent: str | None) -> None:
        with self._lock:
            self._queues.setdefault(agent, deque()).extend(replies)

    def always(self, reply: Reply, agent: str | None) -> None:
        with self._lock:
            self._standing[agent] = reply

    def next(self, agent: str) -> Reply:
        with self._lock:
            for queue in (self._queues.get(agent), self._queues.get(None)):
                if queue:
                    return queue.popleft()
            return self._standing.get(agent) or self._standing.get(None) or DEFAULT

    def waiting(self) -> int:
        """How many scripted replies nobody has asked for yet."""
        with self._lock:
            return sum(len(queue) for queue in self._queues.values())

    def clear(self) -> None:
        with self._lock:
            self._queues.clear()
            self._standing.clear()
