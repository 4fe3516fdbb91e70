"""Where LiteLLM's providers continue texts, and their vectors in OpenAI's form."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from servicekit.engines.openai_compatible import Upstream
from servicekit.engines.request_fields import LITELLM, RequestFields
from servicekit.errors import InvalidRequestError, UpstreamBadResponseError
from servicekit.http.client import Target, Timeouts
from servicekit.models import Deployment
from servicekit.openai.chat import ChatObject
from servicekit.openai.dimensions import as_base64

_OPENAI_URL = "https://api.openai.com/v1"
_OPENAI = ("openai", "text-completion-openai")
#: What fireworks puts before the names of its own models, as the library does.
_FIREWORKS_PREFIX = "accounts/fireworks/models/"


def text_upstream_of(
    deployment: Deployment,
    library: Any,  # noqa: ANN401 - it has no types where it is not installed
    key: SecretStr | None,
    timeouts: Timeouts,
) -> Upstream:
    """Return where a provider has OpenAI's `/completions`.

    Args:
        deployment: Provider, model and address.
        library: LiteLLM: it knows which providers have the route, and their addresses.
        key: Sent as `Authorization: Bearer`.
        timeouts: Of each call.

    Raises:
        InvalidRequestError: The provider answers conversations only.
    """
    provider, model = deployment.provider, deployment.model
    if provider not in (*_OPENAI, *library.openai_text_completion_compatible_providers):
        raise InvalidRequestError(
            f"{provider} has no /v1/completions. Ask /v1/chat/completions, or name a model of another provider.",
            param="model",
        )
    _, _, found_key, found_url = library.get_llm_provider(model=f"{provider}/{model}", api_base=deployment.base_url)
    if provider == "fireworks_ai" and not model.startswith("accounts/"):
        model = _FIREWORKS_PREFIX + model
    label = f"{provider}'s model '{deployment.model}'"
    return Upstream(
        model=model,
        base_url=deployment.base_url or found_url or _OPENAI_URL,
        label=label,
        api_key=key or (SecretStr(found_key) if found_key else None),
        fields=RequestFields(label, LITELLM),
        timeouts=timeouts,
        answers_as=deployment.model,
    )


def read_vectors(document: dict[str, Any], target: Target, model: str, encoding: str | None) -> ChatObject:
    """Check the library's answer to an embeddings request, and write it as OpenAI does.

    Args:
        document: With numbers.
        target: Who gave it.
        model: Written into it.
        encoding: "base64" writes each vector as the little-endian bytes of its float32 values.

    Raises:
        UpstreamBadResponseError: There are no vectors in it.
    """
    try:
        vectors = [list(map(float, item["embedding"])) for item in document["data"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise UpstreamBadResponseError(f"{target} answered an embeddings request without vectors.") from exc
    usage = document.get("usage") or {}
    return {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": index, "embedding": as_base64(vector) if encoding == "base64" else vector}
            for index, vector in enumerate(vectors)
        ],
        "usage": {name: usage.get(name) or 0 for name in ("prompt_tokens", "total_tokens")},
    }
