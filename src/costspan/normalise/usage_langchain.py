"""LangChain: messages, results and `usage_metadata`, and what its integrations lose on the way there.

`usage_metadata` is inclusive. Known traps: an OpenAI service tier renames the detail keys (`priority_cache_read`);
Anthropic and Bedrock put cache writes under `ephemeral_5m_input_tokens` and `ephemeral_1h_input_tokens` and leave
`cache_creation` at 0, Vertex AI's Claude and LiteLLM keep lifetimes in the raw usage only; Vertex AI's Gemini leaves
thoughts out of `output_tokens`; Mistral's integration drops cached tokens, which only the raw `token_usage` still has; an
Anthropic stream from an older API has 0 input. The raw usage in `response_metadata` fills what is missing, adds paid
searches and a stated cost. Source: langchain_core/messages/ai.py (1.8), langchain_openai, langchain_anthropic (1.7),
langchain_aws (1.9), langchain_google_vertexai (3.2), langchain_openrouter (0.2).

`from_message` is on the hot path of every LangChain call: plain dict reads, no sniffing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from costspan.normalise import usage_anthropic, usage_gemini, usage_ollama, usage_openai, usage_shapes
from costspan.normalise.extracted import (
    NO_USAGE_FOUND,
    Extracted,
    SideUsage,
    count,
    peek,
    plus,
    settle,
    text,
)
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.usage_stated import stated_cost
from costspan.records import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOTHING: Final[Mapping[str, object]] = {}
_OWN_IDS: Final = ("run-", "run--", "lc_", "lc_run--")
"""Ids that LangChain made up itself."""

_TIERS: Final = ("flex", "priority")
_MORE: Final = frozenset({"service_tier", "cost", "cost_in_usd_ticks", "server_tool_use", "iterations", "speed"})

_canonical: Final = lru_cache(maxsize=256)(canonical_provider)


def is_usage(usage: object) -> bool:
    """`usage_metadata` with its details; without details it is no different from anybody else's counts."""
    return isinstance(peek(usage, "input_token_details"), Mapping) or isinstance(peek(usage, "output_token_details"), Mapping)


def from_message(message: object) -> Extracted:
    """What an `AIMessage` (or a merged chunk, or one dumped to a mapping) tells of the call that made it."""
    if type(message) is dict:
        metadata, reported = message.get("response_metadata"), message.get("usage_metadata")
    else:
        metadata, reported = getattr(message, "response_metadata", None), getattr(message, "usage_metadata", None)
    told: Mapping[str, object] = metadata if isinstance(metadata, dict) else _NOTHING
    raw = told.get("token_usage") or told.get("usage") or told.get("usage_metadata")
    model = text(told.get("model_name") or told.get("model"))
    problems: list[str] = []
    tier = text(told.get("service_tier")) or text(peek(told.get("serviceTier"), "type"))
    cost = stated_cost(told, problems) if "cost" in told else None
    fees, hit, claimed = None, False, None
    sides: tuple[SideUsage, ...] = ()
    if isinstance(reported, dict) and reported:
        usage, renamed = read_usage(reported, problems)
        if reported.get("total_tokens") != usage.total_tokens:
            claimed = reported.get("total_tokens")
            usage = usage_openai.with_thoughts(usage, claimed, model) if told.get("model_provider") == "openai" else usage
        tier = tier or renamed
        hit = reported.get("total_cost") == 0 and "total_cost" in reported
    else:
        usage = NO_USAGE
        problems.append(NO_USAGE_FOUND)
    if raw:
        usage = _with_raw(usage, raw, claimed, problems)
        if type(raw) is not dict or _has_more(raw):
            tier = tier or usage_anthropic.tier(raw)
            cost = stated_cost(raw, problems) if cost is None else cost
            fees = usage_anthropic.fees(raw, problems)
            sides = usage_anthropic.side_usages(raw, problems)
    return Extracted(
        settle(usage, problems) if usage is not NO_USAGE else usage,
        _canonical(text(told.get("model_provider"))),
        model,
        _response_id(message, told),
        text(told.get("finish_reason") or told.get("stop_reason") or told.get("stopReason") or told.get("done_reason")),
        tier,
        cost,
        fees or _searches(message, told, model),
        tuple(problems) if not problems else tuple(dict.fromkeys(problems)),
        sides,
        hit,
    )


def is_chunk(message: object) -> bool:
    """A piece of a message that was streamed."""
    return type(message).__name__ == "AIMessageChunk" or (type(message) is dict and message.get("type") == "AIMessageChunk")


def from_chunks(chunks: Iterable[object]) -> Extracted:
    """The pieces of one stream, in order: their counts are differences and add up, of all else the last word counts."""
    told: dict[str, object] = {}
    usage: dict[str, object] = {}
    ident: object = None
    for chunk in chunks:
        metadata, reported = peek(chunk, "response_metadata"), peek(chunk, "usage_metadata")
        told.update(metadata if isinstance(metadata, Mapping) else _NOTHING)
        usage = _added(usage, reported) if isinstance(reported, Mapping) else usage
        ident = ident or peek(chunk, "id")
    return from_message({"usage_metadata": usage, "response_metadata": told, "id": ident})


def _added(usage: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    summed = dict(usage)
    for name, value in more.items():
        before = summed.get(name)
        if isinstance(value, Mapping):
            summed[name] = _added(before if isinstance(before, Mapping) else _NOTHING, value)
        elif isinstance(before, int) and isinstance(value, int):
            summed[name] = before + value
        else:
            summed[name] = value
    return summed


def from_usage(reported: object, *, provider: str | None = None) -> Extracted:
    """A bare `usage_metadata`."""
    problems: list[str] = []
    if not isinstance(reported, Mapping):
        return usage_shapes.NOTHING
    usage, tier = read_usage(reported, problems)
    return Extracted(settle(usage, problems), provider, service_tier=tier, problems=tuple(dict.fromkeys(problems)))


def from_result(result: object) -> Extracted:
    """An `LLMResult` or `ChatResult`: its messages, else the legacy `llm_output` with its `token_usage`.

    Several candidates for one prompt repeat the usage of their call, so the first one counts; several prompts add up.
    """
    output = peek(result, "llm_output")
    found = [got for got in map(_from_prompt, _prompts(result)) if got is not None]
    reporting = [got for got in found if got.usage.total_tokens is not None]
    if len(reporting) > 1:
        return _sum(reporting)
    best = reporting[0] if reporting else found[0] if found else None
    if best is None or best.usage is NO_USAGE:
        legacy = from_llm_output(output)
        if best is None or legacy.usage is not NO_USAGE:
            return legacy
    return best


def from_llm_output(output: object) -> Extracted:
    """The legacy `llm_output`: `token_usage` (or Anthropic's `usage`), `model_name`, sometimes the service tier."""
    raw = peek(output, "token_usage") or peek(output, "usage")
    got = usage_shapes.from_usage(raw) if raw else usage_shapes.NOTHING
    return Extracted(
        got.usage,
        got.provider,
        text(peek(output, "model_name")) or text(peek(output, "model")),
        text(peek(output, "id")),
        service_tier=text(peek(output, "service_tier")) or got.service_tier,
        stated_cost_usd=got.stated_cost_usd,
        fees=got.fees,
        problems=got.problems,
    )


def read_usage(reported: Mapping[str, object], problems: list[str]) -> tuple[Usage, str | None]:
    """Counts of a `usage_metadata`, not yet settled, and the service tier that its keys give away."""
    taken = count(reported.get("input_tokens"), "input_tokens", problems)
    answered = count(reported.get("output_tokens"), "output_tokens", problems)
    into = reported.get("input_token_details")
    out = reported.get("output_token_details")
    given: Mapping[str, object] = into if isinstance(into, dict) else _NOTHING
    made: Mapping[str, object] = out if isinstance(out, dict) else _NOTHING
    tier: str | None = None
    if given and "cache_read" not in given and "cache_creation" not in given:
        given, tier = _untiered(given, ("cache_read", "cache_creation"))
    if made and "reasoning" not in made:
        made, other = _untiered(made, ("reasoning",))
        tier = tier or other
    write = given.get("cache_creation")
    hour = None
    if "ephemeral_1h_input_tokens" in given or "ephemeral_5m_input_tokens" in given:
        hour = count(given.get("ephemeral_1h_input_tokens"), "cache_write_1h_tokens", problems)
        minutes = count(given.get("ephemeral_5m_input_tokens"), "cache_write_tokens", problems)
        # Some versions keep the whole beside its two parts.
        write = max(plus(hour, minutes) or 0, count(write, "cache_write_tokens", problems) or 0)
    reasoning = count(made.get("reasoning"), "reasoning_tokens", problems)
    if reasoning and taken is not None and answered is not None and reported.get("total_tokens") == taken + answered + reasoning:
        answered += reasoning  # Vertex AI's Gemini: the total alone counts the thoughts
    return Usage(
        taken,
        answered,
        count(given.get("cache_read"), "cache_read_tokens", problems),
        count(write, "cache_write_tokens", problems),
        hour,
        reasoning,
        count(given.get("audio"), "input_audio_tokens", problems),
        count(made.get("audio"), "output_audio_tokens", problems),
    ), tier


def _untiered(details: Mapping[str, object], names: tuple[str, ...]) -> tuple[Mapping[str, object], str | None]:
    """`{"priority_cache_read": 8, "priority": 2}` as `{"cache_read": 8}` and `"priority"`."""
    plain = dict(details)
    tier = None
    for key, value in details.items():
        for name in names:
            if key.endswith("_" + name):
                plain[name] = value
                tier = key[: -len(name) - 1]
    return plain, tier or next((word for word in _TIERS if word in details), None)


def _has_more(raw: Mapping[str, object]) -> bool:
    """The provider's own usage tells something beside counts."""
    return not _MORE.isdisjoint(raw)


def _with_raw(usage: Usage, raw: object, claimed: object, problems: list[str]) -> Usage:
    """The counts, or the provider's own where LangChain's are absent or know less.

    `claimed` is the total of LangChain's counts where that is not their sum.
    """
    if usage.cache_read_tokens is not None and usage.input_tokens and claimed is None and not _lacks_lifetimes(usage, raw):
        return usage
    own = usage_shapes.from_usage(raw).usage
    if own.input_tokens is None or own.output_tokens is None:
        return usage
    if usage is NO_USAGE or not usage.input_tokens:
        problems[:] = [word for word in problems if word != NO_USAGE_FOUND]
        return own
    # Only a raw usage of the same size can be the same call's: merged chunks keep the raw usage of one of them. (Of Gemini
    # on Vertex AI there is one for whole answers only.)
    same = (own.input_tokens, own.output_tokens) == (usage.input_tokens, usage.output_tokens)
    return own if same or own.total_tokens == claimed or usage_gemini.is_usage(raw) else usage


def _lacks_lifetimes(usage: Usage, raw: object) -> bool:
    """Cache writes without the lifetimes that Claude on Vertex AI and LiteLLM tell in the raw usage."""
    if not usage.cache_write_tokens or usage.cache_write_1h_tokens is not None:
        return False
    within = peek(raw, "prompt_tokens_details")
    return bool(peek(raw, "cache_creation") or peek(within, "cache_creation_token_details"))


def _response_id(message: object, told: Mapping[str, object]) -> str | None:
    given = told.get("id")
    if given is None:
        given = peek(message, "id")
        if not isinstance(given, str) or given.startswith(_OWN_IDS):
            return None
    return text(given)


def _searches(message: object, told: Mapping[str, object], model: str | None) -> dict[str, int] | None:
    """Searches that only the answer's shape tells: OpenAI's call blocks, Gemini's grounding."""
    grounding = told.get("grounding_metadata")
    if grounding:
        return usage_gemini.searches(grounding, model)
    content = message.get("content") if type(message) is dict else getattr(message, "content", None)
    return usage_openai.searches(content) if type(content) is list else None


def _prompts(result: object) -> list[object]:
    generations = peek(result, "generations")
    return list(generations) if isinstance(generations, list | tuple) else []


def _from_prompt(candidates: object) -> Extracted | None:
    candidate = candidates[0] if isinstance(candidates, list | tuple) and candidates else candidates
    message = peek(candidate, "message")
    return from_message(message) if message is not None else _from_info(peek(candidate, "generation_info"))


def _from_info(info: object) -> Extracted | None:
    """What completion models put beside their text: Ollama's counts, or a `usage_metadata` (Google's two integrations)."""
    if usage_ollama.is_response(info):
        return usage_ollama.from_response(info)
    reported = peek(info, "usage_metadata")
    return from_message({"usage_metadata": reported, "response_metadata": info}) if reported else None


def _sum(parts: list[Extracted]) -> Extracted:
    """Several prompts of one batch as one: counts add up, names are the first one's."""
    usages = [part.usage for part in parts]
    problems = tuple(dict.fromkeys(word for part in parts for word in part.problems))
    usage = Usage(
        plus(*(one.input_tokens for one in usages)),
        plus(*(one.output_tokens for one in usages)),
        plus(*(one.cache_read_tokens for one in usages)),
        plus(*(one.cache_write_tokens for one in usages)),
        plus(*(one.cache_write_1h_tokens for one in usages)),
        plus(*(one.reasoning_tokens for one in usages)),
        plus(*(one.input_audio_tokens for one in usages)),
        plus(*(one.output_audio_tokens for one in usages)),
    )
    head = parts[0]
    return Extracted(usage, head.provider, head.model, service_tier=head.service_tier, problems=problems)
