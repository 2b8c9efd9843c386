"""One request and its answer, free of any wire format; and the counting of its tokens.

The counter is made up but consistent: a message counts the same when it is answered and when it is sent again, so the
input of a conversation grows by exactly what was said in between, and prefixes that were seen before are cache reads.
"""

from __future__ import annotations

import json
import random
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from costspan.records import Usage

if TYPE_CHECKING:
    from costspan.demo.replies import Reply, ToolCall

MARK = re.compile(r"\[\[agent:([^\]\n]+)\]\]")
DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
}
"""Providers answer an alias with the dated name."""
_CLOUD = re.compile(r"^(?:[a-z]+\.)?anthropic\.|-v\d+(?::\d+)?$")
CACHE_BLOCK = 128
CACHE_MINIMUM = 1024


class Message(NamedTuple):
    """One thing said in a request: a text, a tool call or, with the tool's name, a tool's result."""

    role: str
    text: str
    tool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks for. `tools` are (name, JSON Schema of the arguments); `forced_tool` "" means any of them.

    `cache_ttl` is None, "5m" or "1h" (Anthropic's cache_control). `schema` {} means JSON without a schema.
    """

    api: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    forced_tool: str | None = None
    schema: dict[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    thinking: bool = False
    cache_ttl: str | None = None
    azure: bool = False
    body: dict[str, Any]

    @property
    def results(self) -> tuple[tuple[str, int], ...]:
        """Results of tools that are new in this request: (tool, tokens)."""
        new: list[tuple[str, int]] = []
        for message in reversed(self.messages):
            if message.tool is None:
                break
            new.append((message.tool, size(message.text)))
        return tuple(reversed(new))

    @property
    def agent(self) -> str:
        """The name in `[[agent:NAME]]`: of the system text, else of the newest message that has one."""
        system = [message.text for message in self.messages if message.role == "system"]
        others = [message.text for message in reversed(self.messages) if message.role != "system"]
        for text in (*system, *others):
            found = MARK.search(text)
            if found:
                return found.group(1)
        return "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back for an `Ask`."""

    ask: Ask
    reply: Reply
    number: int
    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    model: str
    response_id: str
    created: int
    finish: str

    def pieces(self) -> list[str]:
        """The text in `reply.chunks` parts or fewer."""
        size = max(1, -(-len(self.text) // max(1, self.reply.chunks)))
        return [self.text[at : at + size] for at in range(0, len(self.text), size)]


class Event(NamedTuple):
    """One server-sent event. `told` is the usage that it delivers, None when it carries none; `last` of the billed usage."""

    data: dict[str, Any] | str
    name: str | None = None
    told: Usage | None = None


def dated(model: str) -> str:
    """The name that a provider answers with; clouds answer Anthropic's models by Anthropic's own names."""
    if "anthropic." in model or "@" in model:
        model = _CLOUD.sub("", model).replace("@", "-")
    return DATED.get(model, model)


def size(text: str) -> int:
    """Tokens of one thing said: one per four characters and four for its wrapping; nothing for nothing."""
    return -(-len(text) // 4) + 4 if text else 0


def say_call(name: str, arguments: dict[str, Any] | str) -> str:
    """How a tool call counts as text, answered or sent again."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return f"{name}({arguments})"
    return f"{name}({json.dumps(arguments, sort_keys=True)})"


class Meter:
    """Counts what a request costs. Hidden preamble, reasoning and lengths of answers are drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._lock = threading.Lock()
        self._seen: dict[str, list[tuple[tuple[Message, ...], int]]] = {}

    def draw(self, *parts: object) -> random.Random:
        """A generator that depends on the seed and on `parts` only."""
        return random.Random("/".join(map(str, (self.seed, *parts))))

    def words(self, agent: str, number: int) -> str:
        """An answer of 60 to 400 words."""
        rng = self.draw(agent, number, "words")
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(60, 400))).capitalize() + "."

    def usage(self, ask: Ask, text: str, calls: tuple[ToolCall, ...], number: int) -> Usage:
        """Usage of the request numbered `number` of its agent."""
        preamble = self.draw(ask.agent, "preamble").randint(900, 3000)
        schemas = sum(size(json.dumps(tool)) for tool in ask.tools)
        tokens = preamble + schemas + sum(size(message.text) for message in ask.messages)
        read = self._cached(ask, tokens)
        write = 0
        if ask.api.startswith("anthropic"):
            read = read if ask.cache_ttl else 0
            write = tokens - read - size(ask.messages[-1].text) if ask.cache_ttl and ask.messages else 0
        visible = size(text) + sum(size(say_call(call.name, call.arguments)) for call in calls)
        reasoning = self.draw(ask.agent, number, "reasoning").randrange(64, 1024, 64) if _reasons(ask) else 0
        return Usage(
            input_tokens=tokens,
            output_tokens=visible + reasoning,
            cache_read_tokens=read,
            cache_write_tokens=max(0, write),
            cache_write_1h_tokens=max(0, write) if ask.cache_ttl == "1h" else 0,
            reasoning_tokens=reasoning,
            input_audio_tokens=0,
            output_audio_tokens=0,
        )

    def _cached(self, ask: Ask, tokens: int) -> int:
        """Tokens of the longest prompt of this agent and model that this one continues, in whole blocks."""
        with self._lock:
            seen = self._seen.setdefault(f"{ask.agent}/{ask.model}", [])
            prefixes = [length for messages, length in seen if ask.messages[: len(messages)] == messages]
            seen.append((ask.messages, tokens))
            del seen[:-32]
        known = min(max(prefixes, default=0), tokens - 1)
        return known - known % CACHE_BLOCK if known >= CACHE_MINIMUM else 0


def _reasons(ask: Ask) -> bool:
    return ask.thinking or bool(re.match(r"gpt-5|o\d", ask.model))


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """A small value that fits a JSON Schema as frameworks write them."""
    root = schema if root is None else root
    if "$ref" in schema:
        return sample(_resolve(schema["$ref"], root), root)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [sample(schema.get("items", {}), root)] * max(1, schema.get("minItems", 1))
    if kind in PLAIN:
        return max(PLAIN[kind], schema["minimum"]) if "minimum" in schema else PLAIN[kind]
    return {name: sample(part, root) for name, part in schema.get("properties", {}).items()}


def _resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


PLAIN: dict[str, Any] = {"string": "fine", "integer": 3, "number": 0.5, "boolean": True, "null": None}
WORDS = (  # noqa: SIM905 - reads better as words
    "the plan a build step first then check result of test cache index query user order invoice report error retry queue "
    "batch limit metric trace span agent tool token price model cost run release small clear owner reason change keep measure"
).split()
