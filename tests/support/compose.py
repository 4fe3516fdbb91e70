"""Reads compose files as `docker compose config` does: variables, several files, profiles.

It knows the parts of https://github.com/compose-spec/compose-spec/blob/main/spec.md that our files use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from servicekit.environment import PROJECT_ROOT

COMPOSE = PROJECT_ROOT / "compose" / "compose.yaml"
EMBEDDED = PROJECT_ROOT / "compose" / "embedded.yaml"
GPU = PROJECT_ROOT / "compose" / "gpu.yaml"
ROOT_COMPOSE = PROJECT_ROOT / "compose.yaml"

_NAME = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<operator>:-|:\+|\}))")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service, and where this machine listens for it."""

    address: str
    published: int
    target: int


def load(*paths: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what the files say together, with every variable filled in; an empty environment if None."""
    merged: Any = {}
    for path in paths:
        merged = _merge(merged, interpolate(yaml.safe_load(path.read_text("utf-8")), variables or {}))
    found: dict[str, Any] = merged
    return found


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a document
    """Fill in `${NAME}`, `${NAME:-else}`, `${NAME:+then}` and `$$`, nested ones too."""
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    return _filled(value, variables) if isinstance(value, str) else value


def variable_names(text: str) -> set[str]:
    """Return the names of all variables that a compose file asks for."""
    return {found["name"] for found in _NAME.finditer(text) if found["name"]}


def enabled(document: Mapping[str, Any], profiles: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the services that start with these profiles."""
    wanted = set(profiles)
    services: dict[str, dict[str, Any]] = document["services"]
    return {
        name: service
        for name, service in services.items()
        if not service.get("profiles") or wanted & set(service["profiles"])
    }


def ports(service: Mapping[str, Any]) -> list[Port]:
    """Return what a service publishes; each entry is `address:published:target`."""
    parts = [entry.split(":") for entry in service.get("ports", [])]
    return [Port(address, int(published), int(target)) for address, published, target in parts]


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return what is set in the container; names without a value would come from the shell."""
    return {name: value for name, value in service.get("environment", {}).items() if value is not None}


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return "".join(_pieces(text, variables))


def _pieces(text: str, variables: Mapping[str, str]) -> Iterator[str]:
    position = 0
    while found := _NAME.search(text, position):
        yield text[position : found.start()]
        position = found.end()
        if found["escaped"]:
            yield "$"
            continue
        value = variables.get(found["name"], "")
        if found["operator"] == "}":
            yield value
            continue
        end = _closing(text, position)
        replacement = _filled(text[position:end], variables)
        yield (value or replacement) if found["operator"] == ":-" else (replacement if value else "")
        position = end + 1
    yield text[position:]


def _closing(text: str, start: int) -> int:
    """Return where the brace closes that was opened before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return index
    raise ValueError(f"a brace is not closed: {text}")


def _merge(base: Any, override: Any) -> Any:  # noqa: ANN401 - any part of a document
    """Merge as compose does: mappings by key, sequences one after the other, all else is replaced."""
    if isinstance(base, dict) and isinstance(override, dict):
        merged = {key: _merge(base[key], value) if key in base else value for key, value in override.items()}
        return {**base, **merged}
    if isinstance(base, list) and isinstance(override, list):
        return [*base, *(item for item in override if item not in base)]
    return override
