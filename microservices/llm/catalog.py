"""Which models this process serves: models.json, and what the environment adds to it."""

from __future__ import annotations

from microservices.llm.settings import LLMSettings
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.models import ModelCatalog, load_catalog


def catalog_from(settings: LLMSettings) -> ModelCatalog:
    """Return the catalog that the settings ask for.

    Raises:
        ConfigurationError: models.json is not usable, or LLM_MODEL_ID is a name that nothing answers for.
    """
    catalog = load_catalog(settings.models_file)
    if settings.model_id is None:
        return catalog
    if settings.endpoint is not None:
        return catalog.with_upstream(settings.model_id, settings.endpoint)
    try:
        return catalog.with_default(settings.model_id)
    except ModelNotFoundError as exc:
        raise ConfigurationError(
            f"LLM_MODEL_ID is '{settings.model_id}', but the models there are: {', '.join(catalog.names)}. Add an "
            f"alias to {settings.models_file}, or set LLM_ENDPOINT to the URL of a server that has this model."
        ) from exc
