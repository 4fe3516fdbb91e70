"""Names in `.env` that nothing reads, but that are nearly those of settings: they are probably mistyped."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices

from megaservice.cli.services import SERVICES
from megaservice.pipeline_files import pipeline_paths
from megaservice.settings import OLDER_NAMES, GatewaySettings
from servicekit.checks.findings import Finding, Verdict
from servicekit.environment import PROJECT_ROOT, env_file
from servicekit.nearest import nearest

#: Other programs' variables may stand in the file, too: what is less alike is taken for one of theirs.
_LIKENESS = 0.88
#: models.json may name any variable for a key, and the keys of two providers are much alike.
_KEYS = "_API_KEY"
_EXAMPLE = ".env.example"
_LINE = re.compile(r"^#?\s*([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")


def check_unknown_variables(pipelines_dir: Path | None) -> Iterator[Finding]:
    """Look for names in `.env` that are not known and near one that is.

    Args:
        pipelines_dir: The pipeline files, which may read any variable; None where that cannot be told.
    """
    file = env_file()
    known = _known_names(pipelines_dir)
    for name in dotenv_values(file):
        if name.upper() in known or name.upper().endswith(_KEYS):
            continue
        if guess := nearest(name.upper(), known, _LIKENESS):
            yield Finding(Verdict.WARNING, file.name, f"Nothing reads {name}.{guess}")


def _known_names(pipelines_dir: Path | None) -> Collection[str]:
    """Return, in upper case, the variables that can be told: a microservice's own are those of `.env.example`."""
    names = {name for field in GatewaySettings.model_fields for name in _names_of(field)} | OLDER_NAMES.keys()
    for service in SERVICES:
        names |= {*service.port_variables, service.host_variable, f"{service.host_variable}_IP"}
        names |= {service.extra_port_variable} if service.extra_port_variable else set()
    for path, pattern in ((PROJECT_ROOT / _EXAMPLE, _LINE), *((p, _PLACEHOLDER) for p in _pipelines(pipelines_dir))):
        names.update(pattern.findall(path.read_text("utf-8", "replace")) if path.is_file() else ())
    return {name.upper() for name in names}


def _pipelines(folder: Path | None) -> list[Path]:
    return [] if folder is None else pipeline_paths(folder)


def _names_of(field: str) -> list[str]:
    alias = GatewaySettings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias if isinstance(alias, str) else field]
