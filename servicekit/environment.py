"""The variables that configure every process: the environment first, `.env` second. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

#: The checkout: `.env` and `compose/` lie here, services run from here, relative paths in settings start here.
PROJECT_ROOT = Path(__file__).resolve().parent.parent

#: Names another file than `.env`.
ENV_FILE_VARIABLE = "MEGASERVICE_ENV_FILE"


def env_file() -> Path:
    """Return the file that stands in for variables that the environment does not set; it need not exist."""
    return PROJECT_ROOT / os.environ.get(ENV_FILE_VARIABLE, ".env")


def read_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that are set; the environment wins over `.env`.

    Each is there under its own name and in upper case, as settings find them in any case. Empty values count as not
    set.

    Args:
        environment: Instead of the process's own.
    """
    environment = os.environ if environment is None else environment
    variables: dict[str, str] = {}
    for source in (dotenv_values(env_file()), environment):
        given = {name: value for name, value in source.items() if value}
        variables.update({name.upper(): value for name, value in given.items()})
        variables.update(given)
    return variables
