"""All of Ollama's API that we answer, for a service that runs engines."""

from __future__ import annotations

from fastapi import FastAPI

from servicekit.engines.registry import EngineRegistry
from servicekit.http.client import HttpClient
from servicekit.ollama.answer_routes import answer_routes
from servicekit.ollama.model_routes import model_routes
from servicekit.ollama.other_routes import other_routes


def add_ollama_routes(app: FastAPI, registry: EngineRegistry, client: HttpClient) -> None:
    """Add the routes under `/api`, all of it: what is not there is refused in Ollama's shape.

    Args:
        app: The service's application.
        registry: Its engines.
        client: Its HTTP client, for an Ollama behind.
    """
    answers, models = answer_routes(registry), model_routes(registry, client)
    for router in (answers, models, other_routes([*answers.routes, *models.routes])):
        app.include_router(router)
