"""What the grader can be told, by environment variables or `.env`."""

from __future__ import annotations

from pydantic import Field

from servicekit.model_settings import EngineSettings, ModelChoice, catalog_with
from servicekit.models import ModelCatalog


class GraderSettings(EngineSettings):
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
    """Return the model catalog whose default is the model that judges; raises as `catalog_with` does."""
    choice = ModelChoice(settings.model_id, settings.llm_endpoint, "GRADER_MODEL_ID", "GRADER_LLM_ENDPOINT")
    return catalog_with(settings.models_file, choice)
