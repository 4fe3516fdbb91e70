"""What the retriever can be told, by environment variables or `.env`."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from servicekit.settings import ServiceSettings

#: As a value of RETRIEVER_DATA_DIR: nothing is written, and nothing outlives the process.
IN_MEMORY = Path(":memory:")


class RetrieverSettings(ServiceSettings):
    """The settings of one retriever process."""

    host: str = Field("127.0.0.1", validation_alias="RETRIEVER_SERVICE_HOST", description="The address to bind.")
    port: int = Field(
        7000, ge=1, le=65535, validation_alias="RETRIEVER_SERVICE_PORT", description="The port to listen on."
    )
    documents_dir: Path = Field(
        Path("compose", "documents"),
        validation_alias="RETRIEVER_DOCUMENTS_DIR",
        description="The folder whose files are read at the start; what left it since is forgotten.",
    )
    data_dir: Path = Field(
        Path("data", "retriever"),
        validation_alias="RETRIEVER_DATA_DIR",
        description="Where the index is kept; ':memory:' keeps it as long as the process runs. A relative folder, here "
        "and above, starts at the project's root.",
    )
    embedding_endpoint: str | None = Field(
        None,
        pattern="^https?://[^ ]+$",
        validation_alias="RETRIEVER_EMBEDDING_ENDPOINT",
        description="The full URL that embeddings are asked from (OpenAI's API); the LLM microservice's if not set.",
    )
    embedding_model: str | None = Field(
        None,
        validation_alias="RETRIEVER_EMBEDDING_MODEL",
        description="The model that is asked for there; its default one if not set.",
    )
    embedding_api_key: SecretStr | None = Field(
        None,
        validation_alias="RETRIEVER_EMBEDDING_API_KEY",
        description="Sent to RETRIEVER_EMBEDDING_ENDPOINT. The LLM microservice gets the first of API_KEYS.",
    )
    llm_host: str = Field(
        "127.0.0.1", validation_alias="LLM_SERVICE_HOST_IP", description="Where the LLM microservice is."
    )
    llm_port: int = Field(
        9002,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("LLM_SERVICE_PORT", "LLM_SERVER_PORT"),
        description="The LLM microservice's port.",
    )
    chunk_size_tokens: int = Field(
        200,
        ge=20,
        le=4096,
        validation_alias="RETRIEVER_CHUNK_SIZE_TOKENS",
        description="How long a passage is at most, in tokens of about four letters.",
    )
    chunk_overlap_tokens: int = Field(
        40,
        ge=0,
        le=2048,
        validation_alias="RETRIEVER_CHUNK_OVERLAP_TOKENS",
        description="How much of a passage the next one repeats, at most half of one.",
    )
    max_passages: int = Field(
        20_000,
        ge=1,
        validation_alias="RETRIEVER_MAX_PASSAGES",
        description="How many passages are kept; files beyond that are refused.",
    )
    embedding_wait_seconds: float = Field(
        10.0,
        gt=0,
        validation_alias="RETRIEVER_EMBEDDING_WAIT_SECONDS",
        description="How long a question waits for embeddings; after that, full text alone answers it.",
    )

    @property
    def embedding_url(self) -> str:
        """The full URL that embeddings are asked from."""
        return self.embedding_endpoint or f"http://{self.llm_host}:{self.llm_port}/v1/embeddings"

    @property
    def embedding_key(self) -> SecretStr | None:
        """The key that is sent there: one of another endpoint is never sent to ours, nor the other way round."""
        if self.embedding_endpoint is not None:
            return self.embedding_api_key
        return self.api_keys[0] if self.api_keys else None
