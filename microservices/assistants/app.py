"""The assistants as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from microservices.assistants.data_folder import make_data_folder
from microservices.assistants.database_health import database_problem, install_database_errors
from microservices.assistants.gateway_models import GatewayModels
from microservices.assistants.routes.assistants import assistant_routes
from microservices.assistants.routes.files import file_routes
from microservices.assistants.routes.messages import message_routes
from microservices.assistants.routes.run_steps import run_step_routes
from microservices.assistants.routes.runs import run_routes
from microservices.assistants.routes.threads import thread_routes
from microservices.assistants.routes.vector_stores import vector_store_routes
from microservices.assistants.runs.durable import DurableEngine
from microservices.assistants.runs.gateway import Gateway
from microservices.assistants.search.embedder import Embedder
from microservices.assistants.search.passages import Search
from microservices.assistants.search.service import DocumentSearch
from microservices.assistants.settings import AssistantsSettings
from microservices.assistants.store.database import Database
from microservices.assistants.store.migrate import migrate
from microservices.assistants.upload_limit import UploadLimitMiddleware
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.http.client import HttpClient

_log = logging.getLogger(__name__)

INFO = ServiceInfo(
    title="assistants",
    description="OpenAI's Assistants v2 API on any model or pipeline of the gateway. "
    "Every path is there without /v1, too.",
)
#: The layer of two limits decides; the base's single one is out of its way.
_NO_LIMIT = 2**53


def create_app(settings: AssistantsSettings) -> FastAPI:
    """Build the application; its lifespan opens the store and starts the engine."""
    client = HttpClient(transport=settings.http_transport)
    database = Database(settings.database)
    models = GatewayModels(client, settings.gateway, gateway_headers(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            await asyncio.to_thread(make_data_folder, settings)
            await migrate(database)
            await stack.enter_async_context(client)
            search = await stack.enter_async_context(DocumentSearch(database, embedder_of(settings, client)))
            app.state.search = search
            app.state.engine = await stack.enter_async_context(run_engine(database, client, search, settings))
            await _warn_of(models)
            yield

    async def readiness() -> Sequence[str]:
        problem = await database_problem(database)
        return [problem] if problem else []

    app = create_service_app(INFO, _unlimited(settings), lifespan, readiness, layers=[_limits(settings)])
    install_database_errors(app, database)
    app.state.database, app.state.models, app.state.has_keys = database, models, bool(settings.api_keys)
    for router in _routers():
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    return app


def run_engine(database: Database, http: HttpClient, search: Search, settings: AssistantsSettings) -> DurableEngine:
    """Return the engine that brings runs to their ends, for the life of the application."""
    return DurableEngine(database, Gateway(http, settings.gateway, settings.gateway_key), search, settings)


def gateway_headers(settings: AssistantsSettings) -> dict[str, str]:
    """Return the headers that the gateway is called with."""
    return {"authorization": f"Bearer {settings.gateway_key}"} if settings.gateway_key else {}


def embedder_of(settings: AssistantsSettings, client: HttpClient) -> Embedder | None:
    """Return what makes vectors for file_search; None where no embedding model is configured."""
    if settings.embeddings_url is None or settings.embedding_model is None:
        return None
    return Embedder(client, settings.embeddings_url, settings.embedding_model, settings.embeddings_api_key)


def _routers() -> list[APIRouter]:
    """Return the families of routes; the runs' come first, since `/threads/runs` is no thread called "runs"."""
    of_runs = [run_routes(), run_step_routes()]
    return [*of_runs, assistant_routes(), thread_routes(), message_routes(), file_routes(), vector_store_routes()]


def _unlimited(settings: AssistantsSettings) -> AssistantsSettings:
    return settings.model_copy(update={"max_body_bytes": _NO_LIMIT})


def _limits(settings: AssistantsSettings) -> Middleware:
    return Middleware(
        UploadLimitMiddleware, max_body_bytes=settings.max_body_bytes, max_file_bytes=settings.max_file_bytes
    )


async def _warn_of(models: GatewayModels) -> None:
    """Say at the start that the gateway is not there; it may come later, and the store answers without it."""
    if (problem := await models.problem()) is not None:
        _log.warning("runs will fail until the gateway answers: %s", problem)
