"""`POST /api/pull`: who has an Ollama behind gets its progress; who has the file is told so."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson

from servicekit.context import CallContext
from servicekit.engines.hub_download import download, without_network
from servicekit.engines.hub_progress import Progress
from servicekit.engines.hub_reference import is_hub_reference
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    ServiceError,
    UpstreamBadResponseError,
    UpstreamError,
)
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
        name: An alias, a model's name, the name of a model that the service's Ollama can fetch, or one of Hugging Face.
        context: The request's.

    Raises:
        ModelNotFoundError: No such name, and no Ollama that could know it.
        NotFoundError: The GGUF file of an embedded model is not there.
        ServiceError: The Ollama or Hugging Face cannot be reached, or failed.
    """
    for deployment in _deployments(registry, name):
        async with aclosing(_lines_of(registry, client, deployment, context)) as lines:
            async for line in lines:
                yield line
    yield _SUCCESS


def _deployments(registry: EngineRegistry, name: str) -> tuple[Deployment, ...]:
    try:
        return registry.catalog.alias(name).deployments
    except ModelNotFoundError:
        if ollamas := [item for item in registry.catalog.entries() if item.provider == "ollama"]:
            return (ollamas[0].model_copy(update={"model": name}),)
        if is_hub_reference(name):
            return (Deployment(provider="embedded", model=name),)
        raise


async def _lines_of(
    registry: EngineRegistry, client: HttpClient, deployment: Deployment, context: CallContext
) -> Lines:
    if deployment.provider == "embedded":
        lines = _fetched(registry, client, deployment)
    elif deployment.is_of_litellm:
        return
    else:
        lines = _forwarded(client, deployment, context)
    async with aclosing(lines):
        async for line in lines:
            yield line


async def _fetched(registry: EngineRegistry, client: HttpClient, deployment: Deployment) -> Lines:
    """Fetch the file of an embedded model from Hugging Face; a file of one's own must be there."""
    try:
        reference = deployment.hub_reference
    except ValueError as exc:
        raise InvalidRequestError(f"{exc}.", param="model") from exc
    if reference is None:
        await _check_file(registry, deployment)
        return
    yield {"status": "pulling manifest"}
    try:
        async with aclosing(download(reference, client)) as moments:
            async for moment in moments:
                yield _line(moment)
    except ServiceError as exc:
        if remedy := without_network(exc, reference):
            raise UpstreamError(f"{exc.message}{remedy}", retryable=exc.retryable) from exc
        raise
    if all(known.model != deployment.model for known in registry.catalog.entries()):
        known_as = f'{{"provider": "embedded", "model": "{reference}"}}'
        yield {"status": f"it is in the cache; an alias of compose/models.json makes it answer: {known_as}"}


def _line(moment: Progress) -> dict[str, object]:
    """Write a moment as Ollama does."""
    if moment.total is None or moment.status != "downloading":
        return {"status": f"{moment.status} {moment}" if moment.completed else moment.status}
    digest = moment.sha256 or ""
    counts = {"total": moment.total, "completed": moment.completed}
    return {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", **counts}


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
