"""`/vector_stores/{id}/file_batches`: https://platform.openai.com/docs/api-reference/vector-stores-file-batches."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel

from microservices.assistants.objects.vector_store_file import FileBatch
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.query import page_query
from microservices.assistants.requests.vector_stores import AddFiles
from microservices.assistants.routes.asked import database_of, owner_of, search_of
from microservices.assistants.routes.described import PAGE, described, list_model
from microservices.assistants.routes.vector_store_files import FILTER, POLL_HEADER, shown_file, status_query
from microservices.assistants.search.resources import new_file
from microservices.assistants.store import files, vector_store_files, vector_stores
from microservices.assistants.store.paging import page_json
from servicekit.errors import InvalidRequestError
from servicekit.ids import new_id


class FileBatchObject(BaseModel):
    """A batch as the API shows it."""

    id: str
    object: Literal["vector_store.files_batch"]
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled"]
    file_counts: dict[str, Any]


def add_file_batch_routes(router: APIRouter) -> None:
    """Add the routes; they find store and search in the application's state."""
    path = "/vector_stores/{vector_store_id}/file_batches"
    one = f"{path}/{{batch_id}}"
    list_docs = described("List a batch's files", list_model(shown_file()), query=(*PAGE, FILTER))
    router.post(path, **described("Add files to a vector store", FileBatchObject, body=AddFiles))(create)
    router.get(one, **described("Get a file batch", FileBatchObject))(get)
    router.post(f"{one}/cancel", **described("Cancel what is not indexed yet", FileBatchObject))(cancel)
    router.get(f"{one}/files", **list_docs)(list_files)


async def create(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Add files, to be indexed; those that are there are indexed anew."""
    wanted = parse_request(await request.body(), AddFiles).items()
    owner = owner_of(request)
    batch = FileBatch(new_id("vsfb_"), vector_store_id, int(time.time()))
    added = [
        new_file(
            vector_store_id,
            item.file_id,
            item.chunking_strategy.model_dump() if item.chunking_strategy else None,
            attributes=item.attributes,
            batch_id=batch.id,
        )
        for item in wanted
    ]
    async with database_of(request).write() as connection:
        await vector_stores.lock(connection, owner, vector_store_id)
        if missing := await files.find_missing(connection, owner, [file.id for file in added]):
            raise files.not_found(missing)
        await vector_store_files.add_batch(connection, batch)
        await vector_store_files.add(connection, added)
        counted = await vector_store_files.counted_batch(connection, batch.id)
    search_of(request).wake()
    return ORJSONResponse(batch.to_json(counted.counts))


async def get(request: Request, vector_store_id: str, batch_id: str) -> ORJSONResponse:
    """Show where a batch stands."""
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        batch = await vector_store_files.get_batch(connection, vector_store_id, batch_id)
        counted = await vector_store_files.counted_batch(connection, batch_id)
    shown = batch.to_json(counted.counts)
    return ORJSONResponse(shown, headers=POLL_HEADER if shown["status"] == "in_progress" else None)


async def cancel(request: Request, vector_store_id: str, batch_id: str) -> ORJSONResponse:
    """Cancel what is not indexed yet; what is stays."""
    async with database_of(request).write() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        batch = await vector_store_files.get_batch(connection, vector_store_id, batch_id)
        counted = await vector_store_files.counted_batch(connection, batch_id)
        if not counted.counts.in_progress:
            status = batch.to_json(counted.counts)["status"]
            raise InvalidRequestError(f"Cannot cancel batch '{batch_id}' with status '{status}'.")
        await vector_store_files.cancel_batch(connection, batch_id)
        counted = await vector_store_files.counted_batch(connection, batch_id)
    return ORJSONResponse(replace(batch, is_cancelled=True).to_json(counted.counts))


async def list_files(request: Request, vector_store_id: str, batch_id: str) -> ORJSONResponse:
    """List a batch's files, or those that stand somewhere."""
    query, status = page_query(request), status_query(request)
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner_of(request), vector_store_id)
        await vector_store_files.get_batch(connection, vector_store_id, batch_id)
        page = await vector_store_files.page(connection, vector_store_id, query, status=status, batch_id=batch_id)
    return ORJSONResponse(page_json(page, [file.to_json() for file in page.items]))
