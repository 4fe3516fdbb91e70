"""What the assistants service can be told, by environment variables or `.env`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from microservices.assistants.store.database import with_driver
from servicekit.environment import PROJECT_ROOT
from servicekit.settings import ServiceSettings

#: Where the SQLite database goes if nobody says otherwise; it starts at the project's root.
DEFAULT_DATA_DIR = Path("data")
_HTTP_URL = "^https?://[^ ]+$"


class AssistantsSettings(ServiceSettings):
    """The settings of one process that serves assistants."""

    host: str = Field("127.0.0.1", validation_alias="ASSISTANTS_HOST", description="The address to bind.")
    port: int = Field(3000, ge=1, le=65535, validation_alias="ASSISTANTS_PORT", description="The port to listen on.")
    data_dir: Path = Field(
        DEFAULT_DATA_DIR,
        validation_alias="ASSISTANTS_DATA_DIR",
        description="The folder of the SQLite database; a relative one starts at the project's root. It is made, but "
        "not the folders around it.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="sqlite:///path or postgresql://user:password@host:5432/name, instead of the data folder. The "
        "path's folder must be there.",
    )
    gateway_url: str | None = Field(
        None,
        pattern=_HTTP_URL,
        validation_alias="ASSISTANTS_GATEWAY_URL",
        description="Where the models and pipelines are; http://127.0.0.1:8000/v1 if not set, by MEGA_SERVICE_PORT.",
    )
    gateway_port: int = Field(
        8000, ge=1, le=65535, validation_alias="MEGA_SERVICE_PORT", description="The gateway's port on this machine."
    )
    gateway_api_key: SecretStr | None = Field(
        None,
        validation_alias="ASSISTANTS_GATEWAY_API_KEY",
        description="The key that the gateway is called with; the first of API_KEYS if not set.",
    )
    embeddings_url: str | None = Field(
        None,
        pattern=_HTTP_URL,
        validation_alias="ASSISTANTS_EMBEDDINGS_URL",
        description="An OpenAI-compatible URL whose /embeddings file_search uses besides full text; needs a model.",
    )
    embedding_model: str | None = Field(
        None,
        validation_alias="ASSISTANTS_EMBEDDING_MODEL",
        description="The embedding model; full text only if not set.",
    )
    embeddings_api_key: SecretStr | None = Field(
        None,
        validation_alias="ASSISTANTS_EMBEDDINGS_API_KEY",
        description="The key that the embedding service is called with, if it wants one.",
    )
    run_expiry_seconds: int = Field(
        600,
        ge=1,
        le=86_400,
        validation_alias="ASSISTANTS_RUN_EXPIRY_SECONDS",
        description="A run that has not ended by then expires.",
    )
    concurrent_runs: int = Field(
        64,
        ge=1,
        le=1_000,
        validation_alias="ASSISTANTS_CONCURRENT_RUNS",
        description="How many runs this process works on at once; others wait.",
    )
    run_attempts: int = Field(
        3,
        ge=1,
        le=20,
        validation_alias="ASSISTANTS_RUN_ATTEMPTS",
        description="How often a run is begun whose process died; then it fails.",
    )
    events_kept_hours: float = Field(
        24.0,
        gt=0,
        le=8_760,
        validation_alias="ASSISTANTS_EVENTS_KEPT_HOURS",
        description="For how long the stream of an ended run can be read again.",
    )
    crash_file: Path | None = Field(
        None,
        validation_alias="ASSISTANTS_CRASH_FILE",
        description="For tests alone: names the point of a run's life at which the process kills itself.",
    )
    max_file_bytes: int = Field(
        64_000_000,
        ge=1_000,
        le=512_000_000,
        validation_alias="ASSISTANTS_MAX_FILE_BYTES",
        description="Larger files are answered 413.",
    )

    @field_validator("database_url")
    @classmethod
    def _is_supported(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            with_driver(value.get_secret_value())
        return value

    @property
    def database(self) -> str:
        """The database's URL; it may hold a password."""
        if self.database_url is None:
            return f"sqlite:///{PROJECT_ROOT / self.data_dir / 'assistants.sqlite'}"
        return self.database_url.get_secret_value()

    @property
    def gateway(self) -> str:
        """The base URL that models are called at, without a slash at its end."""
        return (self.gateway_url or f"http://127.0.0.1:{self.gateway_port}/v1").rstrip("/")

    @property
    def gateway_key(self) -> str | None:
        """The key that the gateway is called with."""
        key = self.gateway_api_key or next(iter(self.api_keys), None)
        return key.get_secret_value() if key else None
