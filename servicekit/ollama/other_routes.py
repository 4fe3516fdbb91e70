"""What of Ollama's API is not here: refused in Ollama's own shape, `{"error": "text"}`, which its clients read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from servicekit.errors import InvalidRequestError, MethodNotAllowedError, NotFoundError, ServiceError
from servicekit.ollama.ndjson import in_ollamas_way

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
#: Ollama's routes that change which models there are.
_CHANGING = frozenset({"blobs", "copy", "create", "delete", "push"})


def other_routes(known: Iterable[BaseRoute]) -> APIRouter:
    """Build the route that answers for every path under `/api` that no other one takes; add it last.

    Args:
        known: The routes that are there, to tell a wrong method from a wrong path.
    """
    router = APIRouter(tags=["ollama"])
    methods = {route.path: ", ".join(sorted(route.methods)) for route in known if isinstance(route, APIRoute)}

    @router.api_route("/api/{path:path}", methods=_METHODS, include_in_schema=False)
    async def other(request: Request) -> Response:
        async def answer() -> Response:
            path = request.url.path.rstrip("/")
            if path != request.url.path and path in methods:
                return RedirectResponse(request.url.replace(path=path))
            raise _refusal(request, methods)

        return await in_ollamas_way(answer)

    return router


def _refusal(request: Request, methods: Mapping[str, str]) -> ServiceError:
    where = f"{request.method} {request.url.path}"
    if request.path_params["path"].partition("/")[0] in _CHANGING:
        return InvalidRequestError(
            f"{where}: models are not created, copied, pushed or deleted here. compose/models.json names them: "
            "edit it and restart the service. POST /api/pull fetches the file of one."
        )
    if allowed := methods.get(request.url.path):
        return MethodNotAllowedError(f"{where} is not possible; this path takes {allowed}.", allowed)
    return NotFoundError(f"There is nothing at {where}. GET /docs lists the routes.")
