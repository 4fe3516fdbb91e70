"""`/api/version`, `/api/tags`, `/api/ps`, `/api/show` and `/api/pull`: which models there are, for Ollama's clients."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse, Response

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.docs import body_docs
from servicekit.asgi.exchange import call_context
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import ModelNotFoundError
from servicekit.http.client import HttpClient
from servicekit.ollama.model_facts import ModelFacts, facts_of
from servicekit.ollama.names import known_name
from servicekit.ollama.ndjson import Lines, in_ollamas_way, line_stream
from servicekit.ollama.pull import pull
from servicekit.ollama.requests import NamedRequest
from servicekit.validation import parse_body
from servicekit.version import VERSION

#: The version of Ollama whose API this is; clients ask for a least one before they use a newer field.
API_VERSION = "0.12.0"
#: When an embedded model is unloaded: with the service.
_NEVER = "9999-12-31T23:59:59Z"


def model_routes(registry: EngineRegistry, client: HttpClient) -> APIRouter:
    """Build the routes about models."""
    router = APIRouter(tags=["ollama"])

    @router.get("/api/version", summary="The version (Ollama)")
    async def version() -> dict[str, str]:
        return {"version": API_VERSION, "service_version": VERSION}

    @router.get("/api/tags", summary="The models and aliases (Ollama)")
    async def tags() -> dict[str, Any]:
        return {"models": [facts.listed() for facts in await _all_facts(registry)]}

    @router.get("/api/ps", summary="The models that are loaded here (Ollama)")
    async def running() -> dict[str, Any]:
        return {"models": [_loaded(facts) for facts in await _all_facts(registry) if facts.is_here]}

    @router.post("/api/show", summary="One model or alias (Ollama)", openapi_extra=body_docs(NamedRequest))
    async def show(request: Request) -> Response:
        async def answer() -> Response:
            wanted = parse_body(await request.body(), NamedRequest)
            name = known_name(wanted.model, registry.names)
            if name not in registry.names:
                raise ModelNotFoundError(name, registry.names)
            facts = await asyncio.to_thread(facts_of, registry, name)
            return ORJSONResponse(_shown(facts, facts.deployment.served_name(registry.catalog.folder)))

        return await in_ollamas_way(answer)

    _add_pull_route(router, registry, client)
    return router


def _add_pull_route(router: APIRouter, registry: EngineRegistry, client: HttpClient) -> None:
    @router.post("/api/pull", summary="Fetch a model (Ollama)", openapi_extra=body_docs(NamedRequest))
    async def pull_model(request: Request) -> Response:
        async def answer() -> Response:
            wanted = parse_body(await request.body(), NamedRequest)
            name = known_name(wanted.model, registry.catalog.names)
            lines = pull(registry, client, name, call_context(request.scope))
            if wanted.stream:
                return await line_stream(request, lines)
            return ORJSONResponse(await until_disconnect(request.scope, request.receive, _last(lines)))

        return await in_ollamas_way(answer)


async def _last(lines: Lines) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async for line in lines:
        found = line
    return found


async def _all_facts(registry: EngineRegistry) -> list[ModelFacts]:
    return await asyncio.to_thread(lambda: [facts_of(registry, name) for name in registry.names])


def _loaded(facts: ModelFacts) -> dict[str, Any]:
    return {**facts.listed(), "expires_at": _NEVER, "size_vram": 0}


def _shown(facts: ModelFacts, model: str) -> dict[str, Any]:
    """Write what is known of a name, and of the model that answers for it."""
    deployment = facts.deployment
    parameters = "\n".join(f"{name} {value}" for name, value in deployment.parameters.items())
    can = ["completion", "tools"] if deployment.is_of_litellm else ["completion", "tools", "embedding"]
    return {
        "modelfile": f"# {facts.name}: {deployment.provider}, from compose/models.json\nFROM {model}\n",
        "parameters": parameters,
        "template": "",
        "details": facts.details(),
        "model_info": {"general.architecture": deployment.provider, "general.basename": model},
        "capabilities": can,
        "modified_at": facts.listed()["modified_at"],
    }
