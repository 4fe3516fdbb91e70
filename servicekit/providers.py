"""Who can answer for a model: our own providers, and those of LiteLLM.

LiteLLM's names are written down here (without `vllm` and `petals`, which it runs inside the process: name a vLLM
server as openai_compatible), so that models.json can be checked, and a mistyped name be told, by processes
that never import that library. A test compares them with the pinned version's.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Ours: llama.cpp in a child process; an Ollama server; any other server that speaks OpenAI's API.
OWN_PROVIDERS = ("embedded", "ollama", "openai_compatible")
#: Those that LiteLLM calls, see https://docs.litellm.ai/docs/providers and docs/models.md.
LITELLM_PROVIDERS = frozenset(
    """
    a2a a2a_agent ai21 ai21_chat aiml aiohttp_openai amazon_nova anthropic anthropic_text apertis assemblyai
    auto_router aws_polly azure azure_ai azure_text baseten bedrock bedrock_mantle black_forest_labs bytez cerebras
    charity_engine chatgpt chutes clarifai cloudflare codestral cohere cohere_chat cometapi compactifai cursor
    custom_openai darkbloom dashscope databricks datarobot deepgram deepinfra deepseek docker_model_runner dotprompt
    elevenlabs empower fal_ai featherless_ai fireworks_ai friendliai galadriel gdc gemini gigachat github
    github_copilot gradient_ai groq helicone heroku hosted_vllm huggingface humanloop hyperbolic inception infinity
    jina_ai lambda_ai langflow langfuse langgraph lemonade libertai litellm_agent litellm_proxy llamafile lm_studio
    manus maritalk meta meta_llama milvus minimax mistral modelscope moonshot morph nano-gpt nebius neosantara
    nlp_cloud novita nscale nvidia_nim nvidia_riva oci ollama_chat oobabooga openai openai_like openrouter ovhcloud
    parasail perplexity pg_vector pinstripes poe predibase publicai ragflow recraft reducto replicate
    runwayml s3_vectors sagemaker sagemaker_chat sagemaker_nova sambanova sap scaleway snowflake soniox stability
    synthetic tencent tensormesh text-completion-codestral text-completion-inception text-completion-openai
    together_ai topaz triton v0 vercel_ai_gateway vertex_ai vertex_ai_beta volcengine voyage wandb watsonx
    watsonx_text xai xiaomi_mimo xinference zai
    """.split()  # noqa: SIM905 - a list of literals would be a line for each
)

#: Providers of LiteLLM whose key variable is not `<PROVIDER>_API_KEY`.
_ODD_KEY_VARIABLES = {
    "ai21_chat": "AI21_API_KEY",
    "cohere_chat": "COHERE_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "text-completion-codestral": "CODESTRAL_API_KEY",
    "text-completion-inception": "INCEPTION_API_KEY",
    "text-completion-openai": "OPENAI_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
}
#: Providers of LiteLLM that need one key, and nothing else. Others need none, several variables, or a file.
ONE_KEY_PROVIDERS = frozenset(
    """
    ai21 ai21_chat anthropic baseten cerebras codestral cohere cohere_chat dashscope deepinfra deepseek featherless_ai
    fireworks_ai groq huggingface inception mistral modelscope moonshot nebius nlp_cloud novita nvidia_nim openai
    openrouter perplexity replicate tencent text-completion-codestral text-completion-inception text-completion-openai
    together_ai vercel_ai_gateway volcengine voyage wandb xai
    """.split()  # noqa: SIM905 - a list of literals would be a line for each
)
#: Where `GET <address>/models` asks a provider for its models, with the key: a ping that costs nothing. As the library
#: has the addresses; anthropic's takes its key in another header.
LISTING_URLS = {
    "anthropic": "https://api.anthropic.com/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "together_ai": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
}


def key_variable_of(provider: str) -> str:
    """Return the variable that holds the key of one of LiteLLM's providers."""
    return _ODD_KEY_VARIABLES.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")


def listing_url_of(provider: str, variables: Mapping[str, str]) -> str | None:
    """Return where a provider of LiteLLM lists its models; None where that is not known.

    Args:
        provider: Its name.
        variables: Of the process; the library takes another address from `<PROVIDER>_API_BASE` and the like.
    """
    if provider not in LISTING_URLS:
        return None
    name = provider.upper()
    others = (f"{name.removesuffix('_AI')}_API_BASE", f"{name}_API_BASE", f"{name}_BASE_URL")
    return next((variables[other] for other in others if other in variables), LISTING_URLS[provider])
