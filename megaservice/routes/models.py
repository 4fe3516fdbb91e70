"""`GET /v1/models`: the names that a request's `model` may have: models, their aliases, and pipelines."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from megaservice.served import ServedPipelines
from servicekit.errors import NotFoundError
from servicekit.models import ModelCatalog
from servicekit.nearest import nearest


def models_router(catalog: ModelCatalog, served: ServedPipelines) -> APIRouter:
    """Build the routes over the names of models.json and over the pipelines."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="The models that can be asked for, pipelines among them")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(catalog, served, name) for name in _names(catalog, served)]}

    @router.get("/v1/models/{name:path}", summary="One model")
    async def get_model(name: str) -> dict[str, Any]:
        names = _names(catalog, served)
        if name not in names:
            raise NotFoundError(
                f"There is no model '{name}'.{nearest(name, names)} The models there are: {', '.join(names)}."
            )
        return _model(catalog, served, name)

    return router


def _names(catalog: ModelCatalog, served: ServedPipelines) -> list[str]:
    return list(dict.fromkeys([*catalog.names, *served.table.by_name]))


def _model(catalog: ModelCatalog, served: ServedPipelines, name: str) -> dict[str, Any]:
    """Describe a name; where a pipeline is called like a model, requests get the pipeline."""
    root = name if name in served.table.by_name else catalog.find(name).served_name(catalog.folder)
    return {"id": name, "object": "model", "created": 0, "owned_by": "megaservice", "root": root}
