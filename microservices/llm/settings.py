"""The LLM microservice's settings, under the names that OPEA's users set."""

from __future__ import annotations

from typing import Self

from pydantic import AliasChoices, Field, model_validator

from servicekit.settings import ServiceSettings


class LLMSettings(ServiceSettings):
    """What `python -m microservices.llm` can be told."""

    host: str = Field(
        "127.0.0.1", validation_alias="LLM_SERVICE_HOST", description="The address to listen on; 0.0.0.0 is all."
    )
    port: int = Field(
        9002,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("LLM_SERVICE_PORT", "LLM_SERVER_PORT"),
        description="The port to listen on.",
    )
    endpoint_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias="LLM_ENDPOINT_PORT",
        description="A second port on which the same service answers.",
    )
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
    embedded_parallel: int = Field(
        8,
        ge=1,
        le=64,
        validation_alias="LLM_EMBEDDED_PARALLEL",
        description="How many requests llama.cpp computes at the same time.",
    )
    embedded_threads: int | None = Field(
        None,
        ge=1,
        le=256,
        validation_alias="LLM_EMBEDDED_THREADS",
        description="Threads that llama.cpp computes with; one per core if absent.",
    )
    embedded_context: int = Field(
        4096,
        ge=128,
        validation_alias="LLM_EMBEDDED_CONTEXT",
        description="The most tokens that a request and its answer may have together; the model may allow less.",
    )

    @model_validator(mode="after")
    def _endpoint_needs_model(self) -> Self:
        if self.endpoint is not None and self.model_id is None:
            raise ValueError("LLM_ENDPOINT is set without LLM_MODEL_ID; set it to a model of that server")
        return self

    @property
    def ports(self) -> list[int]:
        """Every port to listen on, each once."""
        return list(dict.fromkeys(port for port in (self.port, self.endpoint_port) if port is not None))
