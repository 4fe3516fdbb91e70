"""`GET /v1/models`: the names that a request's `model` may have."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from servicekit.errors import NotFoundError
from servicekit.models import ModelCatalog


def models_router(catalog: ModelCatalog) -> APIRouter:
    """Build the routes over the aliases and models of models.json."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="The models that can be asked for")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(catalog, name) for name in catalog.names]}

    @router.get("/v1/models/{name:path}", summary="One model")
    async def get_model(name: str) -> dict[str, Any]:
        if name not in catalog.names:
            raise NotFoundError(f"There is no model '{name}'. The models there are: {', '.join(catalog.names)}.")
        return _model(catalog, name)

    return router


def _model(catalog: ModelCatalog, name: str) -> dict[str, Any]:
    root = catalog.find(name).served_name(catalog.folder)
    return {"id": name, "object": "model", "created": 0, "owned_by": "megaservice", "root": root}
