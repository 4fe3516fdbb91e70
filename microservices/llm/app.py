"""The LLM microservice as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from microservices.llm.chat_routes import add_chat_routes
from microservices.llm.model_routes import add_model_routes
from microservices.llm.settings import LLMSettings
from microservices.llm.text_routes import add_text_routes
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.engines.llama_process import EmbeddedOptions
from servicekit.engines.registry import EngineRegistry
from servicekit.http.client import HttpClient, Timeouts
from servicekit.model_settings import catalog_from
from servicekit.ollama.routes import add_ollama_routes

_INFO = ServiceInfo(
    title="LLM microservice",
    description="OpenAI's and Ollama's APIs over embedded llama.cpp, Ollama, OpenAI-compatible servers and LiteLLM.",
)


def create_app(settings: LLMSettings) -> FastAPI:
    """Build the application; its lifespan starts and closes the engines.

    Raises:
        ConfigurationError: models.json or LLM_MODEL_ID cannot be used.
    """
    client = HttpClient(transport=settings.http_transport)
    registry = EngineRegistry(catalog_from(settings), client, options=_options(settings), timeouts=_timeouts(settings))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with client:
            try:
                await registry.start()
                yield
            finally:
                await registry.close()

    async def readiness() -> Sequence[str]:
        return await registry.problems()

    app = create_service_app(_INFO, settings, lifespan, readiness)
    add_chat_routes(app, registry)
    add_text_routes(app, registry)
    add_model_routes(app, registry)
    add_ollama_routes(app, registry, client)
    return app


def _options(settings: LLMSettings) -> EmbeddedOptions:
    return EmbeddedOptions(
        parallel=settings.embedded_parallel,
        threads=settings.embedded_threads,
        max_context_tokens=settings.embedded_context,
    )


def _timeouts(settings: LLMSettings) -> Timeouts:
    return Timeouts(
        connect_seconds=settings.connect_timeout_seconds,
        first_byte_seconds=settings.first_token_timeout_seconds,
        idle_seconds=settings.idle_timeout_seconds,
        total_seconds=settings.total_timeout_seconds,
    )
