"""Which models there are: models.json, and what OPEA's environment variables add to it."""

from __future__ import annotations

from typing import Self

from pydantic import AliasChoices, Field, model_validator

from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.model_loading import load_catalog
from servicekit.models import ModelCatalog
from servicekit.settings import ServiceSettings


class ModelSettings(ServiceSettings):
    """Settings of a process that knows the LLM microservice's models: itself, and the gateway."""

    model_id: str | None = Field(
        None,
        validation_alias=AliasChoices("LLM_MODEL_ID", "LLM_MODEL"),
        description="The model that answers requests without one: a name of models.json, or LLM_ENDPOINT's.",
    )
    endpoint: str | None = Field(
        None,
        pattern="^https?://[^ ]+$",
        validation_alias="LLM_ENDPOINT",
        description="The URL of an OpenAI-compatible server that has LLM_MODEL_ID.",
    )

    @model_validator(mode="after")
    def _endpoint_needs_model(self) -> Self:
        if self.endpoint is not None and self.model_id is None:
            raise ValueError("LLM_ENDPOINT is set without LLM_MODEL_ID; set it to a model of that server")
        return self


def catalog_from(settings: ModelSettings) -> ModelCatalog:
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
