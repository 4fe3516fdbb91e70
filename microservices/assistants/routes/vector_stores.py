"""`/vector_stores`: https://platform.openai.com/docs/api-reference/vector-stores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.query import page_query
from microservices.assistants.requests.vector_stores import (
    CreateVectorStore,
    SearchVectorStore,
    UpdateVectorStore,
)
from microservices.assistants.routes.asked import check_path, database_of, owner_of, search_of
from microservices.assistants.routes.described import PAGE, deleted_model, described, list_model
from microservices.assistants.routes.file_batches import add_file_batch_routes
from microservices.assistants.routes.vector_store_files import add_vector_store_file_routes
from microservices.assistants.search.resources import add_store, new_file
from microservices.assistants.search.service import FoundPassage, Question
from microservices.assistants.store import files, vector_store_files, vector_stores
from microservices.assistants.store.paging import page_json


class FileCountsObject(BaseModel):
    """How many files stand where."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStoreObject(BaseModel):
    """A vector store as the API shows it."""

    id: str
    object: Literal["vector_store"]
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: FileCountsObject
    status: Literal["expired", "in_progress", "completed"]
    expires_after: dict[str, Any] | None
    expires_at: int | None
    last_active_at: int
    metadata: dict[str, str]


class SearchResults(BaseModel):
    """What a search found, best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[dict[str, Any]]
    has_more: Literal[False]
    next_page: None


def vector_store_routes() -> APIRouter:
    """Build the routes; they find store and search in the application's state."""
    router = APIRouter(tags=["vector stores"], dependencies=[Depends(check_path)])
    one = "/vector_stores/{vector_store_id}"
    shown = VectorStoreObject
    deleted = deleted_model("DeletedVectorStore", "vector_store.deleted")
    create_docs = described("Create a vector store", shown, body=CreateVectorStore, needs_body=False)
    router.post("/vector_stores", **create_docs)(create)
    router.get("/vector_stores", **described("List vector stores", list_model(shown), query=PAGE))(list_page)
    router.get(one, **described("Get a vector store", shown))(get)
    router.post(one, **described("Change a vector store", shown, body=UpdateVectorStore))(update)
    router.delete(one, **described("Delete a vector store; its files stay", deleted))(delete)
    search_docs = described("Search a vector store", SearchResults, body=SearchVectorStore)
    router.post(f"{one}/search", **search_docs)(search)
    add_vector_store_file_routes(router)
    add_file_batch_routes(router)
    return router


async def create(request: Request) -> ORJSONResponse:
    """Make a vector store, with files or without."""
    wanted = parse_request(await request.body(), CreateVectorStore, may_be_empty=True)
    owner = owner_of(request)
    expires_after = wanted.expires_after.model_dump() if wanted.expires_after else None
    strategy = wanted.chunking_strategy.model_dump() if wanted.chunking_strategy else None
    async with database_of(request).write() as connection:
        if missing := await files.find_missing(connection, owner, wanted.file_ids):
            raise files.not_found(missing)
        store = await add_store(
            connection,
            owner,
            name=wanted.name,
            description=wanted.description,
            expires_after=expires_after,
            metadata=wanted.metadata,
        )
        added = [new_file(store.id, file_id, strategy) for file_id in dict.fromkeys(wanted.file_ids)]
        await vector_store_files.add(connection, added)
        shown = await _shown(connection, [store])
    search_of(request).wake()
    return ORJSONResponse(shown[0])


async def list_page(request: Request) -> ORJSONResponse:
    """List vector stores."""
    query = page_query(request)
    async with database_of(request).read() as connection:
        page = await vector_stores.page(connection, owner_of(request), query)
        shown = await _shown(connection, page.items)
    return ORJSONResponse(page_json(page, shown))


async def get(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Show a vector store."""
    async with database_of(request).read() as connection:
        store = await vector_stores.get(connection, owner_of(request), vector_store_id)
        shown = await _shown(connection, [store])
    return ORJSONResponse(shown[0])


async def update(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Change what the body names; null clears."""
    changes = parse_request(await request.body(), UpdateVectorStore, may_be_empty=True).changes()
    owner = owner_of(request)
    async with database_of(request).write() as connection:
        await vector_stores.get(connection, owner, vector_store_id)
        await vector_stores.update_fields(connection, vector_store_id, changes)
        shown = await _shown(connection, [await vector_stores.get(connection, owner, vector_store_id)])
    return ORJSONResponse(shown[0])


async def delete(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Delete a vector store; its files stay."""
    async with database_of(request).write() as connection:
        await vector_stores.delete(connection, owner_of(request), vector_store_id)
    return ORJSONResponse({"id": vector_store_id, "object": "vector_store.deleted", "deleted": True})


async def search(request: Request, vector_store_id: str) -> ORJSONResponse:
    """Show the passages of a vector store that a question is about."""
    wanted = parse_request(await request.body(), SearchVectorStore)
    owner = owner_of(request)
    async with database_of(request).read() as connection:
        await vector_stores.get(connection, owner, vector_store_id)
    threshold = wanted.ranking_options.score_threshold if wanted.ranking_options else 0.0
    condition = wanted.filters.model_dump() if wanted.filters else None
    question = Question("\n".join(wanted.queries), wanted.max_num_results, threshold, condition)
    found = await search_of(request).answer(owner, [vector_store_id], question)
    return ORJSONResponse(
        {
            "object": "vector_store.search_results.page",
            "search_query": wanted.queries,
            "data": [_result(item) for item in found],
            "has_more": False,
            "next_page": None,
        }
    )


async def _shown(connection: AsyncConnection, stores: Sequence[VectorStore]) -> list[JsonObject]:
    counted = await vector_stores.counted(connection, [store.id for store in stores])
    now = int(time.time())
    return [store.to_json(*counted[store.id], now) for store in stores]


def _result(found: FoundPassage) -> JsonObject:
    return {
        "file_id": found.passage.file_id,
        "filename": found.passage.filename,
        "score": found.passage.score,
        "attributes": found.attributes,
        "content": [{"type": "text", "text": found.passage.text}],
    }
