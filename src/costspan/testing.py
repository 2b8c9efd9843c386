"""Fixtures for tests of code that uses costspan: a fake model provider with a log of its own.

    from costspan.testing import FakeProvider, Reply, Usage

    with FakeProvider(seed=1) as provider:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "[[agent:PM]] hello"}])
        assert provider.log[0].agent == "PM"

Addresses: `openai_url` (chat, responses, completions, embeddings), `anthropic_url` (messages, beta, count_tokens),
`azure_url` (as `azure_endpoint`), `gateway_url` (OpenAI chat, never tells a stream's usage).

Who asks: `[[agent:NAME]]` anywhere in the system text, else in the newest message that has it; else "unknown".

What is answered: without a script, words drawn from the seed and usage that is counted from what was sent and answered
(a conversation's prefix is read from the cache, Anthropic's cache only with `cache_control`); a forced tool is called
and a JSON schema is filled with fitting values. Reasoning tokens with o1, o3, o4 and gpt-5 models, or `thinking`.
`provider.script(Reply(...), Reply(...), agent="PM")` queues replies, one per request: a retry is a request, so
`script(Reply(status=429), Reply(text="hello"))` is a rate limit and then an answer. Without `agent`, for whoever asks
next. `provider.always(Reply(...))` answers whenever no queue has anything. `Reply` lists what can be scripted: usage,
tool calls, status, cuts, delays, odd bodies.

What happened: `provider.log`, one `Entry` per request: who, which model, `usage` that was billed (None when nothing),
`told` (all of it reached the client), `told_usage` (the part that did), `response_id`, `status`, `retry_count`,
`tools_asked`, `results` of tools, `cut`, `client_left`, times. Reading it waits for requests in flight. For a client that
leaves a stream early, give the reply a `chunk_delay`, so that the provider still has something to say when it leaves.
`billed(provider.log)` adds up usage per agent.
"""

from __future__ import annotations

from costspan.demo.provider import FakeProvider
from costspan.demo.provider_log import Entry, billed
from costspan.demo.replies import Reply, ToolCall
from costspan.records import Usage

__all__ = ["Entry", "FakeProvider", "Reply", "ToolCall", "Usage", "billed"]
