"""Which of OpenAI's parameters LiteLLM leaves out for a provider, so that it does not happen without a word."""

from __future__ import annotations

from typing import Any

from servicekit.engines.request_fields import OPENAI_FIELDS


def lacking_parameters(
    library: Any,  # noqa: ANN401 - it has no types where it is not installed
    provider: str,
    model: str,
) -> frozenset[str]:
    """Return the parameters that a provider's model does not have, as the library says; nothing if it does not know.

    The library drops them (`drop_params`); tried for nine providers: no field that it does not list was sent.
    """
    try:
        known = library.get_supported_openai_params(model=model, custom_llm_provider=provider)
    except Exception:  # the border to a library; without an answer there is no warning, and that is all  # noqa: BLE001
        return frozenset()
    return OPENAI_FIELDS - set(known) if known else frozenset()
