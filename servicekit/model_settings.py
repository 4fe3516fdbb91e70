"""Which models there are: models.json, and what OPEA's environment variables add to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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


class EngineSettings(ServiceSettings):
    """Settings of a process that runs engines."""

    ping_providers: bool = Field(
        True,
        validation_alias="PING_PROVIDERS",
        description="Whether the start asks each provider in use whether it is there; `--no-ping` says no, too.",
    )


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What variables say about the model that answers by default.

    Attributes:
        model: Its name; None leaves the default to models.json.
        endpoint: The URL of an OpenAI-compatible server that has it.
        model_variable: What `model` was read from, for messages.
        endpoint_variable: What `endpoint` was read from.
    """

    model: str | None
    endpoint: str | None
    model_variable: str = "LLM_MODEL_ID"
    endpoint_variable: str = "LLM_ENDPOINT"


def catalog_from(settings: ModelSettings) -> ModelCatalog:
    """Return the catalog that the settings ask for; raises as `catalog_with` does."""
    return catalog_with(settings.models_file, ModelChoice(settings.model_id, settings.endpoint))


def catalog_with(models_file: Path, choice: ModelChoice) -> ModelCatalog:
    """Return the catalog of models.json with the default that somebody chose.

    Raises:
        ConfigurationError: models.json is not usable, an endpoint has no model, or nothing answers for the model.
    """
    catalog = load_catalog(models_file)
    if choice.model is None and choice.endpoint is None:
        return catalog
    if choice.model is None:
        raise ConfigurationError(
            f"{choice.endpoint_variable} is set without {choice.model_variable}; set it to a model of that server."
        )
    if choice.endpoint is not None:
        return catalog.with_upstream(choice.model, choice.endpoint)
    try:
        return catalog.with_default(choice.model)
    except ModelNotFoundError as exc:
        raise ConfigurationError(
            f"{choice.model_variable} is '{choice.model}', but the models there are: {', '.join(catalog.names)}. Add "
            f"an alias to {models_file}, or set {choice.endpoint_variable} to the URL of a server that has this model."
        ) from exc
