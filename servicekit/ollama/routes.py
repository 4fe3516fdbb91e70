"""All of Ollama's API that we answer, for a service that runs engines."""

from __future__ import annotations

from fastapi import FastAPI

from servicekit.engines.registry import EngineRegistry
from servicekit.http.client import HttpClient
from servicekit.ollama.answer_routes import answer_routes
from servicekit.ollama.model_routes import model_routes


def add_ollama_routes(app: FastAPI, registry: EngineRegistry, client: HttpClient) -> None:
    """Add the routes under `/api`.

    Args:
        app: The service's application.
        registry: Its engines.
        client: Its HTTP client, for an Ollama behind.
    """
    app.include_router(answer_routes(registry))
    app.include_router(model_routes(registry, client))
