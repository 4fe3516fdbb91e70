"""What the grader can be told, by environment variables or `.env`."""

from __future__ import annotations

from pydantic import Field

from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.model_loading import load_catalog
from servicekit.models import ModelCatalog
from servicekit.settings import ServiceSettings


class GraderSettings(ServiceSettings):
    """The settings of one grader process."""

    host: str = Field("127.0.0.1", validation_alias="GRADER_SERVICE_HOST", description="The address to bind.")
    port: int = Field(
        9003, ge=1, le=65535, validation_alias="GRADER_SERVICE_PORT", description="The port to listen on."
    )
    model_id: str | None = Field(
        None, validation_alias="GRADER_MODEL_ID", description="Who judges; models.json's default if not set."
    )
    llm_endpoint: str | None = Field(
        None,
        pattern="^https?://[^ ]+$",
        validation_alias="GRADER_LLM_ENDPOINT",
        description="The OpenAI-compatible URL at which GRADER_MODEL_ID is served, instead of models.json.",
    )
    max_source_chars: int = Field(
        8_000,
        ge=1,
        validation_alias="GRADER_MAX_SOURCE_CHARS",
        description="Longer sources are not judged; a model's own smaller limit counts.",
    )
    max_candidate_chars: int = Field(
        8_000,
        ge=1,
        validation_alias="GRADER_MAX_CANDIDATE_CHARS",
        description="Longer candidates and references are not judged; a model's own smaller limit counts.",
    )


def catalog_of(settings: GraderSettings) -> ModelCatalog:
    """Return the model catalog whose default is the model that judges.

    Raises:
        ConfigurationError: models.json cannot be used, the model is not in it, or an endpoint has no model.
    """
    catalog = load_catalog(settings.models_file)
    if settings.llm_endpoint is not None:
        if not settings.model_id:
            raise ConfigurationError(
                f"GRADER_LLM_ENDPOINT is set ({settings.llm_endpoint}) but GRADER_MODEL_ID is not. "
                "Set it to the model's name there."
            )
        return catalog.with_upstream(settings.model_id, settings.llm_endpoint)
    try:
        return catalog.with_default(settings.model_id) if settings.model_id else catalog
    except ModelNotFoundError as exc:
        raise ConfigurationError(f"GRADER_MODEL_ID: {exc.message}") from exc
