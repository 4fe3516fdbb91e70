"""Reads models.json; whatever is wrong with it is told at once, each problem with its line and its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from servicekit.engines.hub_reference import HubReference, is_hub_reference
from servicekit.errors import ConfigurationError
from servicekit.json_lines import JsonLines, JsonPath
from servicekit.models import (
    BUNDLED_MODELS,
    Deployment,
    ModelAlias,
    ModelCatalog,
    ModelEntry,
    ModelGroup,
    ModelsFile,
)
from servicekit.nearest import nearest
from servicekit.openai.parameters import parameter_problem
from servicekit.validation import expectation, json_type, shown_value

#: A problem and the place of the value that has it.
_Problem = tuple[JsonPath, str]

_TAGS = ("entry", "group")
_ALIAS: TypeAdapter[ModelEntry | ModelGroup] = TypeAdapter(ModelAlias)


def load_catalog(path: Path) -> ModelCatalog:
    """Read and check models.json.

    Raises:
        ConfigurationError: Missing, no JSON, or values that do not fit: every problem with its line.
    """
    try:
        lines = JsonLines(path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}). Set MODELS_FILE.") from exc
    except orjson.JSONDecodeError as exc:
        raise ConfigurationError(f"{path}:{exc.lineno}:{exc.colno}: not valid JSON: {exc.msg}.") from exc
    problems = [
        f"{path}:{line}: {_name(place)}: '{place[-1]}' stands twice; take one of them out."
        for place, line in lines.repeated
    ]
    found = [*_schema_problems(lines.document), *_cross_problems(lines.document)]
    problems += [f"{path}:{lines.line_of(place)}: {_name(place)}: {text}" for place, text in found]
    if problems:
        raise ConfigurationError(*problems)
    return ModelCatalog(ModelsFile.model_validate(lines.document), path.resolve().parent)


def _name(place: JsonPath) -> str:
    return ".".join(str(part) for part in place) or "the file"


def _schema_problems(document: object) -> list[_Problem]:
    """Describe the problems of single values; a mistyped key is told of once, not as a missing one besides."""
    try:
        ModelsFile.model_validate(document)
    except ValidationError as exc:
        errors = [error for error in exc.errors(include_url=False) if not _is_consequence(error)]
        with_unknown = {_place(error)[:-1] for error in errors if error["type"] == "extra_forbidden"}
        told = [error for error in errors if error["type"] != "missing" or _place(error)[:-1] not in with_unknown]
        return [(_place(error), _sentence(error)) for error in told]
    return []


def _is_consequence(error: ErrorDetails) -> bool:
    """Whether a list is called too short only because its items are wrong, which is told of each."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _place(error: ErrorDetails) -> JsonPath:
    """Return the place in the file: without the tag that tells the two kinds of aliases apart."""
    location = error["loc"]
    has_tag = len(location) > 2 and location[0] == "aliases" and location[2] in _TAGS
    return (*location[:2], *location[3:]) if has_tag else location


def _sentence(error: ErrorDetails) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        key, keys = str(location[-1]), list(_model_around(location).model_fields)
        return f"the key '{key}' is not known here.{nearest(key, keys)} The keys are {', '.join(keys)}."
    return f"{expectation(error)}{_found(error)}."


def _found(error: ErrorDetails) -> str:
    """Say what was found, if that helps; a key or password that stands in the wrong place is not repeated."""
    value, key = error["input"], str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] in ("missing", "value_error"):
        return ""
    if isinstance(value, dict | list):
        return f"; found an {json_type(value)}"
    if key == "api_key_env":
        return "; what stands there is not shown, since it may be a key"
    shown = shown_value(value)
    return f'; found "***@{shown.rpartition("@")[2]}' if key == "base_url" and "@" in shown else f"; found {shown}"


def _model_around(location: tuple[int | str, ...]) -> type[BaseModel]:
    if len(location) <= 2:
        return ModelsFile
    if "deployments" in location[3:-1]:
        return Deployment
    return ModelGroup if location[2] == "group" else ModelEntry


def _cross_problems(document: object) -> Iterator[_Problem]:
    """Yield what is wrong between values that are each right; values that are wrong by themselves are left out."""
    given = document.get("aliases") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(given, dict):
        return
    names, default = ", ".join(given), document.get("default")
    if isinstance(default, str) and default not in given:
        yield ("default",), f"'{default}' is no alias. Name one of: {names}."
    aliases = {name: alias for name, value in given.items() if (alias := _readable(value)) is not None}
    for name, alias in aliases.items():
        place: JsonPath = ("aliases", name)
        if isinstance(alias, ModelGroup):
            yield from _parameter_problems((*place, "parameters"), alias.parameters)
            for index, deployment in enumerate(alias.deployments):
                yield from _deployment_problems((*place, "deployments", index), deployment)
        else:
            yield from _deployment_problems(place, alias)
        if alias.fallback is not None and alias.fallback not in given:
            yield (*place, "fallback"), f"'{alias.fallback}' is no alias. Name one of: {names}."
        elif ring := _ring_from(name, aliases):
            yield (*place, "fallback"), f"it leads back to itself: {' > '.join(ring)}. Let one of them have none."


def _readable(value: object) -> ModelEntry | ModelGroup | None:
    try:
        return _ALIAS.validate_python(value)
    except ValidationError:  # told of by `_schema_problems`
        return None


def _ring_from(name: str, aliases: Mapping[str, ModelEntry | ModelGroup]) -> list[str]:
    """Return the fallbacks from an alias back to itself; nothing if they end elsewhere."""
    seen, following = [name], aliases[name].fallback
    while following is not None and following in aliases and following not in seen:
        seen.append(following)
        following = aliases[following].fallback
    return [*seen, name] if following == name else []


def _deployment_problems(place: JsonPath, deployment: Deployment) -> Iterator[_Problem]:
    yield from _parameter_problems((*place, "parameters"), deployment.parameters)
    if deployment.provider == "openai_compatible" and deployment.base_url is None:
        yield place, "openai_compatible needs a base_url, ending in /v1."
    if deployment.provider == "embedded":
        yield from _embedded_problems(place, deployment)
    for key in ("revision", "sha256"):
        is_fetched = deployment.provider == "embedded" and is_hub_reference(deployment.model)
        if getattr(deployment, key) is not None and not is_fetched:
            yield (*place, key), "only a model of Hugging Face (hf:owner/repository/file.gguf) has one; leave it out."


def _embedded_problems(place: JsonPath, deployment: Deployment) -> Iterator[_Problem]:
    if is_hub_reference(deployment.model):
        try:
            HubReference.parse(deployment.model)
        except ValueError as exc:
            yield (*place, "model"), f"{exc}."
    elif deployment.names_nothing:
        hint = nearest(deployment.model, BUNDLED_MODELS)
        text = f"'{deployment.model}' is neither a .gguf file nor a model that ships with us.{hint}"
        yield (*place, "model"), text
    for key in ("base_url", "api_key_env"):
        if getattr(deployment, key) is not None:
            yield (*place, key), "an embedded model is a file and takes none; leave it out."


def _parameter_problems(place: JsonPath, parameters: dict[str, object]) -> Iterator[_Problem]:
    for name, value in parameters.items():
        if (problem := parameter_problem(name, value)) is not None:
            yield (*place, name), problem
