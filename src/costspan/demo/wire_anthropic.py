"""Anthropic's Messages API (beta too) and its token counting, as the API reference writes them."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from costspan.demo.exchange import Answer, Ask, Event, Message, say_call
from costspan.demo.wire_openai import arguments_text, forced, odd_usage, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Usage

STOP = {"stop": "end_turn", "length": "max_tokens", "tool_use": "tool_use", "content_filter": "refusal", "refusal": "refusal"}


def read(body: dict[str, Any]) -> Ask:
    """`POST /v1/messages`."""
    messages = [Message("system", text_of(body["system"]))] if body.get("system") else []
    names: dict[str, str] = {}
    for message in body.get("messages", ()):
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        said = [_message(message.get("role", "user"), block, names) for block in blocks]
        messages.extend(one for one in said if one.text)
    tools = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    schema = ((body.get("output_config") or {}).get("format") or body.get("output_format") or {}).get("schema")
    return Ask(
        api="anthropic.messages",
        model=str(body.get("model")),
        messages=tuple(messages),
        tools=tuple((tool["name"], tool["input_schema"]) for tool in tools),
        forced_tool=forced(body.get("tool_choice")),
        schema=schema,
        stream=bool(body.get("stream")),
        include_usage=True,
        thinking=(body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
        cache_ttl=_cache_ttl(body),
        body=body,
    )


def _message(role: str, block: dict[str, Any], names: dict[str, str]) -> Message:
    if block.get("type") == "tool_use":
        names[block["id"]] = block["name"]
        return Message("assistant", say_call(block["name"], block["input"]))
    if block.get("type") == "tool_result":
        return Message("tool", text_of(block.get("content")), names.get(block["tool_use_id"], "unknown"))
    return Message(role, text_of(block.get("text") or ""))


def _cache_ttl(body: Any) -> str | None:
    """The longest time to live of any `cache_control` in the request."""
    found: set[str] = set()
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            control = value.get("cache_control")
            if isinstance(control, dict):
                found.add(str(control.get("ttl") or "5m"))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return max(found, key=("5m", "1h").index, default=None)


def usage_object(usage: Usage, tier: str | None = None) -> dict[str, Any]:
    """`Usage`: on this wire the input excludes what was read from and written to the cache."""
    read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    hour = usage.cache_write_1h_tokens or 0
    body: dict[str, Any] = {
        "input_tokens": (usage.input_tokens or 0) - read - write,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
        "output_tokens": usage.output_tokens or 0,
        "service_tier": tier or "standard",
    }
    if usage.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return body


def _usual(answer: Answer) -> dict[str, Any]:
    usage = usage_object(answer.usage, answer.reply.service_tier)
    if answer.reply.web_searches:
        usage["server_tool_use"] = {"web_search_requests": answer.reply.web_searches, "web_fetch_requests": 0}
    return usage


def _content(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.ask.thinking and answer.usage.reasoning_tokens:
        blocks.append({"type": "thinking", "thinking": "Step by step.", "signature": "c2lnbmF0dXJl"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text, "citations": None})
    for index, call in enumerate(answer.tool_calls):
        given = _parsed(call.arguments)
        identity = call.id or f"toolu_{answer.number:06d}_{index}"
        blocks.append({"type": "tool_use", "id": identity, "name": call.name, "input": given})
    return blocks


def write(answer: Answer) -> dict[str, Any]:
    """A whole `Message`."""
    body = {
        "id": answer.response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": _content(answer),
        "stop_reason": STOP.get(answer.finish, answer.finish),
        "stop_sequence": None,
    }
    usage = odd_usage(answer, _usual(answer))
    return body if usage is None else {**body, "usage": usage}


def stream(answer: Answer) -> Iterator[Event]:
    """The events of a streamed message: the input is told at the start, the output at the end."""
    whole = write(answer)
    usual = _usual(answer)
    odd = answer.reply.omit_usage or answer.reply.raw_usage is not None
    start_usage = whole.get("usage") if odd else {**usual, "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": start_usage}
    begun = dataclasses.replace(answer.usage, output_tokens=1, reasoning_tokens=0)
    yield Event({"type": "message_start", "message": start}, "message_start", None if answer.reply.omit_usage else begun)
    yield Event({"type": "ping"}, "ping")
    texts = iter([arguments_text(call.arguments) for call in answer.tool_calls])
    for index, block in enumerate(whole["content"]):
        arguments = next(texts) if block["type"] == "tool_use" else ""
        for name, fields in _block_events(answer, block, arguments):
            yield Event({"type": name, "index": index, **fields}, name)
    usage = {name: value for name, value in usual.items() if name not in ("cache_creation", "service_tier")}
    if answer.reply.stated_cost_usd is not None:
        usage["cost"] = answer.reply.stated_cost_usd
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    told = None if answer.reply.omit_usage else answer.usage
    yield Event({"type": "message_delta", "delta": delta, "usage": whole.get("usage") if odd else usage}, "message_delta", told)
    yield Event({"type": "message_stop"}, "message_stop")


def _block_events(answer: Answer, block: dict[str, Any], arguments: str) -> list[tuple[str, dict[str, Any]]]:
    empty: dict[str, Any] = {"text": "", "thinking": "", "tool_use": {}}
    field = "input" if block["type"] == "tool_use" else block["type"]
    deltas: list[dict[str, Any]]
    if block["type"] == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", arguments)]
    elif block["type"] == "thinking":
        deltas = [{"type": f"{name}_delta", name: block[name]} for name in ("thinking", "signature")]
    else:
        deltas = [{"type": "text_delta", "text": piece} for piece in answer.pieces()]
    opened = {**block, field: empty[block["type"]], **({"signature": ""} if "signature" in block else {})}
    return [
        ("content_block_start", {"content_block": opened}),
        *(("content_block_delta", {"delta": delta}) for delta in deltas),
        ("content_block_stop", {}),
    ]


def _parsed(arguments: dict[str, Any] | str) -> dict[str, Any]:
    """Arguments as this wire has them in a whole message: an object, even where a script wrote broken JSON."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return {}
    return arguments if isinstance(arguments, dict) else {}


def write_count(answer: Answer) -> dict[str, Any]:
    """`POST /v1/messages/count_tokens`, which costs nothing."""
    return {"input_tokens": answer.usage.input_tokens or 0}
