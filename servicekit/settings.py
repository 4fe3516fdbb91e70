"""Typed settings, one frozen class per process, read from the environment and `.env`.

Unknown variables are ignored, because one `.env` serves every process (decision 0, question 10).
Variables that OPEA users know under two names (`LLM_SERVICE_PORT`, `LLM_SERVER_PORT`) are aliases of one field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from servicekit.environment import PROJECT_ROOT, env_file
from servicekit.errors import ConfigurationError
from servicekit.http.call import Transport
from servicekit.validation import expectation

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
CommaSeparatedSecrets = Annotated[tuple[SecretStr, ...], NoDecode]


class _DocumentedNamesOnly:
    """Makes a source know a field by its documented variables alone.

    `populate_by_name`, which lets code name fields, would otherwise make `HOST` and `PORT` settings, too.
    """

    def _extract_field_info(self, field: FieldInfo, field_name: str) -> list[tuple[str, str, bool]]:
        found: list[tuple[str, str, bool]] = super()._extract_field_info(field, field_name)  # type: ignore[misc]
        if field.validation_alias is None:
            return found
        return [info for info in found if info[0] != field_name]


class _Environment(_DocumentedNamesOnly, EnvSettingsSource):
    pass


class _DotEnv(_DocumentedNamesOnly, DotEnvSettingsSource):
    def __call__(self) -> dict[str, Any]:
        """Return the values of fields alone; stock adds every other line of the file under its name."""
        return EnvSettingsSource.__call__(self)


class ServiceSettings(BaseSettings):
    """What every HTTP service can be told."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$", description="How much is logged.")
    api_keys: CommaSeparatedSecrets = Field(
        (), description="If set, every request needs one of these as `Authorization: Bearer`; comma-separated."
    )
    cors_origins: CommaSeparated = Field(
        (), description="Web origins that may call this service from a browser; comma-separated."
    )
    max_body_bytes: int = Field(10_000_000, ge=1_000, description="Larger request bodies are answered 413.")
    drain_seconds: float = Field(
        30.0, ge=0.0, le=600.0, description="After SIGTERM, how long running requests may take to end."
    )
    http_transport: Transport = Field(
        "auto",
        description="How services are called: 'auto' (a transport of our own for plain http) or always 'aiohttp'.",
    )
    models_file: Path = Field(
        PROJECT_ROOT / "compose" / "models.json", description="The model aliases, see servicekit/models.py."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the file that `env_file` names when this is called."""
        return init_settings, _Environment(settings_cls), _DotEnv(settings_cls, env_file=env_file())

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


SettingsType = TypeVar("SettingsType", bound=ServiceSettings)


def load_settings(settings_class: type[SettingsType]) -> SettingsType:
    """Read the settings of a process from its environment and `.env`.

    Raises:
        ConfigurationError: Values are missing or out of bounds; every problem names its variable.
    """
    try:
        return settings_class()
    except ValidationError as exc:
        problems = [
            f"{_setting_name(error['loc'])}{expectation(error)}. Change it in the environment or in .env."
            for error in exc.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(*problems) from exc


def _setting_name(location: tuple[int | str, ...]) -> str:
    """Name the variable of a problem; a problem of several has none."""
    return f"Setting {'.'.join(str(part) for part in location).upper()}: " if location else ""
