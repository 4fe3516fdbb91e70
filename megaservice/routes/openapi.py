"""`/openapi.json`: the static routes, and the endpoints of the pipelines that are served now."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from megaservice.served import ServedPipelines
from servicekit.asgi.docs import body_docs
from servicekit.openai.chat import ChatRequest


def describe_pipelines(app: FastAPI, served: ServedPipelines) -> None:
    """Make the application's OpenAPI document follow the routing table; it is made when somebody asks for it."""
    shown = -1

    def openapi() -> dict[str, Any]:
        nonlocal shown
        if app.openapi_schema is None or shown != served.version:
            shown = served.version
            routes = [*app.routes, *_pipeline_routes(served)]
            app.openapi_schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=routes
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _pipeline_routes(served: ServedPipelines) -> list[APIRoute]:
    # The body is checked by the gateway itself, so FastAPI is only told how to show it.
    body = body_docs(ChatRequest)
    return [
        APIRoute(
            path,
            _answered_elsewhere,
            methods=["POST"],
            name=gateway.name,
            summary=gateway.pipeline.spec.description or gateway.name,
            response_model=None,
            openapi_extra=body,
            tags=["pipelines"],
        )
        for path, gateway in served.table.by_endpoint.items()
    ]


async def _answered_elsewhere() -> None:
    """Stand in the document for the route that answers: routes/pipelines.py."""
