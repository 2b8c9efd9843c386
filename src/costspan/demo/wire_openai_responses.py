"""OpenAI's Responses API: one object, or the events that build it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costspan.demo.exchange import Answer, Ask, Event, Message, say_call
from costspan.demo.wire_openai import arguments_text, forced, odd_usage, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Usage


def read(body: dict[str, Any]) -> Ask:
    """`POST /v1/responses`."""
    given = body.get("input") or ""
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    messages = [Message("system", body["instructions"])] if body.get("instructions") else []
    names: dict[str, str] = {}
    for item in items:
        if item.get("type") == "function_call":
            names[item["call_id"]] = item["name"]
            messages.append(Message("assistant", say_call(item["name"], item["arguments"])))
        elif item.get("type") == "function_call_output":
            messages.append(Message("tool", text_of(item.get("output")), names.get(item["call_id"], "unknown")))
        elif item.get("role") and text_of(item.get("content")):
            role = "system" if item["role"] == "developer" else item["role"]
            messages.append(Message(role, text_of(item.get("content"))))
    tools = [tool for tool in body.get("tools") or () if tool.get("name")]
    return Ask(
        api="openai.responses",
        model=str(body.get("model")),
        messages=tuple(messages),
        tools=tuple((tool["name"], tool.get("parameters") or {}) for tool in tools),
        forced_tool=forced(body.get("tool_choice")),
        schema=_schema((body.get("text") or {}).get("format")),
        stream=bool(body.get("stream")),
        include_usage=True,
        body=body,
    )


def _schema(text_format: Any) -> dict[str, Any] | None:
    kind = (text_format or {}).get("type")
    if kind == "json_schema":
        return dict(text_format.get("schema") or {})
    return {} if kind == "json_object" else None


def usage_object(usage: Usage) -> dict[str, Any]:
    """`ResponseUsage`."""
    inputs = {"cached_tokens": usage.cache_read_tokens or 0, "cache_write_tokens": usage.cache_write_tokens or 0}
    return {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": inputs,
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens or 0,
    }


def _items(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.usage.reasoning_tokens:
        items.append({"type": "reasoning", "id": f"rs_{answer.number:06d}", "summary": []})
    for search in range(answer.reply.web_searches):
        action = {"type": "search", "query": "why"}
        ids = {"type": "web_search_call", "id": f"ws_{answer.number:06d}_{search}"}
        items.append({**ids, "status": "completed", "action": action})
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        if answer.finish == "refusal":
            part = {"type": "refusal", "refusal": answer.text}
        message = {"type": "message", "id": f"msg_{answer.number:06d}", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    for index, call in enumerate(answer.tool_calls):
        ids = {"id": f"fc_{answer.number:06d}_{index}", "call_id": call.id or f"call_{answer.number:06d}_{index}"}
        asked = {"name": call.name, "arguments": arguments_text(call.arguments), "status": "completed"}
        items.append({"type": "function_call", **ids, **asked})
    return items


def write(answer: Answer) -> dict[str, Any]:
    """A whole `Response`."""
    body = answer.ask.body
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    return {
        "id": answer.response_id,
        "object": "response",
        "created_at": answer.created,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": answer.model,
        "output": _items(answer),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": answer.reply.service_tier or "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": odd_usage(answer, usage_object(answer.usage)),
        "user": None,
        "metadata": body.get("metadata") or {},
    }


EMPTY: dict[str, dict[str, Any]] = {"message": {"content": []}, "function_call": {"arguments": ""}}
"""What an item of the output lacks when it is first announced."""


def stream(answer: Answer) -> Iterator[Event]:
    """The events of a streamed response, numbered; the last one carries the whole with its usage."""
    whole = write(answer)
    pending = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": pending}),
        ("response.in_progress", {"response": pending}),
    ]
    for index, item in enumerate(whole["output"]):
        empty = EMPTY.get(item["type"], {})
        opened = {**item, "status": "in_progress", **empty} if empty else item
        events.append(("response.output_item.added", {"output_index": index, "item": opened}))
        if item["type"] == "message":
            events.extend(_message_events(answer, item, index))
        elif item["type"] == "function_call":
            events.extend(_call_events(item, index))
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    for number, (name, fields) in enumerate(events):
        yield Event({"type": name, "sequence_number": number, **fields}, name)
    last = f"response.{whole['status']}"
    told = answer.usage if whole["usage"] is not None else None
    yield Event({"type": last, "sequence_number": len(events), "response": whole}, last, told)


def _message_events(answer: Answer, item: dict[str, Any], index: int) -> list[tuple[str, dict[str, Any]]]:
    part = item["content"][0]
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    extra: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    return [
        ("response.content_part.added", {**place, "part": {**part, field: ""}}),
        *((f"{name}.delta", {**place, "delta": piece, **extra}) for piece in answer.pieces()),
        (f"{name}.done", {**place, field: part[field], **extra}),
        ("response.content_part.done", {**place, "part": part}),
    ]


def _call_events(item: dict[str, Any], index: int) -> list[tuple[str, dict[str, Any]]]:
    name = "response.function_call_arguments"
    place = {"item_id": item["id"], "output_index": index}
    return [
        (f"{name}.delta", {**place, "delta": item["arguments"]}),
        (f"{name}.done", {**place, "name": item["name"], "arguments": item["arguments"]}),
    ]
