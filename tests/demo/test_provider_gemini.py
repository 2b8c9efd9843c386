"""The fake provider's Gemini API, on the wire."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from costspan.normalise.usage_gemini import from_response
from costspan.testing import Reply, Usage

PAID = Usage(1000, 200, cache_read_tokens=600, reasoning_tokens=150)
ASKED = {
    "systemInstruction": {"parts": [{"text": "[[agent:PM]]"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "hello"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "lookup", "args": {"word": "x"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "lookup", "response": {"result": "found"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "lookup", "parameters": {"type": "OBJECT"}}]}],
}


def post(provider, method, body, model="gemini-2.5-flash"):
    request = urllib.request.Request(f"{provider.gemini_url}/v1beta/models/{model}:{method}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def test_an_answer_tells_what_is_in_the_log(provider):
    provider.always(Reply(text="done", usage=PAID))
    body = json.loads(post(provider, "generateContent", ASKED))
    (entry,) = provider.log
    assert body["candidates"][0]["content"]["parts"] == [{"text": "done"}]
    assert (entry.agent, entry.model_asked, entry.told, entry.results[0][0]) == ("PM", "gemini-2.5-flash", True, "lookup")
    told = from_response(body).usage
    assert (told.input_tokens, told.output_tokens, told.cache_read_tokens, told.reasoning_tokens) == (1000, 200, 600, 150)


def test_a_stream_counts_up_to_what_is_in_the_log(provider):
    provider.always(Reply(text="one two three", usage=PAID, chunks=3))
    lines = post(provider, "streamGenerateContent?alt=sse", ASKED).splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    counts = [from_response(chunk).usage.output_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert (counts[-1], provider.log[0].told_usage) == (200, PAID)


def test_a_forced_tool_is_called_and_a_schema_is_filled(provider):
    forced = {**ASKED, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}
    (part,) = json.loads(post(provider, "generateContent", forced))["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["name"] == "lookup"
    schema = {"type": "OBJECT", "properties": {"title": {"type": "STRING"}}, "required": ["title"]}
    wanted = {
        "contents": ASKED["contents"][:1],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema},
    }
    (part,) = json.loads(post(provider, "generateContent", wanted))["candidates"][0]["content"]["parts"]
    assert "title" in json.loads(part["text"])


def test_a_refusal_is_not_billed(provider):
    provider.always(Reply(status=429))
    with pytest.raises(urllib.error.HTTPError, match="429"):
        post(provider, "generateContent", ASKED)
    assert provider.log[0].usage is None
