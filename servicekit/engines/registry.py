"""From models.json to running engines: one for each distinct entry, however many names it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from servicekit.engines.base import Engine
from servicekit.engines.embedded import EmbeddedEngine
from servicekit.engines.llama_process import EmbeddedOptions
from servicekit.engines.openai_compatible import OpenAICompatibleEngine, Upstream
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.http.client import HttpClient, Timeouts
from servicekit.models import ModelCatalog, ModelEntry

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
        wanted = {_key(catalog.find(name), catalog.folder) for name in names or ()}
        engines: dict[_Key, Engine] = {}
        self._by_name: dict[str, Engine] = {}
        for name in catalog.names:
            entry = catalog.find(name)
            key = _key(entry, catalog.folder)
            if names is None or key in wanted:
                self._by_name[name] = engines.setdefault(key, self._make(entry))
        self._engines = list(engines.values())

    async def start(self) -> None:
        """Start every engine, all at the same time; if one fails, none is left running.

        Raises:
            ConfigurationError: With the problems of all engines.
        """
        try:
            results = await asyncio.gather(*(engine.start() for engine in self._engines), return_exceptions=True)
            _raise_all([result for result in results if isinstance(result, BaseException)])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every engine, all at the same time."""
        await asyncio.gather(*(engine.close() for engine in self._engines))

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
    def names(self) -> list[str]:
        """Every name that can be asked for here: models first, then aliases."""
        return list(self._by_name)

    async def problems(self) -> list[str]:
        """Return why the default model cannot answer now, nothing if it can.

        Other models may be off without making the service useless; whoever asks for one of them is told.
        """
        problem = await self.engine_of(self._catalog.default_name).problem()
        return [] if problem is None else [problem]

    def _make(self, entry: ModelEntry) -> Engine:
        if entry.provider == "embedded":
            return EmbeddedEngine(entry.gguf_path(self._catalog.folder), self._client, self._options, self._timeouts)
        assert entry.base_url is not None  # models.json's loader insists on it  # noqa: S101
        upstream = Upstream(
            model=entry.model,
            base_url=entry.base_url,
            label=f"the upstream of model '{entry.model}'",
            api_key=entry.api_key(),
            timeouts=self._timeouts,
        )
        return OpenAICompatibleEngine(upstream, self._client)


def _raise_all(failures: Sequence[BaseException]) -> None:
    """Raise one error with every configuration problem; anything else as it is, since it is a bug."""
    problems: list[str] = []
    for failure in failures:
        if not isinstance(failure, ConfigurationError):
            raise failure
        problems += failure.problems
    if problems:
        raise ConfigurationError(*problems)


def _key(entry: ModelEntry, folder: Path) -> _Key:
    if entry.provider == "embedded":
        return (entry.provider, str(entry.gguf_path(folder)))
    return (entry.provider, entry.model, entry.base_url or "", entry.api_key_env or "")
