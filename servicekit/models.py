"""Which names a model can be asked for by, and what answers behind each: `compose/models.json`, checked.

    {"default": "phrasebook",
     "aliases": {"phrasebook": {"provider": "embedded", "model": "phrasebook"},
                 "qwen":       {"provider": "ollama", "model": "qwen2.5:0.5b", "fallback": "phrasebook"},
                 "fast":       {"deployments": [{"provider": "groq", "model": "llama-3.1-8b-instant"},
                                                {"provider": "fireworks_ai", "model": "llama-v3p1-8b-instruct"}],
                                "parameters": {"temperature": 0.2}}}}

Switching the model behind a name is an edit of one line. docs/models.md has an example for each provider;
`model_loading` reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, Tag, field_validator

from servicekit.engines.hub_reference import DEFAULT_REVISION, HubReference, is_hub_reference
from servicekit.environment import PROJECT_ROOT, read_variables
from servicekit.errors import ModelNotFoundError
from servicekit.nearest import nearest
from servicekit.providers import (
    LITELLM_PROVIDERS,
    ONE_KEY_PROVIDERS,
    OWN_PROVIDERS,
    key_variable_of,
    listing_url_of,
)
from servicekit.validation import HTTP_URL_PATTERN
from servicekit.variable_name import VariableName

#: GGUF files that ship with the project, by the short name that `model` may use.
BUNDLED_MODELS = {"phrasebook": PROJECT_ROOT / "microservices" / "llm" / "phrasebook" / "phrasebook.gguf"}
#: Where Ollama listens unless it was told otherwise.
OLLAMA_URL = "http://127.0.0.1:11434"


class Deployment(BaseModel):
    """One model at one place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: `embedded`: llama.cpp in a child process; `ollama`; `openai_compatible`: vLLM, TGI, FastChat, ... by URL; or a
    #: provider of LiteLLM: `groq`, `fireworks_ai`, `openai`, `anthropic`, ...
    provider: str
    #: Embedded: a bundled name, the path of a GGUF file, or `hf:<owner>/<repository>/<file>` of Hugging Face, which
    #: the start fetches. Elsewhere: the model's name there.
    model: str = Field(min_length=1)
    #: Where the provider is: openai_compatible needs it, up to and including `/v1`; the others know their own.
    base_url: str | None = Field(None, pattern=HTTP_URL_PATTERN)
    #: The *name* of the environment variable that holds the key; LiteLLM's providers have one by default.
    api_key_env: VariableName | None = None
    #: Of an `hf:` model: a branch, tag or commit of its repository; `main` if absent.
    revision: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    #: Of an `hf:` model: what its file must have; Hugging Face's own word if absent.
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    #: Sent with every request that does not say otherwise, such as `{"temperature": 0.2}`.
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("provider")
    @classmethod
    def _provider_is_known(cls, value: str) -> str:
        if value in OWN_PROVIDERS or value in LITELLM_PROVIDERS:
            return value
        hint = nearest(value, [*OWN_PROVIDERS, *sorted(LITELLM_PROVIDERS)])
        own = ", ".join(OWN_PROVIDERS)
        raise ValueError(f"'{value}' is no provider.{hint} Write {own}, or one of LiteLLM's, such as groq or openai")

    def gguf_path(self, folder: Path) -> Path:
        """Return the file of an embedded model; relative paths start at models.json's folder.

        It asks nothing of the file system, since it runs for every request.
        """
        if (reference := self.hub_reference) is not None:
            return reference.path
        return BUNDLED_MODELS.get(self.model) or Path(os.path.normpath(folder / Path(self.model).expanduser()))

    @property
    def names_nothing(self) -> bool:
        """Whether an embedded model is named by a word that is neither a path nor a bundled model's name."""
        return self.model not in BUNDLED_MODELS and "/" not in self.model and not self.model.endswith(".gguf")

    @property
    def is_of_litellm(self) -> bool:
        """Whether it is called through LiteLLM."""
        return self.provider in LITELLM_PROVIDERS

    @property
    def ollama_url(self) -> str | None:
        """The address of its Ollama, without `/v1`; None if it is none."""
        if self.provider != "ollama":
            return None
        return (self.base_url or OLLAMA_URL).rstrip("/").removesuffix("/v1")

    @property
    def openai_url(self) -> str | None:
        """The address of its OpenAI API; None where there is none to call directly."""
        return f"{self.ollama_url}/v1" if self.ollama_url else self.base_url

    @property
    def key_variable(self) -> str | None:
        """The name of the variable that holds its key; None if it needs none."""
        if self.api_key_env is None and self.is_of_litellm:
            return key_variable_of(self.provider)
        return self.api_key_env

    @property
    def needed_key(self) -> str | None:
        """The name of the variable without which it certainly cannot be asked."""
        is_known = self.api_key_env is not None or self.provider in ONE_KEY_PROVIDERS
        return self.key_variable if is_known else None

    def ping_url(self, variables: Mapping[str, str]) -> str | None:
        """Return the address whose `/models` can be asked whether it is there; None where none is known."""
        if not self.is_of_litellm:
            return self.openai_url
        known = listing_url_of(self.provider, variables)
        return known and (self.base_url or known)

    @property
    def hub_reference(self) -> HubReference | None:
        """What it is at Hugging Face; None for a file of one's own, and for all that is not embedded."""
        if self.provider != "embedded" or not is_hub_reference(self.model):
            return None
        return HubReference.parse(self.model, self.revision or DEFAULT_REVISION, self.sha256)

    def served_name(self, folder: Path) -> str:
        """Return the name under which answers report this model; never a path."""
        return self.gguf_path(folder).stem if self.provider == "embedded" else self.model

    def api_key(self) -> SecretStr | None:
        """Return the key, None if no variable is named or it is empty."""
        value = read_variables().get(self.key_variable, "") if self.key_variable else ""
        return SecretStr(value) if value else None


class ModelEntry(Deployment):
    """An alias with one deployment."""

    #: The alias that answers when this one cannot.
    fallback: str | None = None

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The one deployment."""
        return (self,)

    @property
    def shared_parameters(self) -> dict[str, Any]:
        """What all deployments are sent: nothing, since the one has its own."""
        return {}


class ModelGroup(BaseModel):
    """An alias that several deployments share the work of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployments: tuple[Deployment, ...] = Field(min_length=1)
    #: Sent to every deployment; a deployment's own win.
    parameters: dict[str, Any] = Field(default_factory=dict)
    #: The alias that answers when none of them can.
    fallback: str | None = None

    @property
    def shared_parameters(self) -> dict[str, Any]:
        """What all deployments are sent."""
        return self.parameters


def _kind_of_alias(value: object) -> str:
    is_group = isinstance(value, ModelGroup) or (isinstance(value, dict) and "deployments" in value)
    return "group" if is_group else "entry"


ModelAlias = Annotated[
    Annotated[ModelEntry, Tag("entry")] | Annotated[ModelGroup, Tag("group")], Discriminator(_kind_of_alias)
]


class ModelsFile(BaseModel):
    """models.json as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The alias that answers when a request names no model; the first one if absent.
    default: str | None = None
    aliases: dict[str, ModelAlias] = Field(min_length=1)


class ModelCatalog:
    """The names that can be asked for, and what is behind each.

    Besides the aliases, the name of a model itself can be asked for.

    Args:
        models_file: The checked file.
        folder: Where relative GGUF paths start.
    """

    def __init__(self, models_file: ModelsFile, folder: Path) -> None:
        self.folder = folder
        self._aliases = dict(models_file.aliases)
        self._by_served_name: dict[str, str] = {}
        for alias, entry in self._aliases.items():
            for deployment in entry.deployments:
                self._by_served_name.setdefault(deployment.served_name(folder), alias)
        self.default_name = models_file.default or next(iter(self._aliases))

    @property
    def names(self) -> list[str]:
        """Every name that can be asked for: the models, then the aliases."""
        return list(dict.fromkeys([*self._by_served_name, *self._aliases]))

    @property
    def aliases(self) -> dict[str, ModelEntry | ModelGroup]:
        """The aliases alone, in the order of the file, each with what is behind it."""
        return dict(self._aliases)

    def alias(self, name: str | None) -> ModelEntry | ModelGroup:
        """Return what is behind a name; the default's for None or "".

        Raises:
            ModelNotFoundError: The name is neither an alias nor a model; the message lists those there are.
        """
        wanted = name or self.default_name
        entry = self._aliases.get(wanted) or self._aliases.get(self._by_served_name.get(wanted, ""))
        if entry is None:
            raise ModelNotFoundError(wanted, self.names)
        return entry

    def find(self, name: str | None) -> Deployment:
        """Return the first deployment behind a name; raises as `alias` does."""
        return self.alias(name).deployments[0]

    def entries(self) -> list[Deployment]:
        """Return the distinct deployments, in the order of the file."""
        found: list[Deployment] = []
        for entry in self._aliases.values():
            found += [deployment for deployment in entry.deployments if deployment not in found]
        return found

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
        self.alias(name)
        return ModelCatalog(ModelsFile(default=name, aliases=self._aliases), self.folder)
