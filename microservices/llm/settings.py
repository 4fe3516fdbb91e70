"""The LLM microservice's settings, under the names that OPEA's users set."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from servicekit.model_settings import EngineSettings, ModelSettings


class LLMSettings(ModelSettings, EngineSettings):
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
    embedded_parallel: int = Field(
        4,
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
        description="Threads that llama.cpp computes with; if absent one for a small model, else one per core.",
    )
    embedded_context: int = Field(
        4096,
        ge=128,
        validation_alias="LLM_EMBEDDED_CONTEXT",
        description="The most tokens that a request and its answer may have together; the model may allow less.",
    )
    connect_timeout_seconds: float = Field(
        5.0,
        gt=0,
        validation_alias="LLM_CONNECT_TIMEOUT_SECONDS",
        description="How long connecting to an upstream may take.",
    )
    first_token_timeout_seconds: float = Field(
        120.0,
        gt=0,
        validation_alias="LLM_FIRST_TOKEN_TIMEOUT_SECONDS",
        description="How long an engine may take to its first token.",
    )
    idle_timeout_seconds: float = Field(
        60.0,
        gt=0,
        validation_alias="LLM_IDLE_TIMEOUT_SECONDS",
        description="How long a stream may pause.",
    )
    total_timeout_seconds: float = Field(
        600.0,
        gt=0,
        validation_alias="LLM_TOTAL_TIMEOUT_SECONDS",
        description="How long a whole answer may take.",
    )

    @property
    def ports(self) -> list[int]:
        """Every port to listen on, each once."""
        return list(dict.fromkeys(port for port in (self.port, self.endpoint_port) if port is not None))
