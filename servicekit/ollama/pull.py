"""`POST /api/pull`: who has an Ollama behind gets its progress; who has the file is told so."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson

from servicekit.context import CallContext
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import ModelNotFoundError, NotFoundError, UpstreamBadResponseError, UpstreamError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.http.upstream_errors import error_from_answer
from servicekit.models import Deployment
from servicekit.ollama.model_facts import gguf_file
from servicekit.ollama.ndjson import Lines

#: A model of many gigabytes takes hours; its server tells how far it is every moment.
_TIMEOUTS = Timeouts(connect_seconds=5.0, first_byte_seconds=120.0, idle_seconds=300.0, total_seconds=24 * 3600.0)
_SUCCESS = {"status": "success"}


async def pull(registry: EngineRegistry, client: HttpClient, name: str, context: CallContext) -> Lines:
    """Yield Ollama's progress lines; the last one is `{"status": "success"}`.

    Args:
        registry: Of the service.
        client: The process's HTTP client.
        name: An alias, a model's name, or the name of a model that the service's Ollama can fetch.
        context: The request's.

    Raises:
        ModelNotFoundError: No such name, and no Ollama that could know it.
        NotFoundError: The GGUF file of an embedded model is not there.
        ServiceError: The Ollama cannot be reached, or failed.
    """
    try:
        deployments = registry.catalog.alias(name).deployments
    except ModelNotFoundError:
        deployments = tuple(item.model_copy(update={"model": name}) for item in _ollamas(registry)[:1])
        if not deployments:
            raise
    for deployment in deployments:
        if deployment.provider == "embedded":
            await _check_file(registry, deployment)
        elif not deployment.is_of_litellm:
            async with aclosing(_forwarded(client, deployment, context)) as lines:
                async for line in lines:
                    yield line
    yield _SUCCESS


def _ollamas(registry: EngineRegistry) -> list[Deployment]:
    return [item for item in registry.catalog.entries() if item.provider == "ollama"]


async def _check_file(registry: EngineRegistry, deployment: Deployment) -> None:
    name, path = deployment.served_name(registry.catalog.folder), gguf_file(registry, deployment)
    if path is None or not await asyncio.to_thread(path.is_file):
        raise NotFoundError(
            f"The file of model '{name}' ({name}.gguf) is not there, and it is a file of yours: put it where "
            "compose/models.json says, or name another model there."
        )


async def _forwarded(client: HttpClient, deployment: Deployment, context: CallContext) -> Lines:
    """Yield the progress of the Ollama that runs a model, without its last line."""
    root = (deployment.openai_url or "").rstrip("/").removesuffix("/v1")
    target = Target(f"the upstream of model '{deployment.model}'", f"{root}/api/pull")
    body = orjson.dumps({"model": deployment.model, "stream": True})
    headers = {"content-type": "application/json", **context.headers()}
    key = await asyncio.to_thread(deployment.api_key)
    if key is not None:
        headers["authorization"] = f"Bearer {key.get_secret_value()}"
    async with client.open("POST", target, body=body, headers=headers, timeouts=_TIMEOUTS) as response:
        if response.status in (404, 405, 501):
            raise NotFoundError(
                f"{target} answered {response.status}: it is no Ollama, so it fetches no models. Start '"
                f"{deployment.model}' there by its own means."
            )
        if response.status != 200:
            raise error_from_answer(target, response.status, response.headers, await response.read())
        rest = b""
        async with aclosing(response.iter_bytes()) as reads:
            async for data in reads:
                *lines, rest = (rest + data).split(b"\n")
                for line in filter(None, lines):
                    document = _checked(line, target)
                    if document == _SUCCESS:
                        return
                    yield document
    if not rest.strip() or _checked(rest, target) != _SUCCESS:
        raise UpstreamBadResponseError(f"{target} ended its progress without success.", retryable=True)


def _checked(line: bytes, target: Target) -> dict[str, object]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise UpstreamBadResponseError(f"{target} sent a line that is no JSON.") from exc
    if not isinstance(document, dict):
        raise UpstreamBadResponseError(f"{target} sent a line that is no object.")
    if "error" in document:
        raise UpstreamError(f"{target} cannot pull it: {document['error']}")
    return document
