"""Real LangChain objects, and the speed of the hot path."""

from __future__ import annotations

import timeit

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult

from costspan.normalise.usage import extract
from costspan.normalise.usage_langchain import from_message, from_result
from costspan.records import MISSING, Usage

DETAILED = {
    "input_tokens": 1497,
    "output_tokens": 1037,
    "total_tokens": 2534,
    "input_token_details": {"audio": 0, "cache_read": 1408, "cache_creation": 64},
    "output_token_details": {"audio": 0, "reasoning": 192},
}
TOLD = {
    "token_usage": {"prompt_tokens": 1497, "completion_tokens": 1037, "total_tokens": 2534},
    "model_provider": "openai",
    "model_name": "gpt-4o-2024-08-06",
    "id": "chatcmpl-1",
    "service_tier": "default",
    "finish_reason": "stop",
}


def message(usage: object = DETAILED, **told: object) -> AIMessage:
    return AIMessage("an answer", usage_metadata=usage, response_metadata={**TOLD, **told}, id="lc_run--1")


def test_a_message_tells_all_that_a_price_needs():
    got = from_message(message())
    assert got.usage == Usage(1497, 1037, 1408, 64, None, 192, 0, 0)
    assert (got.provider, got.model, got.response_id) == ("openai", "gpt-4o-2024-08-06", "chatcmpl-1")
    assert (got.finish_reason, got.service_tier, got.problems) == ("stop", "default", ())


def test_extract_takes_a_message_and_so_does_a_merged_stream():
    chunks = [
        AIMessageChunk("an "),
        AIMessageChunk("answer", response_metadata={"model_name": "gpt-4o", "finish_reason": "stop"}),
        AIMessageChunk("", usage_metadata=DETAILED),
    ]
    merged = chunks[0] + chunks[1] + chunks[2]
    assert extract(merged).usage == extract(message()).usage
    assert extract(merged).model == "gpt-4o"


def test_the_provider_is_spelt_as_opentelemetry_spells_it():
    assert from_message(message(model_provider="google_genai")).provider == "gcp.gemini"
    assert from_message(message(model_provider=None)).provider is None


def test_the_tier_of_a_stream_is_read_from_its_renamed_keys():
    usage = {
        "input_tokens": 30,
        "output_tokens": 20,
        "total_tokens": 50,
        "input_token_details": {"flex_cache_read": 8, "flex": 22},
        "output_token_details": {"flex_reasoning": 5, "flex": 15},
    }
    got = from_message(AIMessage("x", usage_metadata=usage))
    assert got.service_tier == "flex"
    assert got.usage == Usage(30, 20, 8, reasoning_tokens=5)


def test_cache_writes_are_the_same_whether_the_whole_is_kept_beside_its_parts_or_not():
    def usage(whole: int) -> dict[str, object]:
        details = {"cache_creation": whole, "ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23}
        return {"input_tokens": 500, "output_tokens": 5, "total_tokens": 505, "input_token_details": details}

    for whole in (0, 123):
        got = from_message(AIMessage("x", usage_metadata=usage(whole)))
        assert (got.usage.cache_write_tokens, got.usage.cache_write_1h_tokens) == (123, 23)


def test_zero_input_is_missing_usage_and_the_output_is_kept():
    got = from_message(AIMessage("x", usage_metadata={"input_tokens": 0, "output_tokens": 97, "total_tokens": 97}))
    assert got.usage == Usage(output_tokens=97, source=MISSING)
    assert "zero_input" in got.problems


def test_zero_input_is_mended_by_the_raw_usage_where_the_message_still_has_it():
    told = {"usage": {"input_tokens": 504, "cache_read_input_tokens": 2000, "output_tokens": 97}}
    usage = {"input_tokens": 0, "output_tokens": 97, "total_tokens": 97}
    got = from_message(AIMessage("x", usage_metadata=usage, response_metadata=told))
    assert got.usage == Usage(2504, 97, 2000)
    assert got.problems == ()


def test_a_message_without_usage_is_missing_whatever_its_metadata():
    got = from_message(message(None, token_usage=None))
    assert got.usage.source == MISSING
    assert got.model == "gpt-4o-2024-08-06"
    assert got.problems == ("no_usage_found",)


def test_the_dict_of_structured_output_is_read_through_to_its_raw_message():
    failed = {"raw": message(), "parsed": None, "parsing_error": ValueError("not JSON")}
    assert extract(failed).usage == extract(message()).usage


def test_an_answer_from_langchains_cache_is_a_cache_hit():
    hit = message({**DETAILED, "total_cost": 0})
    assert from_message(hit).cache_hit is True
    assert from_message(message()).cache_hit is False


def test_paid_searches_and_stated_costs_come_from_the_raw_usage():
    raw = {"input_tokens": 100, "output_tokens": 5, "server_tool_use": {"web_search_requests": 3}}
    got = from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata={"usage": raw}))
    assert got.fees == {"web_search": 3}
    routed = message(token_usage={**TOLD["token_usage"], "cost": 0.0125, "is_byok": False})
    assert str(from_message(routed).stated_cost_usd) == "0.0125"


def test_passes_that_anthropic_billed_beside_the_answer_are_kept():
    beside = {"type": "compaction", "input_tokens": 100, "output_tokens": 82}
    raw = {"input_tokens": 180, "output_tokens": 8, "iterations": [beside, {"type": "message"}]}
    got = from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata={"usage": raw}))
    assert got.side_usages == (("compaction", None, Usage(100, 82)),)
    assert got.problems == ("other_iterations_billed",)


def test_thoughts_that_vertex_counts_in_the_total_alone_are_output():
    """langchain-google-vertexai 3.2: `output_tokens` is `candidates_token_count`."""
    usage = {
        "input_tokens": 7,
        "output_tokens": 8,
        "total_tokens": 68,
        "input_token_details": {"cache_read": 0},
        "output_token_details": {"reasoning": 53},
    }
    told = {"model_provider": "google_vertexai", "model_name": "gemini-2.5-pro"}
    assert from_message(AIMessage("x", usage_metadata=usage, response_metadata=told)).usage == Usage(
        7, 61, 0, reasoning_tokens=53
    )
    raw = {
        "prompt_token_count": 7,
        "candidates_token_count": 8,
        "thoughts_token_count": 53,
        "tool_use_prompt_token_count": 22,
        "total_token_count": 90,
        "cached_content_token_count": 0,
    }
    whole = AIMessage("x", usage_metadata={**usage, "total_tokens": 90}, response_metadata={**told, "usage_metadata": raw})
    assert from_message(whole).usage == Usage(29, 61, 0, reasoning_tokens=53)


def test_the_total_of_a_gemini_stream_proves_nothing():
    """langchain-google-genai takes differences of running counts, of which the total never falls."""
    usage = {"input_tokens": 900, "output_tokens": 10, "total_tokens": 1001, "input_token_details": {"cache_read": 0}}
    told = {"model_provider": "google_genai", "model_name": "gemini-2.0-flash"}
    assert from_message(AIMessage("x", usage_metadata=usage, response_metadata=told)).usage == Usage(900, 10, 0)
    by_openai = from_message(AIMessage("x", usage_metadata=usage, response_metadata={**told, "model_provider": "openai"}))
    assert by_openai.usage == Usage(900, 101, 0)


def test_a_raw_usage_that_makes_up_langchains_total_is_the_calls():
    """A gateway that counts the cache beside the prompt: langchain-openai reads the prompt and the total as they stand."""
    usage = {"input_tokens": 3, "output_tokens": 10, "total_tokens": 110}
    raw = {"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 110}
    raw |= {"cache_read_input_tokens": 90, "cache_creation_input_tokens": 7}
    told = {"model_provider": "openai", "model_name": "claude-haiku-4-5", "token_usage": raw}
    assert from_message(AIMessage("x", usage_metadata=usage, response_metadata=told)).usage == Usage(100, 10, 90, 7)
    other = {**told, "token_usage": {**raw, "total_tokens": 999}}
    assert from_message(AIMessage("x", usage_metadata=usage, response_metadata=other)).usage == Usage(3, 10)


def test_lifetimes_of_cache_writes_are_taken_from_the_raw_usage_where_only_that_has_them():
    """Claude on Vertex AI (langchain-google-vertexai 3.2), and LiteLLM."""
    usage = {"input_tokens": 2627, "output_tokens": 97, "total_tokens": 2724}
    usage["input_token_details"] = {"cache_read": 2000, "cache_creation": 123}
    lifetimes = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23}
    claude = {
        "input_tokens": 504,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 123,
        "cache_creation": lifetimes,
        "output_tokens": 97,
    }
    details = {"cached_tokens": 2000, "cache_creation_tokens": 123, "cache_creation_token_details": lifetimes}
    litellm = {"prompt_tokens": 2627, "completion_tokens": 97, "total_tokens": 2724, "prompt_tokens_details": details}
    for told in ({"usage": claude}, {"token_usage": litellm}):
        got = from_message(AIMessage("x", usage_metadata=usage, response_metadata=told))
        assert got.usage == Usage(2627, 97, 2000, 123, 23)
    merged = {"usage": {**claude, "output_tokens": 1}}  # of one chunk, not of the whole
    assert from_message(AIMessage("x", usage_metadata=usage, response_metadata=merged)).usage.cache_write_1h_tokens is None


def test_what_openrouter_states_is_the_cost_unless_it_is_only_a_fee():
    """langchain-openrouter 0.2 keeps `cost` and `cost_details` in the metadata, and drops `is_byok`."""
    told = {"model_provider": "openrouter", "model_name": "z-ai/glm-4.6", "cost": 1.4e-05}
    told["cost_details"] = {"upstream_inference_cost": 1.4e-05}
    assert str(from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata=told)).stated_cost_usd) == "0.000014"
    own_key = {**told, "cost": 0}
    assert from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata=own_key)).stated_cost_usd is None
    free = {**told, "cost": 0, "cost_details": {"upstream_inference_cost": None}}
    assert from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata=free)).stated_cost_usd == 0


def test_tiers_of_bedrock_and_of_claudes_fast_mode():
    converse = {"model_provider": "bedrock_converse", "serviceTier": {"type": "flex"}}
    assert from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata=converse)).service_tier == "flex"
    raw = {"input_tokens": 25, "output_tokens": 1037, "service_tier": "standard", "speed": "fast"}
    fast = AIMessage("x", usage_metadata=DETAILED, response_metadata={"model_provider": "anthropic", "usage": raw})
    assert from_message(fast).service_tier == "fast"


def test_searches_of_openai_and_gemini_are_counted_from_the_message():
    blocks = [{"type": "web_search_call", "action": {"type": kind}} for kind in ("search", "open_page", "search")]
    assert from_message(AIMessage([*blocks, {"type": "text", "text": "x"}], usage_metadata=DETAILED)).fees == {"web_search": 2}
    grounding = {"grounding_metadata": {"web_search_queries": ["a", "b"]}}
    for model, billed in (("gemini-2.5-flash", 1), ("gemini-3-flash-preview", 2)):
        told = {**grounding, "model_name": model}
        assert from_message(AIMessage("x", usage_metadata=DETAILED, response_metadata=told)).fees == {"web_search": billed}
    assert from_message(message()).fees is None


def test_a_result_counts_one_candidate_per_prompt_and_adds_up_prompts():
    candidates = [ChatGeneration(message=message()), ChatGeneration(message=message())]
    assert from_result(LLMResult(generations=[candidates])).usage == from_message(message()).usage
    both = extract(LLMResult(generations=[candidates, candidates]))
    assert (both.usage.input_tokens, both.usage.output_tokens) == (2 * 1497, 2 * 1037)


def test_the_pieces_of_a_stream_in_a_list_are_what_they_are_merged():
    """Counts of pieces are differences: Gemini's integration tells the input first and the output last."""
    first = {"input_tokens": 2152, "output_tokens": 0, "total_tokens": 2152, "input_token_details": {"cache_read": 2000}}
    last = {"input_tokens": 22, "output_tokens": 127, "total_tokens": 149, "output_token_details": {"reasoning": 100}}
    chunks = [
        AIMessageChunk("an ", usage_metadata=first, response_metadata={"model_provider": "google_genai"}),
        AIMessageChunk(
            "answer", usage_metadata=last, response_metadata={"model_name": "gemini-2.5-pro", "finish_reason": "STOP"}
        ),
    ]
    whole = from_message(chunks[0] + chunks[1])
    for form in (chunks, [chunk.model_dump() for chunk in chunks]):
        got = extract(form)
        assert got.usage == whole.usage == Usage(2174, 127, 2000, reasoning_tokens=100)
        assert (got.model, got.provider, got.finish_reason) == ("gemini-2.5-pro", "gcp.gemini", "STOP")


def test_a_result_without_an_llm_output_is_a_result_too():
    assert extract(ChatResult(generations=[ChatGeneration(message=message())])).usage == from_message(message()).usage


def test_a_completion_models_usage_is_read_from_what_stands_beside_its_text():
    ollama = {"model": "llama3.1", "prompt_eval_count": 44, "eval_count": 113, "total_duration": 5, "done_reason": "stop"}
    google = {"model_name": "gemini-2.5-pro", "usage_metadata": DETAILED}
    vertex = {"usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 8, "thoughts_token_count": 53}}
    for info, usage in (
        (ollama, Usage(44, 113)),
        (google, extract(message()).usage),
        (vertex, Usage(7, 61, reasoning_tokens=53)),
    ):
        assert extract(LLMResult(generations=[[Generation(text="…", generation_info=info)]])).usage == usage
    both = LLMResult(generations=[[Generation(text="…", generation_info=ollama)]] * 2)
    assert extract(both).usage == Usage(88, 226)
    assert (
        extract(LLMResult(generations=[[Generation(text="…", generation_info={"finish_reason": "stop"})]])).usage.source
        == MISSING
    )


def test_a_tier_is_known_by_its_own_key_where_nothing_was_cached():
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_token_details": {"flex": 10}}
    assert from_message(AIMessage("x", usage_metadata=usage)).service_tier == "flex"


def test_a_legacy_result_is_read_from_its_llm_output():
    output = {"token_usage": {"prompt_tokens": 4, "completion_tokens": 256, "total_tokens": 260}, "model_name": "davinci-002"}
    got = extract(LLMResult(generations=[[Generation(text="…")]], llm_output=output))
    assert got.usage == Usage(4, 256)
    assert got.model == "davinci-002"


def test_a_typical_message_takes_a_few_microseconds():
    ready = message()
    best = min(timeit.repeat(lambda: from_message(ready), number=2000, repeat=7)) / 2000
    assert best < 15e-6, f"{best * 1e6:.1f} us: this runs in every model call; it takes under 5 us on an idle machine"
