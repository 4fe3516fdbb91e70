"""`/vector_stores/{id}/files`: https://platform.openai.com/docs/api-reference/vector-stores-files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel

from microservices.assistants.objects.vector_store import IndexStatus
from microservices.assistants.objects.vector_store_file import VectorStoreFile
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.query import page_query
from microservices.assistants.requests.vector_stores import AddFile, UpdateFile
from microservices.assistants.routes.asked import database_of, owner_of, search_of
from microservices.assistants.routes.described import (
    PAGE,
    Query,
    deleted_model,
    described,
    list_model,
    object_model,
)
from microservices.assistants.search.resources import new_file
from microservices.assistants.store import chunks, files, vector_store_files, vector_stores
from microservices.assistants.store.paging import page_json
from servicekit.errors import InvalidRequestError

_STATUSES = get_args(IndexStatus)
FILTER = Query("filter", {"type": "string", "enum": list(_STATUSES)})
#: SDKs ask again after this long while a file is being indexed; without it they wait a second.
POLL_HEADER = {"openai-poll-after-ms": "50"}


class FileContent(BaseModel):
    """The text that was found in a file, in pieces."""

    object: Literal["vector_store.file_content.page"]
    data: list[dict[str, str]]
    has_more: Literal[False]
    next_page: None


def shown_file() -> type[BaseModel]:
    """Return the model of a file of a vector store as the API shows it."""
    return object_model(VectorStoreFile, "VectorStoreFile", "vector_store.file", ("batch_id", "claimed_until"))


def add_vector_store_file_routes(router: APIRouter) -> None:
    """Add the routes; they find store and search in the application's state."""
    path = "/vector_stores/{vector_store_id}/files"
    one = f"{path}/{{file_id}}"
    shown = shown_file()
    deleted = deleted_model("DeletedVectorStoreFile", "vector_store.file.deleted")
    list_docs = described("List a vector store's files", list_model(shown), query=(*PAGE, FILTER))
    router.post(path, **described("Add a file to a vector store", shown, body=AddFile))(create)
    router.get(path, **list_docs)(list_page)
    router.get(one, **described("Get a file of a vector store", shown))(get)
    router.post(one, **described("Change a file's attributes", shown, body=UpdateFile))(update)
    router.delete(one, **described("Take a file out of a vector store", deleted))(delete)
    router.get(f"{one}/content", **described("Get the text of a vector store's file", FileContent))(get_content)


async def create(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Add a file, to be indexed; one that is there is indexed anew."""
    wanted = parse_request(await request.body(), AddFile)
    owner = owner_of(request)
    strategy = wanted.chunking_strategy.model_dump() if wanted.chunking_strategy else None
    file = new_file(vector_store_id, wanted.file_id, strategy, attributes=wanted.attributes)
    async with database_of(request).write() as connection:
        await vector_stores.lock(connection, owner, vector_store_id)
        if missing := await files.find_missing(connection, owner, [wanted.file_id]):
            raise files.not_found(missing)
        await vector_store_files.add(connection, [file])
    search_of(request).wake()
    return ORJSONResponse(file.to_json())


async def list_page(request: Request, vector_store_id: str) -> ORJSONResponse:
    """List files, or those that stand somewhere."""
    query, status = page_query(request), status_query(request)
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        page = await vector_store_files.page(connection, vector_store_id, query, status=status)
    return ORJSONResponse(page_json(page, [file.to_json() for file in page.items]))


async def get(request: Request, vector_store_id: str, file_id: str) -> ORJSONResponse:
    """Show where a file stands."""
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        file = await vector_store_files.get(connection, vector_store_id, file_id)
    headers = POLL_HEADER if file.status == "in_progress" else None
    return ORJSONResponse(file.to_json(), headers=headers)


async def update(request: Request, vector_store_id: str, file_id: str) -> ORJSONResponse:
    """Change what a search can filter the file by."""
    wanted = parse_request(await request.body(), UpdateFile)
    async with database_of(request).write() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        attributes = wanted.attributes or {}
        await vector_store_files.update_attributes(connection, vector_store_id, file_id, attributes)
        file = await vector_store_files.get(connection, vector_store_id, file_id)
    return ORJSONResponse(file.to_json())


async def delete(request: Request, vector_store_id: str, file_id: str) -> ORJSONResponse:
    """Take a file out; the file itself stays."""
    async with database_of(request).write() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        await vector_store_files.delete(connection, vector_store_id, file_id)
    return ORJSONResponse({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})


async def get_content(request: Request, vector_store_id: str, file_id: str) -> ORJSONResponse:
    """Show the text that was found in a file."""
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        await vector_store_files.get(connection, vector_store_id, file_id)
        found = await chunks.of_file(connection, vector_store_id, file_id)
    pieces = _without_overlaps((start, end, text) for start, end, text in found)
    data = [{"type": "text", "text": text} for text in pieces]
    page = {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
    return ORJSONResponse(page)


def status_query(request: Request) -> str | None:
    """Return the status that is asked for.

    Raises:
        InvalidRequestError: It is none.
    """
    status = request.query_params.get("filter") or None
    if status is not None and status not in _STATUSES:
        raise InvalidRequestError(f"filter: expected one of {', '.join(_STATUSES)}, found '{status}'.", param="filter")
    return status


def _without_overlaps(found: Iterable[tuple[int, int, str]]) -> list[str]:
    """Return the texts of chunks without what the one before has already."""
    pieces: list[str] = []
    covered = 0
    for start, end, text in found:
        pieces.append(text[max(0, covered - start) :])
        covered = max(covered, end)
    return pieces
