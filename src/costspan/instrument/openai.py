"""OpenAI's SDK and everything that speaks through it: Azure, Bedrock, gateways and providers with a compatible API.

What is a model call follows from the path of the request; who answers from the client's class, else from its address.
Source: https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan.instrument import answer, sdk_hooks
from costspan.instrument.patch import Patches
from costspan.instrument.request_hash import request_hash
from costspan.instrument.request_shape import lengths
from costspan.instrument.sdk_calls import RAW_HEADER, Ask
from costspan.instrument.spans import SWITCH, asking
from costspan.normalise import usage_openai
from costspan.normalise.usage import extract
from costspan.records import CALL

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from costspan.normalise.extracted import Extracted

_OPERATIONS: Final = {
    "chat/completions": c.CHAT,
    "responses": c.CHAT,
    "responses/compact": c.CHAT,
    "completions": c.TEXT_COMPLETION,
    "embeddings": c.EMBEDDINGS,
    "images/generations": c.GENERATE_CONTENT,
    "images/edits": c.GENERATE_CONTENT,
    "images/variations": c.GENERATE_CONTENT,
    "audio/transcriptions": c.GENERATE_CONTENT,
    "audio/translations": c.GENERATE_CONTENT,
    "audio/speech": c.GENERATE_CONTENT,
}
"""By the end of a POST's path. What is not here costs nothing (moderations, files) or is told elsewhere."""
_OPTIONS: Final = "stream_options"
_TELL_USAGE: Final = frozenset({"chat/completions", "completions"})
"""Where a stream tells its usage only when asked."""
_WORDS: Final = ("messages", "input", "instructions", "prompt", "previous_response_id", "conversation")
"""Where a request has its words, or says where they are."""
_UNDER_WAY: Final = frozenset({"queued", "in_progress"})
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_LATER: Final = frozenset({"batches", "responses"})
"""What is asked for by its id until it is done: batches, and answers that are made in the background."""
_READ_MAX: Final = 100_000
"""Ids of such things that are remembered, so that reading them again counts nothing."""

_CLASSES: Final = (("Azure", "azure.ai.openai"), ("Bedrock", "aws.bedrock"))
_HOSTS: Final = (
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    (".amazonaws.com", "aws.bedrock"),
    (".api.aws", "aws.bedrock"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("-aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("openrouter.ai", "openrouter"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("api.cerebras.ai", "cerebras"),
    ("api.sambanova.ai", "sambanova"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("router.huggingface.co", "huggingface"),
    (".aliyuncs.com", "alibaba"),
    ("api.anthropic.com", "anthropic"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.novita.ai", "novita"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zhipuai"),
    ("api.minimax.io", "minimax"),
    ("api.studio.nebius.ai", "nebius"),
)
"""Addresses of who answers: a whole host, or the end of one (with a dot or a dash)."""
_OLLAMA_PORT: Final = 11434


class Told:
    """What one request was told. Streams are read event by event, and only counts, names and reasons are kept."""

    __slots__ = ("ended", "finish", "groq", "ident", "model", "seen", "tier", "usage", "whole")

    def __init__(self) -> None:
        self.ended = self.seen = False
        self.whole: dict[str, Any] | None = None
        self.ident = self.model = self.finish = self.tier = self.usage = self.groq = None

    def note(self, data: dict[str, Any], *, stream: bool) -> None:
        """A body, a chunk of a chat or legacy stream, or an event of a responses stream."""
        self.seen = True
        inner = data.get("response")
        if type(inner) is dict and "type" in data:
            self._event(data["type"], inner)
        elif stream:
            self._chunk(data)
        else:
            self.whole = data
            self.ended = True

    def _event(self, kind: Any, response: dict[str, Any]) -> None:
        if kind in _ENDS:
            self.ended = True
            self.whole = response
        elif self.ident is None:
            self.ident, self.model = response.get("id"), response.get("model")

    def _chunk(self, data: dict[str, Any]) -> None:
        get = data.get
        if usage := get("usage"):
            self.usage = usage
            self.ended = self.ended or "type" in data  # the last event of a transcription or an image
        if not self.ident:
            self.ident, self.model = get("id"), get("model") or self.model
        if tier := get("service_tier"):
            self.tier = tier
        if groq := get("x_groq"):
            self.groq = groq
        choices = get("choices")
        if type(choices) is list and choices and type(choices[0]) is dict and (finish := choices[0].get("finish_reason")):
            self.finish = finish
            self.ended = True

    def found(self) -> Extracted | None:
        """Everything so far."""
        if not self.seen:
            return None
        if self.whole is not None:
            return extract(self.whole)
        chunk = {"id": self.ident, "model": self.model, "service_tier": self.tier, "usage": self.usage, "x_groq": self.groq}
        if self.finish:
            chunk["choices"] = [{"finish_reason": self.finish}]
        return usage_openai.from_stream([chunk])


class OpenAI:
    """How OpenAI's requests and answers are read, and the adapter that the registry switches on."""

    name = "openai"

    def __init__(self) -> None:
        self._patches = Patches()
        self._read: OrderedDict[str, None] = OrderedDict()

    def switch_on(self) -> None:
        self._patches.apply(sdk_hooks.points(self, "openai"))

    def switch_off(self) -> None:
        self._patches.undo()

    def told(self) -> Told:
        return Told()

    def ask(self, client: Any, options: Any, *, stream: bool) -> Ask | None:
        """The call that these options make: a POST to one of `_OPERATIONS`, or the reading of what is told later."""
        parts = str(options.url).partition("?")[0].rstrip("/").rsplit("/", 2)
        path = "/".join(parts[-2:])
        method = str(options.method).lower()
        if method == "get" and len(parts) > 1 and parts[-2] in _LATER:
            return Ask(c.CHAT, provider_of(client), None, later=True)
        operation = _OPERATIONS.get(path) or _OPERATIONS.get(parts[-1])
        if method != "post" or operation is None:
            return None
        if path not in _OPERATIONS:
            path = parts[-1]
        body = options.json_data
        get = body.get if isinstance(body, dict) else {}.get
        raw = raw_mode(options)
        streams = stream or get("stream") is True
        model = get("model")
        if get("background") is True and not _inside_a_call():
            return Ask(c.CHAT, provider_of(client), None, later=True)
        return Ask(
            operation,
            provider_of(client),
            model if isinstance(model, str) else None,
            stream=streams,
            asked_usage=streams and path in _TELL_USAGE and self._may_ask(get(_OPTIONS), raw),
            lengths=lengths(get("messages") if operation == c.CHAT else None, get("input"), get("instructions")),
            words=request_hash(model, [get(name) for name in _WORDS]),
        )

    @staticmethod
    def _may_ask(options: Any, raw: str | None) -> bool:
        """Whether to ask for usage: only where told to, nobody asked either way, and the extra chunk can be hidden.

        A raw response may be read as bytes; inside a framework's call it is known to be parsed.
        """
        if not SWITCH.ask_stream_usage or (isinstance(options, dict) and "include_usage" in options):
            return False
        return raw is None or (raw == "true" and _inside_a_call())

    def with_usage_asked(self, options: Any) -> Any:
        """A shallow copy of the options with `stream_options.include_usage`; the host's own are left alone."""
        changed = copy.copy(options)
        asked = changed.json_data.get(_OPTIONS)
        more = asked if isinstance(asked, dict) else {}
        changed.json_data = {**changed.json_data, _OPTIONS: {**more, "include_usage": True}}
        return changed

    def whole(self, data: dict[str, Any], ask: Ask, context: Context) -> None:
        """A batch, or an answer made in the background, has been looked at: once it tells its usage, it is one call."""
        spans, told = SWITCH.spans, _told_later(data)
        if spans is None or told is None:
            return
        found, batch = extract(told), "object" not in told
        ident = found.response_id
        if not ident or not found.usage.total_tokens or ident in self._read:
            return
        self._read[ident] = None
        if len(self._read) > _READ_MAX:
            self._read.popitem(last=False)
        attributes: dict[str, Any] = {c.OPERATION_NAME: c.CHAT, c.PROVIDER_NAME: ask.provider}
        if batch:
            attributes[c.BATCH] = True
        if found.model:
            attributes[c.REQUEST_MODEL] = found.model
        unit = spans.open(CALL, found.model, context=context, attributes=attributes)
        spans.close(unit, answer.told(found))

    def item(self, item: Any, ask: Ask, context: Context) -> None:
        """OpenAI's batches are read as files, whose lines are not looked into."""


def _told_later(data: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or what a batch says of all its requests, once it is done; None before that.

    Events of a stream are looked into. An answer that was not made in the background was counted when it was asked for.
    """
    inner = data.get("response")
    body = inner if type(inner) is dict and data.get("type") in _ENDS else data
    if not body.get("usage"):
        return None
    if body.get("object") == "response":
        return body if body.get("background") is True and body.get("status") not in _UNDER_WAY else None
    return {name: body.get(name) for name in ("id", "model", "usage")} if body.get("completed_at") else None


def _inside_a_call() -> bool:
    """Whether the request is made on behalf of a framework's call."""
    around = asking()
    return around is not None and around.told is not None


def raw_mode(options: Any) -> str | None:
    """`true` or `stream` for a raw response, by the header that the SDK sets for it."""
    headers = options.headers
    found = headers.get(RAW_HEADER) if isinstance(headers, dict) else None
    return found if isinstance(found, str) else None


def provider_of(client: Any) -> str:
    """Who answers this client. An address that nobody knows speaks OpenAI's language, so it is called `openai`."""
    for kind in type(client).__mro__:
        if kind.__module__.partition(".")[0] == "openai":  # public names say that they are from `openai` itself
            for word, provider in _CLASSES:
                if word in kind.__name__:
                    return provider
    url = getattr(client, "base_url", None)
    return _by_address(str(getattr(url, "host", "")), getattr(url, "port", None))


@functools.lru_cache(maxsize=256)
def _by_address(host: str, port: int | None) -> str:
    for known, provider in _HOSTS:
        if host == known.lstrip(".") or host.endswith(known if known[0] in ".-" else f".{known}"):
            return provider
    return "ollama" if port == _OLLAMA_PORT else "openai"


def adapter() -> OpenAI:
    """What the registry asks every framework file for."""
    return OpenAI()
