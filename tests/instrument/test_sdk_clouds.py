"""The SDKs' clients for other clouds, and clients of gateways: every token, under the name of who answered."""

from __future__ import annotations

import anthropic
import openai
import pytest

from costspan.testing import Reply
from sdk_cases import balanced, calls, hello, needs, only_call
from sdk_hosts import body, events, http, streamed

MESSAGES = {"messages": hello(), "max_tokens": 50}
TELL = {"stream_options": {"include_usage": True}}


async def ask_openai(client, model, **more):
    found = client.chat.completions.create(model=model, messages=hello(), **more)
    found = await found if hasattr(found, "__await__") else found
    if more.get("stream"):
        return [each async for each in found] if hasattr(found, "__aiter__") else list(found)
    return found


async def ask_anthropic(client, model, **more):
    found = client.messages.create(model=model, **MESSAGES, **more)
    found = await found if hasattr(found, "__await__") else found
    if more.get("stream"):
        return [each async for each in found] if hasattr(found, "__aiter__") else list(found)
    return found


@needs(openai, "BedrockOpenAI")
@pytest.mark.parametrize("kind", ["BedrockOpenAI", "AsyncBedrockOpenAI"])
@pytest.mark.parametrize("more", [{}, {"stream": True, **TELL}], ids=["whole", "stream"])
async def test_openais_bedrock_clients_are_named_bedrock(seen, provider, kind, more):
    provider.always(Reply(model="openai.gpt-oss-120b-1:0"))
    client = getattr(openai, kind)(api_key="none", aws_region="eu-west-1", base_url=provider.openai_url)
    assert await ask_openai(client, "openai.gpt-oss-120b-1:0", **more)
    balanced(seen, provider)
    assert only_call(seen)["gen_ai.provider.name"] == "aws.bedrock"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi", "gcp.vertex_ai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gcp.gemini"),
        ("https://me.services.ai.azure.com/openai/v1/", "azure.ai.inference"),
        ("https://api.groq.com/openai/v1", "groq"),
    ],
)
def test_openais_plain_client_at_a_clouds_address_is_named_after_it(seen, address, name):
    with http.Client(transport=http.MockTransport(lambda request: http.Response(200, json=body("openai")))) as client:
        openai.OpenAI(base_url=address, api_key="none", http_client=client).chat.completions.create(model="m", messages=hello())
    assert (only_call(seen)["gen_ai.provider.name"], seen.tokens()) == (name, 18)


@needs(anthropic, "AnthropicFoundry")
@pytest.mark.parametrize("kind", ["AnthropicFoundry", "AsyncAnthropicFoundry"])
@pytest.mark.parametrize("stream", [False, True])
async def test_anthropics_foundry_clients_are_named_foundry(seen, provider, kind, stream):
    client = getattr(anthropic, kind)(api_key="none", base_url=provider.anthropic_url)
    assert await ask_anthropic(client, "claude-haiku-4-5", stream=stream)
    balanced(seen, provider)
    assert only_call(seen)["gen_ai.provider.name"] == "azure.ai.inference"


@pytest.mark.parametrize("kind", ["Anthropic", "AsyncAnthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_through_a_gateway_is_counted(seen, provider, kind, stream):
    """Gateways (LiteLLM, Cloudflare, Portkey) keep Anthropic's path under an address and a prefix of their own."""
    paths = []

    def answer(request):
        paths.append(request.url.path)
        return streamed(events("anthropic")) if stream else http.Response(200, json=body("anthropic"))

    async def answer_async(request):
        return answer(request)

    asynchronous = kind.startswith("Async")
    transport = http.MockTransport(answer_async if asynchronous else answer)
    http_client = (http.AsyncClient if asynchronous else http.Client)(transport=transport)
    client = getattr(anthropic, kind)(api_key="none", base_url="https://gateway.test/team/anthropic", http_client=http_client)
    await ask_anthropic(client, "claude-haiku-4-5", stream=stream)
    assert paths == ["/team/anthropic/v1/messages"]
    assert (only_call(seen)["gen_ai.provider.name"], seen.tokens()) == ("anthropic", 18)
    assert seen.metric("costspan_unpriced_calls_total") == 0


@pytest.mark.parametrize("path", ["/v1/messages?beta=true", "/v1/messages/", "/messages"])
def test_the_path_is_known_however_it_is_written(seen, path):
    with http.Client(transport=http.MockTransport(lambda request: http.Response(200, json=body("anthropic")))) as client:
        asking = anthropic.Anthropic(api_key="none", base_url="https://gateway.test", http_client=client)
        asking.post(path, body={"model": "claude-haiku-4-5", **MESSAGES}, cast_to=object)
    assert seen.tokens() == 18
    assert len(calls(seen)) == 1
