"""Who can answer for a model: our own providers, and those of LiteLLM.

LiteLLM's names are written down here (without `vllm` and `petals`, which it runs inside the process: name a vLLM
server as openai_compatible), so that models.json can be checked, and a mistyped name be told, by processes
that never import that library. A test compares them with the pinned version's.
"""

from __future__ import annotations

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
