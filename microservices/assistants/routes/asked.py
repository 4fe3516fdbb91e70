"""What every route asks of its request and of the application."""

from __future__ import annotations

from starlette.requests import Request

from microservices.assistants.gateway_models import GatewayModels
from microservices.assistants.owner import owner_of_key
from microservices.assistants.runs.engine import RunEngine
from microservices.assistants.search.service import DocumentSearch
from microservices.assistants.store.database import Database
from servicekit.asgi.api_keys import sent_key
from servicekit.errors import NotFoundError


def database_of(request: Request) -> Database:
    """Return the store."""
    database: Database = request.app.state.database
    return database


def engine_of(request: Request) -> RunEngine:
    """Return who brings runs to their ends."""
    engine: RunEngine = request.app.state.engine
    return engine


def models_of(request: Request) -> GatewayModels:
    """Return the list of the gateway's models."""
    models: GatewayModels = request.app.state.models
    return models


def search_of(request: Request) -> DocumentSearch:
    """Return who searches vector stores."""
    search: DocumentSearch = request.app.state.search
    return search


def owner_of(request: Request) -> str:
    """Return whose objects a request may see: its key's; "" where no keys are asked for, whatever was sent."""
    return owner_of_key(sent_key(request.headers)) if request.app.state.has_keys else ""


def is_older_shape(request: Request) -> bool:
    """Whether a request comes from a script of the days before v2: plain paths, and no header of the SDKs."""
    return "openai-beta" not in request.headers and not request.url.path.startswith("/v1/")


async def check_path(request: Request) -> None:
    """Refuse ids that no object can have, before a database is asked for them.

    Raises:
        NotFoundError: A part of the path has a character that cannot be stored.
    """
    for value in request.path_params.values():
        if not value.isprintable():
            raise NotFoundError(f"There is nothing with the id {value!r}.")
