"""Pulls into an Ollama the models that the services are told to use, and ends: the job `model` of compose.yaml.

Usage: python -m scripts.pull_models http://ollama:11434

Which models: those that models.json, LLM_MODEL_ID and GRADER_MODEL_ID have at this address. One that is there already
is left alone, so that a start without network works. Exit code 0: all are there; 1: one is not, and the last line says
why; 2: the settings cannot be used.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from microservices.grader.settings import GraderSettings, catalog_of
from microservices.llm.settings import LLMSettings
from servicekit.context import CallContext
from servicekit.engines.registry import EngineRegistry
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target
from servicekit.ids import request_id_from
from servicekit.model_settings import catalog_from
from servicekit.models import ModelCatalog, ModelEntry, ModelsFile
from servicekit.ollama.pull import pull
from servicekit.server import run_process
from servicekit.settings import load_settings

_ATTEMPTS = 3
_PAUSE_SECONDS = 5.0
#: Between two lines of progress.
_REPORT_SECONDS = 10.0
#: Words of Ollama's errors, and what they mean for whoever reads the log.
_ADVICE = {
    "file does not exist": "There is no model of that name: https://ollama.com/library lists those there are.",
    "lookup": "Ollama cannot reach its registry: is there a network? Behind a proxy set https_proxy.",
    "dial tcp": "Ollama cannot reach its registry: is there a network? Behind a proxy set https_proxy.",
    "no space left": "The disk is full: `docker system df` shows what takes the room.",
}


def main(arguments: list[str], pause_seconds: float = _PAUSE_SECONDS) -> int:
    """Pull what is wanted; return the exit code.

    Args:
        arguments: The address of the Ollama.
        pause_seconds: Before another try, where a connection broke.
    """
    address = arguments[0].rstrip("/")
    wanted = _wanted(address)
    if not wanted:
        _say(f"no model in use is at {address}: nothing to pull")
        return 0
    try:
        asyncio.run(_pull_all(address, wanted, pause_seconds))
    except ServiceError as exc:
        advice = next((text for words, text in _ADVICE.items() if words in exc.message), "")
        _say(f"error: {exc.message} {advice}".rstrip())
        return 1
    return 0


def _wanted(address: str) -> list[str]:
    """Return the models in use that are at an address, each once."""
    llm, judge = catalog_from(load_settings(LLMSettings)), catalog_of(load_settings(GraderSettings))
    places = [*llm.entries(), *judge.alias(None).deployments]
    there = [place.model for place in places if (place.openai_url or "").rstrip("/").removesuffix("/v1") == address]
    return list(dict.fromkeys(there))


async def _pull_all(address: str, wanted: Sequence[str], pause_seconds: float) -> None:
    entries = {model: ModelEntry(provider="ollama", model=model, base_url=address) for model in wanted}
    catalog = ModelCatalog(ModelsFile(aliases=entries), PROJECT_ROOT)
    async with HttpClient() as client:
        registry = EngineRegistry(catalog, client)
        for model in wanted:
            if model in await _models_of(client, address):
                _say(f"{model} is there")
            else:
                await _pull(client, registry, model, pause_seconds)


async def _models_of(client: HttpClient, address: str) -> set[str]:
    """Return the names that can be asked for there: `qwen` and `qwen:latest` are one."""
    target = Target("Ollama", f"{address}/api/tags")
    response, body = await client.fetch("GET", target)
    try:
        names = {str(model["name"]) for model in orjson.loads(body)["models"]}
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise UpstreamBadResponseError(f"{target} answered {response.status}, and not as an Ollama does.") from exc
    return names | {name.removesuffix(":latest") for name in names}


async def _pull(client: HttpClient, registry: EngineRegistry, model: str, pause_seconds: float) -> None:
    """Pull one model; a connection that breaks is tried again, and Ollama goes on where it was."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await _pull_once(client, registry, model)
        except ServiceError as exc:
            if not exc.retryable or attempt == _ATTEMPTS:
                raise
            _say(f"{exc.message} Trying again in {pause_seconds:g} s (try {attempt + 1} of {_ATTEMPTS}).")
            await asyncio.sleep(pause_seconds)
        else:
            _say(f"{model} is there now")
            return


async def _pull_once(client: HttpClient, registry: EngineRegistry, model: str) -> None:
    progress = _Progress(model)
    async with aclosing(pull(registry, client, model, CallContext(request_id_from(None)))) as lines:
        async for line in lines:
            progress.report(line)


@dataclass(slots=True)
class _Progress:
    """Writes what Ollama tells, a line for each step and one every few seconds of a download."""

    model: str
    _step: str = ""
    _said_at: float = field(default_factory=time.monotonic)

    def report(self, line: Mapping[str, Any]) -> None:
        step, now = str(line.get("status", "")), time.monotonic()
        if step == self._step and now - self._said_at < _REPORT_SECONDS:
            return
        self._step, self._said_at = step, now
        total, done = line.get("total") or 0, line.get("completed") or 0
        share = f" ({done / total:.0%} of {total / 1e6:,.0f} MB)" if total else ""
        _say(f"{self.model}: {step}{share}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(run_process(lambda: main(sys.argv[1:])))
