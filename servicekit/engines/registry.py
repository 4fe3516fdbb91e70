"""From models.json to running engines: one for each distinct deployment, however many names it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import orjson

from servicekit.engines.base import Engine
from servicekit.engines.embedded import EmbeddedEngine
from servicekit.engines.litellm_engine import LiteLLMEngine
from servicekit.engines.litellm_thread import LiteLLMThread
from servicekit.engines.llama_process import EmbeddedOptions
from servicekit.engines.openai_compatible import OpenAICompatibleEngine, Upstream
from servicekit.engines.request_fields import RequestFields, configured_doubts, kind_of
from servicekit.engines.shared import Member, SharedEngine
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.http.client import HttpClient, Timeouts
from servicekit.models import Deployment, ModelCatalog, ModelEntry, ModelGroup

_log = logging.getLogger(__name__)

#: What makes two entries the same engine.
_Key = tuple[str, ...]


class EngineRegistry:
    """Starts, finds and closes the engines of one process.

    Args:
        catalog: The names there are, and the entry behind each.
        client: The process's HTTP client; it is not closed here.
        names: Only the engines behind these names are started; None starts all.
        options: How llama.cpp runs the embedded models.
        timeouts: Of each call to an engine.

    Raises:
        ModelNotFoundError: One of `names` is not in the catalog.
    """

    def __init__(
        self,
        catalog: ModelCatalog,
        client: HttpClient,
        names: Sequence[str] | None = None,
        options: EmbeddedOptions | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._catalog = catalog
        self._client = client
        self._options = options
        self._timeouts = timeouts or Timeouts()
        self._announced: set[str] = set()
        self._litellm = LiteLLMThread()
        self._engines: dict[_Key, Engine] = {}
        self._shared: dict[bytes, Engine] = {}
        wanted = {self._signature(catalog.alias(name)) for name in names or ()}
        made = {
            name: self._engine_behind(name)
            for name in (*catalog.aliases, *catalog.names)  # aliases first: logs call what is shared by its alias
            if names is None or self._signature(catalog.alias(name)) in wanted
        }
        self._by_name = {name: made[name] for name in catalog.names if name in made}

    async def start(self) -> None:
        """Start every engine, all at the same time; if one fails, none is left running.

        Raises:
            ConfigurationError: With the problems of all engines.
        """
        engines = self._engines.values()
        try:
            results = await asyncio.gather(*(engine.start() for engine in engines), return_exceptions=True)
            _raise_all([result for result in results if isinstance(result, BaseException)])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every engine, all at the same time."""
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))
        await self._litellm.close()

    def engine_for(self, name: str | None) -> Engine:
        """Return the engine that answers for a name; the default's for None or "".

        The log says once for each alias which model answers for it.

        Raises:
            ModelNotFoundError: There is no such name, or its engine is not one of those started.
        """
        wanted = name or self._catalog.default_name
        engine = self.engine_of(wanted)
        if wanted != engine.model and wanted not in self._announced:
            self._announced.add(wanted)
            _log.info("model '%s' is answered by '%s' (alias in compose/models.json)", wanted, engine.model)
        return engine

    def engine_of(self, name: str) -> Engine:
        """Return the engine behind a name, to tell about it and not to use it; raises as `engine_for` does."""
        engine = self._by_name.get(name)
        if engine is None:
            raise ModelNotFoundError(name, self.names)
        return engine

    @property
    def catalog(self) -> ModelCatalog:
        """All names of models.json, also those whose engines are not started here."""
        return self._catalog

    @property
    def names(self) -> list[str]:
        """Every name that can be asked for here: models first, then aliases."""
        return list(self._by_name)

    async def problems(self) -> list[str]:
        """Return why the default model cannot answer now, nothing if it can.

        Other models may be off without making the service useless; whoever asks for one of them is told.
        """
        problem = await self.engine_of(self._catalog.default_name).problem()
        return [] if problem is None else [problem]

    def _signature(self, alias: ModelEntry | ModelGroup) -> bytes:
        """Return what is the same for two names exactly if the same answers for them."""
        keys = [(*_key(item, self._catalog.folder), item.parameters) for item in alias.deployments]
        return orjson.dumps([keys, alias.shared_parameters, alias.fallback], option=orjson.OPT_SORT_KEYS)

    def _engine_behind(self, name: str) -> Engine:
        """Return who answers for a name: a deployment's own engine, or one that shares the work among several."""
        alias = self._catalog.alias(name)
        members = [
            Member(self._engine(item), {**alias.shared_parameters, **item.parameters}) for item in alias.deployments
        ]
        if len(members) == 1 and alias.fallback is None and not members[0].parameters:
            return members[0].engine
        signature = self._signature(alias)
        if signature not in self._shared:
            _tell_doubts(name, alias, members)
            fallback = self._engine_behind(alias.fallback) if alias.fallback is not None else None
            self._shared[signature] = SharedEngine(name, members, fallback)
        return self._shared[signature]

    def _engine(self, deployment: Deployment) -> Engine:
        """Return the engine of a deployment, made when it is first asked for."""
        key = _key(deployment, self._catalog.folder)
        if key not in self._engines:
            self._engines[key] = self._make(deployment)
        return self._engines[key]

    def _make(self, deployment: Deployment) -> Engine:
        if deployment.provider == "embedded":
            path = deployment.gguf_path(self._catalog.folder)
            source = deployment.hub_reference
            return EmbeddedEngine(path, self._client, self._options, self._timeouts, source)
        if deployment.is_of_litellm:
            return LiteLLMEngine(deployment, self._litellm, self._client, self._timeouts)
        assert deployment.openai_url is not None  # models.json's loader insists on it  # noqa: S101
        label = f"the upstream of model '{deployment.model}'"
        upstream = Upstream(
            model=deployment.model,
            base_url=deployment.openai_url,
            label=label,
            api_key=deployment.api_key(),
            fields=RequestFields(label, kind_of(deployment)),
            timeouts=self._timeouts,
            is_ollama=deployment.ollama_url is not None,
        )
        return OpenAICompatibleEngine(upstream, self._client)


def _tell_doubts(name: str, alias: ModelEntry | ModelGroup, members: Sequence[Member]) -> None:
    """Log what models.json says for a deployment and its server is known to leave out."""
    for deployment, member in zip(alias.deployments, members, strict=True):
        for doubt in configured_doubts(kind_of(deployment), member.parameters):
            _log.warning("alias '%s', model '%s': %s", name, deployment.model, doubt)


def _raise_all(failures: Sequence[BaseException]) -> None:
    """Raise one error with every configuration problem; anything else as it is, since it is a bug."""
    problems: list[str] = []
    for failure in failures:
        if not isinstance(failure, ConfigurationError):
            raise failure
        problems += failure.problems
    if problems:
        raise ConfigurationError(*problems)


def _key(deployment: Deployment, folder: Path) -> _Key:
    if deployment.provider == "embedded":
        return (deployment.provider, str(deployment.gguf_path(folder)))
    address = deployment.openai_url or ""
    return (deployment.provider, deployment.model, address, deployment.key_variable or "")
