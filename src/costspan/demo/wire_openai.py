"""OpenAI's chat completions, legacy completions and embeddings, as the API reference writes them (Azure's too)."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

from costspan.demo.exchange import Answer, Ask, Event, Message, say_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Usage


def text_of(content: Any) -> str:
    """All text in a message's content: a string, a part, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or content.get("input_text") or "")
    return ""


def read_chat(body: dict[str, Any]) -> Ask:
    """`POST /v1/chat/completions`."""
    messages: list[Message] = []
    names: dict[str | None, str] = {}
    for message in body.get("messages", ()):
        calls = message.get("tool_calls") or ()
        said = [say_call(call["function"]["name"], call["function"]["arguments"]) for call in calls if "function" in call]
        names.update({call["id"]: call["function"]["name"] for call in calls if "function" in call})
        role = "system" if message.get("role") == "developer" else str(message.get("role"))
        tool = names.get(message.get("tool_call_id"), "unknown") if role == "tool" else None
        messages.extend(Message(role, text, tool) for text in (text_of(message.get("content")), *said) if text)
    tools = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    return Ask(
        api="openai.chat",
        model=str(body.get("model")),
        messages=tuple(messages),
        tools=tuple((tool["name"], tool.get("parameters") or {}) for tool in tools),
        forced_tool=forced(body.get("tool_choice")),
        schema=_schema(body.get("response_format")),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        body=body,
    )


def forced(choice: Any) -> str | None:
    """The tool that `tool_choice` makes the model call: its name, "" for any, None for none."""
    if choice in ("required", "any"):
        return ""
    if not isinstance(choice, dict):
        return None
    if choice.get("type") in ("any", "allowed_tools"):
        return ""
    named = (choice.get("function") or {}).get("name") or choice.get("name")
    return str(named) if named else None


def _schema(response_format: Any) -> dict[str, Any] | None:
    kind = (response_format or {}).get("type")
    if kind == "json_schema":
        return dict(response_format["json_schema"].get("schema") or {})
    return {} if kind == "json_object" else None


def chat_usage(usage: Usage) -> dict[str, Any]:
    """`CompletionUsage`. `cache_write_tokens` only where something was written, as older models do not have it."""
    prompt = {"cached_tokens": usage.cache_read_tokens or 0, "audio_tokens": usage.input_audio_tokens or 0}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens or 0,
            "audio_tokens": usage.output_audio_tokens or 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def odd_usage(answer: Answer, usual: dict[str, Any]) -> Any:
    """The wire's usage object: the usual one, or what the reply wants instead; None to leave it out."""
    if answer.reply.omit_usage:
        return None
    if answer.reply.raw_usage is not None:
        return answer.reply.raw_usage
    if answer.reply.stated_cost_usd is not None:
        return {**usual, "cost": answer.reply.stated_cost_usd}
    return usual


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id or f"call_{answer.number:06d}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_text(call.arguments)},
        }
        for index, call in enumerate(answer.tool_calls)
    ]


def arguments_text(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _finish(answer: Answer) -> str:
    return {"tool_use": "tool_calls", "refusal": "stop"}.get(answer.finish, answer.finish)


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    tier = answer.reply.service_tier or "default"
    head = {"id": answer.response_id, "object": kind, "created": answer.created, "model": answer.model}
    return {**head, "service_tier": tier, "system_fingerprint": "fp_fake"}


def write_chat(answer: Answer) -> dict[str, Any]:
    """A whole `ChatCompletion`."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if answer.finish == "refusal":
        message |= {"content": None, "refusal": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    body = {**_head(answer, "chat.completion"), "choices": [choice]}
    usage = odd_usage(answer, chat_usage(answer.usage))
    return body if usage is None else {**body, "usage": usage}


def stream_chat(answer: Answer) -> Iterator[Event]:
    """`ChatCompletionChunk`s; the usage comes in one of its own before the end, and only where it was asked for."""
    head = _head(answer, "chat.completion.chunk")
    if answer.ask.azure:
        yield Event({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []})
    tell = answer.ask.include_usage and not answer.reply.omit_usage
    usage = odd_usage(answer, chat_usage(answer.usage))
    running = {"usage": usage} if answer.reply.usage_every_chunk else {"usage": None} if tell else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        told = answer.usage if running.get("usage") else None
        return Event({**head, "choices": choices, **running}, told=told)

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    field = "refusal" if answer.finish == "refusal" else "content"
    for piece in answer.pieces():
        yield chunk({field: piece})
    for index, call in enumerate(_calls(answer)):
        text = call["function"]["arguments"]
        opening = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opening]})
        for part in filter(None, (text[: len(text) // 2], text[len(text) // 2 :])):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, _finish(answer))
    if tell:
        yield Event({**head, "choices": [], "usage": usage}, told=answer.usage)
    yield Event("[DONE]")


def read_completion(body: dict[str, Any]) -> Ask:
    """`POST /v1/completions`, the legacy one."""
    prompts = body.get("prompt") or ""
    texts = prompts if isinstance(prompts, list) else [prompts]
    return Ask(
        api="openai.completions",
        model=str(body.get("model")),
        messages=tuple(Message("user", str(text)) for text in texts),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        body=body,
    )


def write_completion(answer: Answer) -> dict[str, Any]:
    """A whole `Completion`: one choice per prompt."""
    finish = _finish(answer)
    choices = [
        {"index": index, "text": answer.text, "logprobs": None, "finish_reason": finish}
        for index in range(max(1, len(answer.ask.messages)))
    ]
    body = {**_head(answer, "text_completion"), "choices": choices}
    usage = odd_usage(answer, chat_usage(answer.usage))
    return body if usage is None else {**body, "usage": usage}


def stream_completion(answer: Answer) -> Iterator[Event]:
    head = _head(answer, "text_completion")
    for piece in answer.pieces():
        yield Event({**head, "choices": [{"index": 0, "text": piece, "logprobs": None, "finish_reason": None}]})
    yield Event({**head, "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": _finish(answer)}]})
    if answer.ask.include_usage and not answer.reply.omit_usage:
        usage = odd_usage(answer, chat_usage(answer.usage))
        yield Event({**head, "choices": [], "usage": usage}, told=answer.usage)
    yield Event("[DONE]")


def read_embedding(body: dict[str, Any]) -> Ask:
    """`POST /v1/embeddings`; token ids instead of text are counted as they are."""
    given = body.get("input") or ""
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    messages = tuple(Message("user", text if isinstance(text, str) else "tokn" * len(text)) for text in texts)
    return Ask(api="openai.embeddings", model=str(body.get("model")), messages=messages, body=body)


def write_embedding(answer: Answer) -> dict[str, Any]:
    """A whole `CreateEmbeddingResponse`: a vector per input, which has no id and no output tokens."""
    vector: list[float] | str = [0.1, 0.2, 0.3, 0.4]
    if answer.ask.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", 0.1, 0.2, 0.3, 0.4)).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(answer.ask.messages))]
    tokens = answer.usage.input_tokens or 0
    usage = odd_usage(answer, {"prompt_tokens": tokens, "total_tokens": tokens})
    body = {"object": "list", "data": data, "model": answer.model}
    return body if usage is None else {**body, "usage": usage}
