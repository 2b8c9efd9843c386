"""Spellings of single providers that the recorded cases do not hold."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

from anthropic.types.messages import MessageBatchIndividualResponse
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from costspan.normalise.usage import extract
from costspan.normalise.usage_openai import from_stream
from costspan.records import MISSING, Usage

ANSWERED = {
    "type": "succeeded",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 2},
    },
}
"""The result of a line of Anthropic's batch file."""


def completion(kind: type = ChatCompletion, **more: object):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    return kind.model_validate(
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice], **more}
    )


def test_openais_chat_object():
    got = extract(completion(usage=CompletionUsage(prompt_tokens=9, completion_tokens=2, total_tokens=11), service_tier="flex"))
    assert got.usage == Usage(9, 2)
    assert (got.model, got.response_id, got.finish_reason, got.service_tier) == ("gpt-5-mini", "chatcmpl-1", "stop", "flex")


def test_openais_responses_object_with_a_search():
    payload = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "status": "completed",
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
            {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "x"}},
        ],
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 6,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 26,
        },
    }
    for form in (payload, Response.model_validate(payload), {"type": "response.completed", "response": payload}):
        got = extract(form)
        assert got.usage == Usage(20, 6, 4, 2, reasoning_tokens=3)
        assert (got.response_id, got.model, got.fees) == ("resp_1", "gpt-5", {"web_search": 1})


def test_openais_embeddings_have_no_output():
    payload = {"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    assert extract(CreateEmbeddingResponse.model_validate(payload)).usage == Usage(4, 0)


def test_a_list_of_embeddings_whose_total_is_all_that_is_told_had_that_input():
    voyage = {"object": "list", "data": [], "model": "voyage-4", "usage": {"total_tokens": 10}}
    assert (extract(voyage).usage, extract(voyage).model) == (Usage(10, 0), "voyage-4")
    assert extract({**voyage, "object": "chat.completion"}).usage.source == MISSING


def test_a_chat_that_lost_its_output_count_is_not_an_embedding():
    got = extract({"usage": {"prompt_tokens": 4, "completion_tokens": None, "total_tokens": 9}})
    assert got.usage == Usage(4, None, source=MISSING)


def test_the_chunks_of_a_chat_stream_with_and_without_usage():
    def chunk(**more: object):
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-mini", "choices": []}
        return ChatCompletionChunk.model_validate({**body, **more})

    last = chunk(usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    got = from_stream([chunk(), chunk(), last])
    assert (got.usage, got.response_id) == (Usage(9, 2), "chatcmpl-1")
    assert extract([chunk(), last]).usage == Usage(9, 2)
    assert from_stream([chunk(), chunk()]).usage.source == MISSING
    groq = {"id": "1", "choices": [], "x_groq": {"id": "r", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}}
    assert extract(groq).usage == Usage(3, 1)


def test_xai_counts_reasoning_beside_the_completion():
    usage = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    assert extract({"usage": usage}).usage == Usage(32, 103, reasoning_tokens=94)


def test_a_count_that_a_total_holds_beside_the_others_belongs_to_its_direction():
    """Whoever counts the cache, reasoning or what connectors read beside prompt and completion says so by the total."""

    def usage(total: int, **more: object) -> Usage:
        return extract({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": total, **more}).usage

    cached = {"cache_read_input_tokens": 60, "cache_creation_input_tokens": 7}
    thought = {"completion_tokens_details": {"reasoning_tokens": 5}}
    assert usage(177, **cached) == Usage(167, 10, 60, 7)
    assert usage(110, **cached) == Usage(100, 10, 60, 7)
    assert usage(182, **cached, **thought) == Usage(167, 15, 60, 7, reasoning_tokens=5)
    assert usage(110, **thought) == Usage(100, 10, reasoning_tokens=5)
    assert usage(610, connector_tokens=500) == Usage(600, 10)
    bedrock = {"cache_read_input_tokens": 60, "cache_write_input_tokens": 7}  # as LangChain writes InvokeModel's headers
    assert usage(177, **bedrock) == Usage(167, 10, 60, 7)


def test_gemini_behind_openais_shape_tells_its_thoughts_in_the_total_alone():
    usage = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
    assert extract({"model": "google/gemini-2.5-flash", "usage": usage}).usage == Usage(20, 603)
    assert from_stream([{"model": "gemini-2.5-flash", "usage": usage}]).usage == Usage(20, 603)
    assert extract({"model": "somebody-else", "usage": usage}).usage == Usage(20, 198)
    known = {**usage, "completion_tokens_details": {"reasoning_tokens": 405}}
    assert extract({"model": "gemini-2.5-flash", "usage": known}).usage == Usage(20, 603, reasoning_tokens=405)


def test_a_part_beside_openais_names_does_not_hide_them():
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "reasoning_tokens": 20}
    assert extract({"usage": usage}).usage == Usage(100, 50, reasoning_tokens=20)


def test_cache_counts_under_anthropics_names_inside_the_details():
    details = {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 20}
    perplexity = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "input_tokens_details": details}
    assert extract({"object": "response", "usage": perplexity}).usage == Usage(100, 10, 40, 20)


def test_litellm_keeps_lifetimes_and_searches_of_anthropic():
    usage = {
        "prompt_tokens": 2627,
        "completion_tokens": 97,
        "total_tokens": 2724,
        "prompt_tokens_details": {
            "cached_tokens": 2000,
            "cache_creation_tokens": 123,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23},
        },
        "server_tool_use": {"web_search_requests": 2},
    }
    for form in (usage, {"usage": usage}):
        assert (extract(form).usage, extract(form).fees) == (Usage(2627, 97, 2000, 123, 23), {"web_search": 2})


def test_gateways_put_anthropics_cache_counts_beside_an_inclusive_prompt():
    usage = {
        "prompt_tokens": 2627,
        "completion_tokens": 97,
        "total_tokens": 2724,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 123,
    }
    assert extract({"usage": usage}).usage == Usage(2627, 97, 2000, 123)


def test_realtime_counts_audio_on_both_sides():
    usage = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 64},
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
    }
    payload = {"type": "response.done", "response": {"id": "r", "object": "realtime.response", "usage": usage}}
    assert extract(payload).usage == Usage(132, 121, 64, input_audio_tokens=13, output_audio_tokens=91)


def test_ollama_leaves_the_count_of_a_cached_prompt_out():
    done = {"model": "llama3.1", "done": True, "done_reason": "stop", "total_duration": 5, "eval_count": 113}
    got = extract(done)
    assert got.usage == Usage(None, 113, source=MISSING)
    assert (got.provider, got.model, got.finish_reason) == ("ollama", "llama3.1", "stop")
    assert extract({**done, "prompt_eval_count": 44}).usage == Usage(44, 113)
    embedded = {"model": "all-minilm", "embeddings": [[0.1]], "total_duration": 5, "prompt_eval_count": 8}
    assert extract(embedded).usage == Usage(8, 0)


def test_bedrock_invoke_model_in_the_shapes_of_its_makers():
    titan = {"inputTextTokenCount": 7, "results": [{"tokenCount": 31, "completionReason": "FINISH"}]}
    assert (extract(titan).usage, extract(titan).finish_reason) == (Usage(7, 31), "FINISH")
    assert extract({"embedding": [0.1], "inputTextTokenCount": 7}).usage == Usage(7, 0)
    llama = {"generation": "…", "prompt_token_count": 25, "generation_token_count": 9, "stop_reason": "stop"}
    assert (extract(llama).usage, extract(llama).provider) == (Usage(25, 9), "aws.bedrock")
    metrics = {"inputTokenCount": 3, "outputTokenCount": 44, "cacheReadInputTokenCount": 9511, "cacheWriteInputTokenCount": 1956}
    stopped = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    assert extract(stopped).usage == Usage(11470, 44, 9511, 1956)
    headers = {"x-amzn-bedrock-input-token-count": "12", "x-amzn-bedrock-output-token-count": "4"}
    unread = {"body": object(), "ResponseMetadata": {"RequestId": "r-1", "HTTPHeaders": headers}}
    assert (extract(unread).usage, extract(unread).response_id) == (Usage(12, 4), "r-1")


def test_bedrock_converse_tells_lifetimes_tier_and_reason():
    usage = {
        "inputTokens": 20,
        "outputTokens": 72,
        "totalTokens": 3092,
        "cacheReadInputTokens": 2000,
        "cacheWriteInputTokens": 1000,
        "cacheDetails": [{"inputTokens": 400, "ttl": "5m"}, {"inputTokens": 600, "ttl": "1h"}],
    }
    got = extract({"usage": usage, "stopReason": "end_turn", "serviceTier": {"type": "flex"}})
    assert got.usage == Usage(3020, 72, 2000, 1000, 600)
    assert (got.finish_reason, got.service_tier) == ("end_turn", "flex")
    assert extract({"metadata": {"usage": usage, "metrics": {}}}).usage == got.usage


def test_cohere_of_both_versions_and_its_floats():
    assert extract(
        {"usage": {"billed_units": {"input_tokens": 12.0}, "tokens": {"input_tokens": 212.0, "output_tokens": 5.0}}}
    ).usage == Usage(212, 5)
    assert extract({"generation_id": "g", "meta": {"tokens": {"input_tokens": 9, "output_tokens": 1}}}).response_id == "g"
    assert extract({"meta": {"billed_units": {"input_tokens": 9}}}).usage == Usage(9, 0)
    end = {
        "type": "message-end",
        "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}}},
    }
    assert (extract(end).usage, extract(end).finish_reason) == (Usage(3, 4), "COMPLETE")


def test_geminis_grounding_is_a_fee_and_its_traffic_a_tier():
    payload = {
        "candidates": [{"finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "trafficType": "ON_DEMAND_FLEX"},
        "responseId": "abc",
        "modelVersion": "gemini-2.5-flash",
    }
    got = extract(payload)
    assert (got.fees, got.service_tier, got.finish_reason, got.response_id) == ({"web_search": 1}, "flex", "STOP", "abc")
    # Until Gemini 3 a grounded answer was billed, whatever the number of its queries; since then each query is.
    assert extract({**payload, "modelVersion": "gemini-3-flash-preview"}).fees == {"web_search": 2}


def test_geminis_live_api_calls_the_answer_a_response():
    usage = {
        "promptTokenCount": 20,
        "responseTokenCount": 30,
        "totalTokenCount": 50,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}, {"modality": "TEXT", "tokenCount": 5}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
    }
    for form in ({"usageMetadata": usage}, usage, {"usage_metadata": {"prompt_token_count": 20, "response_token_count": 30}}):
        assert (extract(form).usage.input_tokens, extract(form).usage.output_tokens) == (20, 30)
    assert extract(usage).usage == Usage(20, 30, input_audio_tokens=15, output_audio_tokens=30)


def test_an_interaction_of_gemini_has_names_of_its_own_for_the_same_counts():
    usage = {
        "total_input_tokens": 100,
        "total_cached_tokens": 50,
        "total_tool_use_tokens": 7,
        "total_thought_tokens": 30,
        "total_output_tokens": 20,
        "total_tokens": 157,
        "input_tokens_by_modality": [{"modality": "text", "tokens": 90}, {"modality": "audio", "tokens": 10}],
        "grounding_tool_count": [{"type": "google_search", "count": 2}],
    }
    answer = {"id": "i-1", "model": "gemini-3-flash-preview", "status": "completed", "usage": usage}
    for form in (answer, {"event_type": "interaction.complete", "interaction": answer}):
        got = extract(form)
        assert got.usage == Usage(107, 50, 50, reasoning_tokens=30, input_audio_tokens=10)
        assert (got.provider, got.model, got.response_id) == ("gcp.gemini", "gemini-3-flash-preview", "i-1")
        assert got.fees == {"web_search": 2}
    assert extract({"usage": {"total_input_tokens": 1, "total_output_tokens": 2}}).provider is None  # anybody may say so


def test_embeddings_of_vertex_ai_count_each_text_beside_its_vector():
    """google-genai 3.6 (`EmbedContentResponse`): counts are floats, and AI Studio has none of them."""
    three, four = ({"values": [0.1], "statistics": {"token_count": count}} for count in (3.0, 4.0))
    assert extract({"embeddings": [three, four]}).usage == Usage(7, 0)
    unknown = {"values": [0.1], "statistics": None}
    for told in ([three, unknown], [unknown], []):
        assert extract({"embeddings": told}).usage.source == MISSING


def test_audio_that_geminis_tools_read_is_audio_too():
    audio = [{"modality": "AUDIO", "tokenCount": 30}]
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "toolUsePromptTokenCount": 30,
        "toolUsePromptTokensDetails": audio,
    }
    assert extract({"usageMetadata": usage}).usage == Usage(40, 5, input_audio_tokens=30)


def test_an_answer_that_gemini_left_out_is_no_zero_when_its_total_says_otherwise():
    told = {"usageMetadata": {"promptTokenCount": 14, "totalTokenCount": 90}}
    assert extract(told).usage == Usage(14, None, source=MISSING)
    assert extract({"usageMetadata": {"promptTokenCount": 14, "totalTokenCount": 14}}).usage == Usage(14, 0)


def test_a_line_of_a_batch_file_is_read_through_and_is_of_the_batch_tier():
    body = {"id": "chatcmpl-1", "model": "gpt-5-mini", "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}
    openai = {
        "id": "batch_req_1",
        "custom_id": "a",
        "response": {"status_code": 200, "body": {**body, "service_tier": "default"}},
    }
    message = {"type": "message", "id": "msg_1", "model": "claude-haiku-4-5", "usage": {"input_tokens": 9, "output_tokens": 2}}
    anthropic = {"custom_id": "a", "result": {"type": "succeeded", "message": message}}
    for line, model in ((openai, "gpt-5-mini"), (anthropic, "claude-haiku-4-5")):
        got = extract(line)
        assert (got.usage, got.model, got.service_tier) == (Usage(9, 2), model, "batch")
    assert extract(MessageBatchIndividualResponse.model_validate({**anthropic, "result": ANSWERED})).usage == Usage(9, 2)
    bedrock = extract({"recordId": "1", "modelInput": {}, "modelOutput": message})
    assert (bedrock.usage, bedrock.service_tier) == (Usage(9, 2), "batch")
    refused = {"custom_id": "a", "result": {"type": "errored", "error": {"type": "error"}}}
    assert extract(refused).usage.source == MISSING


def test_an_event_of_mistrals_sdk_holds_its_chunk_in_data():
    chunk = {"id": "1", "model": "mistral-small", "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}
    for form in ({"data": chunk}, [{"data": {"id": "1", "model": "mistral-small"}}, SimpleNamespace(data=chunk)]):
        assert (extract(form).usage, extract(form).model) == (Usage(9, 2), "mistral-small")


def test_a_titan_stream_tells_its_output_in_the_last_chunk():
    last = {
        "outputText": "…",
        "index": 0,
        "inputTextTokenCount": 7,
        "totalOutputTextTokenCount": 31,
        "completionReason": "FINISH",
    }
    assert (extract(last).usage, extract(last).finish_reason) == (Usage(7, 31), "FINISH")
    assert extract({**last, "totalOutputTextTokenCount": None}).usage == Usage(7, None, source=MISSING)


def test_our_own_usage_and_a_usage_written_by_hand():
    assert extract(Usage(5, 6)).usage == Usage(5, 6)
    by_hand = {"input_tokens": 10, "output_tokens": 5, "cache_read": 2, "reasoning": 1}
    assert extract(by_hand).usage == Usage(10, 5, 2, reasoning_tokens=1)
    around = extract({"provider": "openai", "model": "gpt-5", "usage": by_hand, "service_tier": "flex"})
    assert (around.usage, around.model, around.service_tier) == (Usage(10, 5, 2, reasoning_tokens=1), "gpt-5", "flex")


def test_the_callers_provider_wins_over_the_shape():
    assert extract({"usage": {"prompt_tokens": 1, "completion_tokens": 1}}, provider="groq").provider == "groq"


def test_perplexity_and_xai_state_what_a_call_cost():
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    perplexity = {**usage, "cost": {"input_tokens_cost": 0.001, "request_cost": 0.005, "total_cost": 0.006}}
    assert str(extract({"usage": perplexity}).stated_cost_usd) == "0.006"
    assert extract({"usage": {**usage, "cost": {"total_cost": 0}}}).stated_cost_usd is None  # a chunk before the last one
    xai = extract({"usage": {**usage, "cost_in_usd_ticks": 5_000_000}}).stated_cost_usd
    assert (xai, extract({"usage": {**usage, "cost_in_usd_ticks": 0}}).stated_cost_usd) == (Decimal("0.0005"), None)


def test_the_object_of_xais_sdk_is_a_message_of_protobuf():
    class Proto:
        """Attributes without a `__dict__`, zeros for what was not sent."""

        __slots__ = ()
        prompt_tokens, completion_tokens, reasoning_tokens, total_tokens = 32, 9, 94, 135
        cached_prompt_text_tokens, cost_in_usd_ticks = 8, 0

    got = extract(SimpleNamespace(id="x-1", usage=Proto()))
    assert (got.usage, got.response_id) == (Usage(32, 103, 8, reasoning_tokens=94), "x-1")


def test_what_an_sdk_marks_as_not_sent_is_unknown_and_no_problem():
    class Unset:
        """As the SDKs of Mistral and OpenRouter have it."""

        def __bool__(self) -> bool:
            return False

    details = SimpleNamespace(reasoning_tokens=Unset(), audio_tokens=0)
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "completion_tokens_details": details, "cost": Unset()}
    got = extract({"usage": usage})
    assert (got.usage, got.stated_cost_usd, got.problems) == (Usage(9, 2, output_audio_tokens=0), None, ())


def test_openrouter_with_the_users_own_key_states_no_cost():
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0, "is_byok": True}
    assert extract({"usage": usage}).stated_cost_usd is None
    assert str(extract({"usage": {**usage, "is_byok": False, "cost": 4e-05}}).stated_cost_usd) == "0.00004"
    unsaid = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.00002, "cost_details": {"upstream_inference_cost": 0.0004}}
    assert extract({"usage": unsaid}).stated_cost_usd is None
