"""Names of providers and models: the many spellings of frameworks, SDKs and clouds brought to one.

Provider names are those of the OpenTelemetry GenAI conventions where they have one (`gen_ai.provider.name`:
openai, anthropic, aws.bedrock, azure.ai.openai, azure.ai.inference, gcp.gemini, gcp.vertex_ai, gcp.gen_ai, cohere,
deepseek, groq, ibm.watsonx.ai, mistral_ai, moonshot_ai, perplexity, x_ai), else a plain lower-case name.
Which id a model is priced under is the price book's to say; here names are only taken apart.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

NAME_MAX: Final = 200
"""Longer names are cut: they come from outside and end up in labels and caches."""

_SPELLINGS: Final[dict[str, str]] = {
    "openai": "openai open_ai openai_chat chatopenai openai_responses openai_completion text_completion_openai",
    "anthropic": "anthropic claude chatanthropic anthropic_llm anthropic_chat",
    "aws.bedrock": "aws.bedrock aws_bedrock bedrock bedrock_converse amazon_bedrock amazon_bedrock_converse chatbedrock "
    "chatbedrockconverse bedrock_runtime anthropic_bedrock anthropicbedrock chatanthropicbedrock anthropic_mantle "
    "openai_mantle aws amazon sagemaker_chat bedrock_mantle",
    "azure.ai.openai": "azure.ai.openai az.ai.openai azure azure_openai azure_openai_responses azureopenai azurechatopenai "
    "openai_azure azure_openai_chat azure_text",
    "azure.ai.inference": "azure.ai.inference az.ai.inference azure_ai azure_ai_inference azure_inference azure_ai_studio "
    "azure_foundry azure_ai_foundry azureai",
    "gcp.gemini": "gcp.gemini gemini google google_genai google_gen_ai google_generative_ai google_gla google_ai "
    "google_ai_studio googleai chatgooglegenerativeai googlegenerativeai google.generative_ai palm google_palm "
    "vertex_ai_gemini_api google_gemini",
    "gcp.vertex_ai": "gcp.vertex_ai vertex vertex_ai vertexai google_vertexai google_vertex google_vertex_ai chatvertexai "
    "vertex_ai_beta google.vertex google_anthropic_vertex anthropic_vertex anthropicvertex chatanthropicvertex "
    "vertex_anthropic vertexmodelgardenllama",
    "gcp.gen_ai": "gcp.gen_ai gcp_gen_ai",
    "cohere": "cohere cohere_chat chatcohere cohere_v2",
    "deepseek": "deepseek deep_seek chatdeepseek",
    "groq": "groq chatgroq",
    "ibm.watsonx.ai": "ibm.watsonx.ai watsonx watsonx.ai ibm ibm_watsonx watsonx_text chatwatsonx",
    "mistral_ai": "mistral_ai mistral mistralai chatmistralai codestral text_completion_codestral",
    "moonshot_ai": "moonshot_ai moonshot moonshotai kimi",
    "perplexity": "perplexity pplx perplexity_ai chatperplexity",
    "x_ai": "x_ai xai x.ai grok chatxai",
    "alibaba": "alibaba dashscope qwen tongyi alibaba_cloud aliyun model_studio chattongyi chatqwen alibaba_qwen bailian",
    "together": "together together_ai togetherai chattogether",
    "fireworks": "fireworks fireworks_ai fireworksai chatfireworks",
    "huggingface": "huggingface hugging_face hf huggingface_hub chathuggingface hf_inference",
    "openrouter": "openrouter open_router chatopenrouter",
    "zai": "zai z.ai z_ai",
    "zhipuai": "zhipuai zhipu bigmodel glm",
    "minimax": "minimax minimax_ai chatminimax",
    "github-copilot": "github_copilot copilot",
    "cloudflare": "cloudflare workers_ai cloudflare_workers_ai",
    "databricks": "databricks chatdatabricks",
    "voyageai": "voyageai voyage voyage_ai",
    "nvidia": "nvidia nvidia_nim nim nvidia_ai_endpoints chatnvidia",
    "ollama": "ollama ollama_chat chatollama ollamallm",
    "vllm": "vllm hosted_vllm vllm_openai",
    "lm_studio": "lm_studio lmstudio",
    "llamacpp": "llamacpp llama_cpp llama.cpp llama_cpp_python llama_server chatllamacpp",
    "tgi": "tgi text_generation_inference huggingface_tgi",
    "llamafile": "llamafile",
    "sglang": "sglang",
    "mlx": "mlx mlx_lm chatmlx",
    "localai": "localai local_ai",
    "gpt4all": "gpt4all",
    "docker_model_runner": "docker_model_runner docker",
    "xinference": "xinference",
    "ai21": "ai21 ai21_labs jamba",
    "byteplus": "byteplus modelark",
    "inception": "inception inception_labs mercury",
    "meta": "meta meta_llama llama_api meta_ai",
    "stepfun": "stepfun stepfun_ai step",
    "upstage": "upstage solar chatupstage",
    "xiaomi": "xiaomi xiaomi_mimo mimo",
    "sakana": "sakana sakana_ai",
    "cerebras": "cerebras chatcerebras cerebras_ai",
    "sambanova": "sambanova samba_nova chatsambanova sambanovacloud",
    "novita": "novita novita_ai",
    "ovhcloud": "ovhcloud ovh",
}
_NOT_PROVIDERS: Final = frozenset(
    [
        "unknown",
        "none",
        "null",
        "other",
        "_other",
        "custom",
        "langchain",
        "langchain_core",
        "langgraph",
        "litellm",
        "litellm_proxy",
        "lite_llm",
        "crewai",
        "autogen",
        "ag2",
        "strands_agents",
        "strands",
        "llamaindex",
        "llama_index",
        "pydantic_ai",
        "haystack",
        "semantic_kernel",
        "gcp.vertex.agent",
        "google_adk",
        "agno",
        "dspy",
        "openai_agents",
        "instructor",
        "traceloop",
        "openlit",
        "portkey",
        "smolagents",
        "init_chat_model",
    ]
)
"""What emitters write where a provider belongs: the framework or gateway. Who was called is then told by the model's name."""

LOCAL_PROVIDERS: Final = frozenset(
    {
        "ollama", "vllm", "lm_studio", "llamacpp", "tgi", "llamafile", "sglang", "mlx", "localai", "gpt4all",
        "docker_model_runner", "xinference",
    }
)  # fmt: skip
"""Programs that run a model on hardware of your own: no tokens are billed."""

_PROVIDERS: Final = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_KNOWN: Final = frozenset(_SPELLINGS)
_APIS: Final = (".chat", ".messages", ".responses", ".completion", ".embedding")
"""What the AI SDK for TypeScript writes after a provider's name: which of its APIs was called."""

_OPAQUE_ARN: Final = re.compile(r":(?:application-inference-profile|provisioned-model|custom-model|imported-model|prompt)")
_ROUTES: Final = re.compile(r"^(?:converse|invoke|converse_like|responses|chat|[a-z]{2}(?:-[a-z]+)+-\d)/")
"""Path segments that routers put between the provider's and the model's name: an API's name, a cloud region."""
_RESOURCE: Final = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/(.+)$")
_LOCAL_TAG: Final = re.compile(r":(?:latest|cloud|\d+(?:\.\d+)?[bm]\b|.*(?:q\d|fp16|bf16|instruct|-cloud|\d+b)).*$")
_CLAUDE: Final = re.compile(r"^claude-(\d)[-.](\d)-(opus|sonnet|haiku)(?=$|-|@)")
"""Generations before the family's name: `claude-4-5-sonnet` for what is called `claude-sonnet-4-5`."""
_SIZE: Final = re.compile(r"(?:^|[-_:/])(?:\d+x)?\d+(?:\.\d+)?[bm](?:$|[-_:@])")

_VERSION_WORD: Final = re.compile(
    r"^(?:v?\d+[kmb]?|preview|exp|experimental|latest|beta|alpha|rc\d*|thinking|high|low|medium|minimal|default|global|snapshot|it|instruct|customtools)$"
)

_BY_PLACE: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"^arn:aws[\w-]*:(?:bedrock|sagemaker):"), "aws.bedrock"),
    (
        re.compile(
            r"^(?:[a-z]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|stability|writer)\.[a-z]"
        ),
        "aws.bedrock",
    ),
    (re.compile(r"^claude-\w+.*@\d{8}$"), "gcp.vertex_ai"),
    (re.compile(r"^accounts/fireworks/"), "fireworks"),
    (re.compile(r"^@cf/"), "cloudflare"),
)
"""Forms that only one cloud gives its models' names."""

_BY_NAME: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (r"^claude-", "anthropic"),
        (
            r"^(?:gpt-(?!oss|j|neo)|chatgpt-|o[1-9](?:-|$)|text-embedding-(?:3|ada)|computer-use-|codex-|davinci-|babbage-)",
            "openai",
        ),
        (r"^ft:(?:gpt-|o\d|davinci|babbage)", "openai"),
        (r"^gemini-", "gcp.gemini"),
        (r"^grok-(?!1)", "x_ai"),
        (r"^command-[a-z].*-\d{2}-\d{4}$", "cohere"),
        (r"^(?:mistral|magistral|codestral|devstral|ministral|pixtral|voxtral)-.*(?:latest|\d{4})$", "mistral_ai"),
        (r"^deepseek-(?:chat|reasoner|flash)$", "deepseek"),
        (r"^qwen-(?:plus|max|turbo|flash)(?:-|$)", "alibaba"),
        (r"^sonar(?:-|$)", "perplexity"),
        (r"^voyage-", "voyageai"),
    )
)
"""Names that only one company sells under. Open weights (llama, gpt-oss, qwen3-32b …) have no place here: anybody serves them."""

_FAMILY: Final[dict[str, frozenset[str]]] = {
    "azure.ai.openai": frozenset({"azure.ai.openai", "azure.ai.inference", "openai"}),
    "azure.ai.inference": frozenset({"azure.ai.openai", "azure.ai.inference", "openai"}),
    "gcp.gemini": frozenset({"gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"}),
    "gcp.vertex_ai": frozenset({"gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai", "anthropic"}),
    "gcp.gen_ai": frozenset({"gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"}),
}
"""Prefixes that may be taken off a model's name beside the provider's own: one company under several names."""


class Spelling(NamedTuple):
    """One way to read a (provider, model): both cleaned, `model` without the provider's prefix."""

    provider: str | None
    model: str


@lru_cache(maxsize=1024)
def canonical_provider(name: str | None) -> str | None:
    """The provider's name as the OpenTelemetry GenAI conventions spell it.

    Understands OTel's own older names, LangChain's `ls_provider` values and class names, LiteLLM's and CrewAI's prefixes
    and pydantic-ai's ids. A name nobody knows comes back cleaned (lower case); None comes back for None, for an empty
    string and for frameworks and gateways, which are not who was called.
    """
    if not isinstance(name, str):
        return None
    plain = name.strip().lower()[:NAME_MAX]
    key = plain.replace("-", "_").replace(" ", "_")
    if not key or key in _NOT_PROVIDERS:
        return None
    stem = next((key.removesuffix(end) for end in _APIS if key.endswith(end)), "")
    return _PROVIDERS.get(key) or _PROVIDERS.get(stem) or _PROVIDERS.get(stem.partition(".")[0]) or plain


def is_known_provider(name: object) -> bool:
    """True for the canonical name of a provider that this file knows."""
    return name in _KNOWN


def clean_model(model: str) -> str:
    """A model's name without resource paths and ARNs, lower case: `models/x`, `publishers/google/models/x`, `arn:…/x` -> `x`.

    ARNs that hide the model (application inference profiles, provisioned throughput) stay whole.
    """
    name = model.strip().lower()[:NAME_MAX]
    if name.startswith("arn:"):
        return name if _OPAQUE_ARN.search(name) else _arn_model(name)
    resource = _RESOURCE.match(name)
    if resource:
        return resource[2]
    return name.removeprefix("litellm_proxy/").removeprefix("models/")


def _arn_model(arn: str) -> str:
    """The model of an ARN, with the partition where that has prices of its own."""
    model = arn.rsplit("/", 1)[-1]
    return f"us-gov.{model.removeprefix('us-gov.')}" if arn.startswith("arn:aws-us-gov:") else model


def spellings(provider: str | None, model: str) -> tuple[Spelling, ...]:
    """The ways in which a price table may know this model, most literal first; empty when nobody can say who was called.

    A prefix that names the provider itself (or stands in for a missing one) is taken off: `openai/gpt-4o`,
    `openai:gpt-4o`, `openrouter/openai/gpt-4o`, `bedrock/eu-west-1/…`. A prefix that contradicts the provider stays: many
    providers sell other companies' models under such names. Without a provider only names that one company
    alone sells are recognised; a local tag (`deepseek-r1:8b`) or a weight size (`…-20b`) tells that anybody may serve it.
    """
    who = canonical_provider(provider)
    name = clean_model(model)
    if who is None:
        return _without_provider(name)
    found = [Spelling(who, name)]
    owner, rest = _split(name)
    if owner is not None and (owner == who or owner in _FAMILY.get(who, ())):
        found.append(Spelling(who, rest))
    reordered = _CLAUDE.sub(r"claude-\3-\1-\2", name)
    if reordered != name:
        found.append(Spelling(who, reordered))
    if who == "huggingface" and ":" in name:
        base, _, served_by = name.rpartition(":")
        found.append(Spelling(f"huggingface_{served_by}", base))
    return tuple(found)


def _without_provider(name: str) -> tuple[Spelling, ...]:
    owner, rest = _split(name)
    if owner is not None:
        return (Spelling(owner, rest), *((Spelling(owner, inner),) if (inner := _split_own(owner, rest)) else ()))
    for pattern, provider in _BY_PLACE if is_open_or_local(name) else (*_BY_PLACE, *_BY_NAME):
        if pattern.search(name):
            return (Spelling(provider, name),)
    return ()


def _split(name: str) -> tuple[str | None, str]:
    """A leading provider's name and the rest; (None, name) when there is none."""
    for mark in ("/", ":"):
        head, found, rest = name.partition(mark)
        if found and rest and head.replace("-", "_") in _PROVIDERS and not (mark == ":" and _LOCAL_TAG.search(name)):
            return canonical_provider(head), clean_model(_ROUTES.sub("", rest))
    return None, name


def _split_own(owner: str, name: str) -> str | None:
    inner, rest = _split(name)
    return rest if inner == owner else None


def is_open_or_local(name: str) -> bool:
    """Whether a bare model name looks like open weights or a local tag, which say nothing about who served it."""
    return has_local_tag(name) or (not name.startswith("ft:") and bool(_SIZE.search(name)))


def has_local_tag(name: str) -> bool:
    """Whether a name ends in a tag as Ollama's do (`deepseek-r1:8b`, `llama3:latest`): no provider's list has such names."""
    return not name.startswith("ft:") and bool(_LOCAL_TAG.search(name))


def is_variant(name: str, of: str) -> bool:
    """Whether a name is another name of a model (`of`), as far as its extra words tell: dates, versions, `preview`, `latest` …

    `gemini-2.5-pro-exp-03-25` is a variant of `gemini-2.5-pro`, `gemini-2.5-pro-ultra` is somebody else. A name that does
    not begin with the other says nothing, and passes.
    """
    return not name.startswith(of) or all(
        _VERSION_WORD.match(word) for word in re.split(r"[-_.:@/\[\]]+", name[len(of) :]) if word
    )
