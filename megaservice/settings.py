"""Settings of the gateway process."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices, Field

from servicekit.environment import PROJECT_ROOT, env_file, read_variables
from servicekit.model_settings import ModelSettings

#: The older names of variables that pipeline files use, and the names that they have in the files.
OLDER_NAMES = {
    "LLM_SERVER_HOST_IP": "LLM_SERVICE_HOST_IP",
    "LLM_SERVER_PORT": "LLM_SERVICE_PORT",
}


def _runs_dir_unless_off() -> Path | None:
    """Return the folder of run records where RUNS_DIR does not name one; None where it is set and empty.

    Settings take an empty value for none, so it is looked for here.
    """
    given = os.environ["RUNS_DIR"] if "RUNS_DIR" in os.environ else dotenv_values(env_file()).get("RUNS_DIR")
    return None if given == "" else PROJECT_ROOT / "runs"


class GatewaySettings(ModelSettings):
    """What the gateway can be told."""

    host: str = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("MEGA_SERVICE_HOST"),
        description="The address to listen on; 0.0.0.0 for all.",
    )
    port: int = Field(
        8000, ge=1, le=65535, validation_alias=AliasChoices("MEGA_SERVICE_PORT"), description="The gateway's port."
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        validation_alias=AliasChoices("GATEWAY_WORKERS"),
        description="Processes that serve the port together; about one for each core is the most that helps.",
    )
    pipelines_dir: Path = Field(
        PROJECT_ROOT / "compose" / "pipelines", description="The folder of the pipeline files (*.yaml)."
    )
    pipelines_reload: bool = Field(
        True, description="Whether pipeline files are taken over as they are saved; else they are read at the start."
    )
    request_timeout_seconds: float = Field(
        600.0, gt=0, description="Every request must be over in this time; callers may ask for less."
    )
    runs_dir: Path | None = Field(
        default_factory=_runs_dir_unless_off,
        description="The folder of the run records; empty (`RUNS_DIR=`) switches them off.",
    )
    log_messages: bool = Field(False, description="Whether run records hold what people wrote and models answered.")


def pipeline_variables() -> dict[str, str]:
    """Return what fills `${VAR}` in pipeline files: `.env`, then the environment, older names included."""
    variables = read_variables()
    for older, name in OLDER_NAMES.items():
        if variables.get(older) and not variables.get(name):
            variables[name] = variables[older]
    return variables
