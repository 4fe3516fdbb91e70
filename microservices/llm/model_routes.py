"""`GET /v1/models` and `/v1/models/{id}`: every name that can be asked for.

An alias carries `root`, the model that answers for it.
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI

from servicekit.engines.registry import EngineRegistry
from servicekit.errors import NotFoundError


def add_model_routes(app: FastAPI, registry: EngineRegistry) -> None:
    """Add the routes that tell which models there are."""
    started = int(time.time())

    @app.get("/v1/models", tags=["models"], summary="The models and aliases (OpenAI)")
    async def list_models() -> dict[str, Any]:
        data = [_model_object(name, registry, started) for name in registry.names]
        return {"object": "list", "data": data}

    @app.get("/v1/models/{name:path}", tags=["models"], summary="One model or alias (OpenAI)")
    async def show_model(name: str) -> dict[str, Any]:
        if name not in registry.names:
            raise NotFoundError(
                f"The model '{name}' is not known here. The models there are: {', '.join(registry.names)}."
            )
        return _model_object(name, registry, started)


def _model_object(name: str, registry: EngineRegistry, created: int) -> dict[str, Any]:
    engine = registry.engine_of(name)
    model = {"id": name, "object": "model", "created": created, "owned_by": engine.owner}
    return model if name == engine.model else {**model, "root": engine.model}
