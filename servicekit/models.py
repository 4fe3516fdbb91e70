"""`compose/models.json`: which names a model can be asked for by, and what answers behind each.

    {"default": "phrasebook",
     "aliases": {"phrasebook":  {"provider": "embedded", "model": "phrasebook"},
                 "llama3.2:1b": {"provider": "embedded", "model": "phrasebook"},
                 "qwen":        {"provider": "openai_compatible", "model": "qwen2.5:0.5b",
                                 "base_url": "http://127.0.0.1:11434/v1"}}}

Switching the model behind a name is an edit of one line. Unknown keys are refused, all problems at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from servicekit.environment import PROJECT_ROOT, read_variables
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.nearest import nearest

#: GGUF files that ship with the project, by the short name that `model` may use.
BUNDLED_MODELS = {"phrasebook": PROJECT_ROOT / "microservices" / "llm" / "phrasebook" / "phrasebook.gguf"}


class ModelEntry(BaseModel):
    """One alias of models.json: who answers, and with which model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: `embedded`: llama.cpp in a child process; `openai_compatible`: Ollama, vLLM, TGI, FastChat, ... by URL.
    provider: Literal["embedded", "openai_compatible"]
    #: Embedded: a bundled name or the path of a GGUF file. Upstream: the model's name there.
    model: str = Field(min_length=1)
    #: Upstream only: the URL up to and including `/v1`.
    base_url: str | None = Field(None, pattern="^https?://[^ ]+$")
    #: Upstream only: the *name* of the environment variable that holds the key.
    api_key_env: str | None = Field(None, pattern="^[A-Za-z_][A-Za-z0-9_]*$")

    def gguf_path(self, folder: Path) -> Path:
        """Return the file of an embedded model; relative paths start at models.json's folder.

        It asks nothing of the file system, since it runs for every request.
        """
        return BUNDLED_MODELS.get(self.model) or Path(os.path.normpath(folder / Path(self.model).expanduser()))

    @property
    def names_nothing(self) -> bool:
        """Whether an embedded model is named by a word that is neither a path nor a bundled model's name."""
        return self.model not in BUNDLED_MODELS and "/" not in self.model and not self.model.endswith(".gguf")

    def served_name(self, folder: Path) -> str:
        """Return the name under which answers report this model; never a path."""
        return self.gguf_path(folder).stem if self.provider == "embedded" else self.model

    def api_key(self) -> SecretStr | None:
        """Return the key that `api_key_env` names, None if it names none or the variable is empty."""
        value = read_variables().get(self.api_key_env, "") if self.api_key_env else ""
        return SecretStr(value) if value else None


class ModelsFile(BaseModel):
    """models.json as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The alias that answers when a request names no model; the first one if absent.
    default: str | None = None
    aliases: dict[str, ModelEntry] = Field(min_length=1)


class ModelCatalog:
    """The names that can be asked for, and the entry behind each.

    Besides the aliases, the name of a model itself can be asked for.

    Args:
        models_file: The checked file.
        folder: Where relative GGUF paths start.
    """

    def __init__(self, models_file: ModelsFile, folder: Path) -> None:
        self.folder = folder
        self._aliases = dict(models_file.aliases)
        self._by_served_name = {entry.served_name(folder): entry for entry in self._aliases.values()}
        self.default_name = models_file.default or next(iter(self._aliases))

    @property
    def names(self) -> list[str]:
        """Every name that can be asked for: the models, then the aliases."""
        return list(dict.fromkeys([*self._by_served_name, *self._aliases]))

    @property
    def aliases(self) -> dict[str, ModelEntry]:
        """The aliases alone, in the order of the file, each with what is behind it."""
        return dict(self._aliases)

    def find(self, name: str | None) -> ModelEntry:
        """Return the entry behind a name; the default's for None or "".

        Raises:
            ModelNotFoundError: The name is neither an alias nor a model; the message lists those there are.
        """
        wanted = name or self.default_name
        entry = self._aliases.get(wanted) or self._by_served_name.get(wanted)
        if entry is None:
            raise ModelNotFoundError(wanted, self.names)
        return entry

    def entries(self) -> list[ModelEntry]:
        """Return the distinct entries, in the order of the file."""
        return list(dict.fromkeys(self._aliases.values()))

    def with_upstream(self, name: str, base_url: str) -> ModelCatalog:
        """Return a catalog in which `name` is an OpenAI-compatible upstream and the default.

        This is OPEA's way to configure a model: `LLM_ENDPOINT` and `LLM_MODEL_ID` in the environment.
        """
        root = base_url.rstrip("/")
        url = root if root.endswith("/v1") else root + "/v1"
        entry = ModelEntry(provider="openai_compatible", model=name, base_url=url)
        return ModelCatalog(ModelsFile(default=name, aliases={**self._aliases, name: entry}), self.folder)

    def with_default(self, name: str) -> ModelCatalog:
        """Return a catalog whose default is `name`.

        Raises:
            ModelNotFoundError: There is no such name.
        """
        self.find(name)
        return ModelCatalog(ModelsFile(default=name, aliases=self._aliases), self.folder)


def load_catalog(path: Path) -> ModelCatalog:
    """Read and check models.json.

    Raises:
        ConfigurationError: Missing, no JSON, or values that do not fit: every problem with its place.
    """
    try:
        models_file = ModelsFile.model_validate(orjson.loads(path.read_bytes()))
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}). Set MODELS_FILE.") from exc
    except orjson.JSONDecodeError as exc:
        raise ConfigurationError(f"{path}:{exc.lineno}:{exc.colno}: not valid JSON: {exc.msg}.") from exc
    except ValidationError as exc:
        raise ConfigurationError(*_problems(path, exc)) from exc
    problems = _cross_problems(path, models_file)
    if problems:
        raise ConfigurationError(*problems)
    return ModelCatalog(models_file, path.resolve().parent)


def _problems(path: Path, exc: ValidationError) -> list[str]:
    """Describe the problems of single values; a mistyped key is told of once, not as a missing one besides."""
    errors = exc.errors(include_url=False)
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    return [_sentence(path, error) for error in errors if error["type"] != "missing" or not unknown]


def _sentence(path: Path, error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        keys = list(ModelEntry.model_fields if len(error["loc"]) > 1 else ModelsFile.model_fields)
        return (
            f"{path}: {place}: the key '{key}' is not known here.{nearest(key, keys)} The keys are {', '.join(keys)}."
        )
    if error["type"] == "literal_error":
        providers = ["embedded", "openai_compatible"]
        found = str(error["input"])
        names = " or ".join(providers)
        return f"{path}: {place}: '{found}' is no provider.{nearest(found, providers)} Write {names}."
    return f"{path}: {place}: {error['msg']}; found {error['input']!r}."


def _cross_problems(path: Path, models_file: ModelsFile) -> list[str]:
    problems = []
    if models_file.default is not None and models_file.default not in models_file.aliases:
        names = ", ".join(models_file.aliases)
        problems.append(f"{path}: default: '{models_file.default}' is no alias. Name one of: {names}.")
    for alias, entry in models_file.aliases.items():
        place = f"{path}: aliases.{alias}"
        if entry.provider == "openai_compatible" and entry.base_url is None:
            problems.append(f"{place}: openai_compatible needs a base_url, ending in /v1.")
        if entry.provider == "embedded" and entry.names_nothing:
            hint = nearest(entry.model, BUNDLED_MODELS)
            problems.append(f"{place}: '{entry.model}' is neither a .gguf file nor a model that ships with us.{hint}")
    return problems
