"""The fake provider's own books: one entry per request it received, whatever became of it."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costspan.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request (one attempt). Times are seconds since the epoch.

    `usage` is what was billed: None when the attempt cost nothing. `told_usage` is what reached the client's socket, which
    may be a part (the start of an Anthropic stream) or nothing; `told` says that all of `usage` was delivered.
    `results` are the tool results that are new in this request, as (tool, tokens).
    `api` is openai.chat, openai.responses, openai.completions, openai.embeddings, anthropic.messages or
    anthropic.count_tokens. `agent` is the name in the request's `[[agent:NAME]]`, else "unknown".
    """

    number: int
    api: str
    path: str
    agent: str = "unknown"
    model_asked: str | None = None
    model_returned: str | None = None
    stream: bool = False
    status: int = 0
    billed: bool = False
    usage: Usage | None = None
    told: bool = False
    told_usage: Usage | None = None
    response_id: str | None = None
    service_tier: str | None = None
    stated_cost_usd: float | None = None
    web_searches: int = 0
    batch: bool = False
    tools_offered: tuple[str, ...] = ()
    tools_asked: tuple[str, ...] = ()
    results: tuple[tuple[str, int], ...] = ()
    include_usage: bool = False
    retry_count: int = 0
    traceparent: str | None = None
    cut: bool = False
    client_left: bool = False
    started_at: float = 0.0
    ended_at: float = 0.0


def to_json(entry: Entry) -> dict[str, Any]:
    return dataclasses.asdict(entry)


def from_json(data: Mapping[str, Any]) -> Entry:
    fields = dict(data)
    for name in ("usage", "told_usage"):
        fields[name] = None if fields.get(name) is None else Usage(**fields[name])
    for name in ("tools_offered", "tools_asked"):
        fields[name] = tuple(fields[name])
    fields["results"] = tuple((tool, tokens) for tool, tokens in fields["results"])
    return Entry(**fields)


class Book:
    """All entries in the order in which the requests came; a line of JSON per ended request goes to `file` if given."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._settled = threading.Condition()
        self._entries: list[Entry] = []
        self._open = 0

    def start(self, api: str, path: str) -> Entry:
        with self._settled:
            entry = Entry(number=len(self._entries) + 1, api=api, path=path, started_at=time.time())
            self._entries.append(entry)
            self._open += 1
            return entry

    def end(self, entry: Entry) -> None:
        entry.ended_at = time.time()
        with self._settled:
            self._open -= 1
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(to_json(entry)) + "\n")
            self._settled.notify_all()

    def entries(self, wait: float = 5.0) -> list[Entry]:
        """A copy of the entries, after requests in flight have ended (a client sees the last byte before we book it)."""
        with self._settled:
            self._settled.wait_for(lambda: self._open == 0, timeout=wait)
            return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        with self._settled:
            self._entries.clear()


def add(one: Usage | None, other: Usage | None) -> Usage:
    """Sum of two usages, unknown counted as nothing: the provider knows all of its own numbers."""
    sums: dict[str, Any] = {}
    for field in dataclasses.fields(Usage):
        if field.name != "source":
            sums[field.name] = sum(getattr(usage, field.name) or 0 for usage in (one, other) if usage is not None)
    return Usage(**sums)


def billed(entries: Iterable[Entry], *, told: bool = False) -> dict[str, Usage]:
    """Billed usage per agent; with `told`, only of requests whose usage reached the client in full."""
    totals: dict[str, Usage] = {}
    for entry in entries:
        if entry.billed and (entry.told or not told):
            totals[entry.agent] = add(totals.get(entry.agent), entry.usage)
    return totals
