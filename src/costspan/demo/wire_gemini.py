"""Google's Gemini: `generateContent` and `streamGenerateContent`, as the REST reference writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from costspan.demo.exchange import Answer, Ask, Event, Message, say_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Usage

_FINISH = {"stop": "STOP", "tool_use": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "refusal": "SAFETY"}


def read(body: dict[str, Any]) -> Ask:
    """`POST /v1beta/models/{model}:generateContent`; the model and whether to stream come from the path."""
    messages = [Message("system", text) for text in _texts(body.get("systemInstruction"))]
    for content in body.get("contents") or ():
        messages.extend(_said(content))
    declared = [each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()]
    config = body.get("generationConfig") or {}
    return Ask(
        api="gemini.generate",
        model=str(body.get("model")),
        messages=tuple(messages),
        tools=tuple((each["name"], _schema(each)) for each in declared),
        forced_tool=_forced(body.get("toolConfig")),
        schema=_wanted(config),
        stream=bool(body.get("stream")),
        include_usage=True,
        thinking="thinkingConfig" in config,
        body=body,
    )


def _texts(content: Any) -> list[str]:
    parts = (content or {}).get("parts") or ()
    return [part["text"] for part in parts if part.get("text")]


def _said(content: dict[str, Any]) -> Iterator[Message]:
    role = "assistant" if content.get("role") == "model" else "user"
    for part in content.get("parts") or ():
        if part.get("text"):
            yield Message(role, part["text"])
        elif "functionCall" in part:
            yield Message(role, say_call(part["functionCall"]["name"], part["functionCall"].get("args") or {}))
        elif "functionResponse" in part:
            result = part["functionResponse"]
            yield Message("tool", json.dumps(result.get("response") or {}), result["name"])


def _schema(declared: dict[str, Any]) -> dict[str, Any]:
    found = declared.get("parametersJsonSchema") or declared.get("parameters") or {}
    schema: dict[str, Any] = lower(dict(found))
    return schema


def lower(schema: Any) -> Any:
    """Gemini writes the types of a JSON Schema in capitals."""
    if isinstance(schema, dict):
        return {key: value.lower() if key == "type" and isinstance(value, str) else lower(value) for key, value in schema.items()}
    return [lower(each) for each in schema] if isinstance(schema, list) else schema


def _forced(config: Any) -> str | None:
    calling = (config or {}).get("functionCallingConfig") or {}
    if calling.get("mode") != "ANY":
        return None
    allowed = calling.get("allowedFunctionNames") or [""]
    return str(allowed[0])


def _wanted(config: dict[str, Any]) -> dict[str, Any] | None:
    if config.get("responseMimeType") != "application/json":
        return None
    schema: dict[str, Any] = lower(dict(config.get("responseJsonSchema") or config.get("responseSchema") or {}))
    return schema


def usage_metadata(usage: Usage) -> dict[str, Any]:
    """`UsageMetadata`: thoughts are counted beside the candidates, and zeros are left out."""
    thoughts = usage.reasoning_tokens or 0
    counts = {
        "promptTokenCount": usage.input_tokens or 0,
        "candidatesTokenCount": (usage.output_tokens or 0) - thoughts,
        "cachedContentTokenCount": usage.cache_read_tokens or 0,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": usage.total_tokens or 0,
    }
    return {name: count for name, count in counts.items() if count}


def _body(answer: Answer, parts: list[dict[str, Any]], usage: Usage, finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    body = {"candidates": [candidate], "modelVersion": answer.model, "responseId": answer.response_id}
    if answer.reply.omit_usage:
        return body
    told = usage_metadata(usage) if answer.reply.raw_usage is None else answer.reply.raw_usage
    return {**body, "usageMetadata": told}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"functionCall": {"name": call.name, "args": call.arguments if isinstance(call.arguments, dict) else {}}}
        for call in answer.tool_calls
    ]


def write(answer: Answer) -> dict[str, Any]:
    """A whole `GenerateContentResponse`."""
    parts = [*([{"text": answer.text}] if answer.text else []), *_calls(answer)]
    return _body(answer, parts, answer.usage, _FINISH.get(answer.finish, answer.finish))


def stream(answer: Answer) -> Iterator[Event]:
    """Its chunks. Each tells the counts so far; the thoughts and the whole come with the last."""
    pieces = answer.pieces()
    visible = (answer.usage.output_tokens or 0) - (answer.usage.reasoning_tokens or 0)
    for number, piece in enumerate(pieces, start=1):
        so_far = replace(answer.usage, output_tokens=visible * number // (len(pieces) + 1), reasoning_tokens=0)
        yield Event(_body(answer, [{"text": piece}], so_far, None), told=None if answer.reply.omit_usage else so_far)
    end = _body(answer, _calls(answer) or [{"text": ""}], answer.usage, _FINISH.get(answer.finish, answer.finish))
    yield Event(end, told=None if answer.reply.omit_usage else answer.usage)
