"""`/threads/{thread_id}/messages`: https://platform.openai.com/docs/api-reference/messages."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse

from microservices.assistants.additions import add_messages
from microservices.assistants.objects.message import Message
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.messages import CreateMessage, UpdateMetadata
from microservices.assistants.requests.query import id_query, page_query
from microservices.assistants.routes.asked import check_path, database_of, is_older_shape, owner_of
from microservices.assistants.routes.busy import refuse_while_active
from microservices.assistants.routes.described import (
    PAGE,
    RUN_ID,
    deleted_model,
    described,
    list_model,
    object_model,
)
from microservices.assistants.store import messages, threads
from microservices.assistants.store.paging import page_json

#: A bare array cannot say that there is more: it holds as much as a page can.
_OLDER_LIMIT = 100


def message_routes() -> APIRouter:
    """Build the routes; they find the store in the application's state."""
    router = APIRouter(tags=["messages"], dependencies=[Depends(check_path)])
    shown = object_model(Message, "Message", "thread.message")
    deleted = deleted_model("DeletedMessage", "thread.message.deleted")
    all_of = "/threads/{thread_id}/messages"
    one = all_of + "/{message_id}"
    router.post(all_of, **described("Add a message", shown, body=CreateMessage))(create)
    router.get(all_of, **described("List messages", list_model(shown), query=(*PAGE, RUN_ID)))(list_page)
    router.get(one, **described("Get a message", shown))(get)
    router.post(one, **described("Change a message's metadata", shown, body=UpdateMetadata))(update)
    router.delete(one, **described("Delete a message", deleted))(delete)
    return router


async def create(request: Request, thread_id: str) -> ORJSONResponse:
    """Add a message to a thread that no run works on."""
    wanted = parse_request(await request.body(), CreateMessage)
    owner = owner_of(request)
    async with database_of(request).write() as connection:
        thread = await threads.lock(connection, owner, thread_id)
        await refuse_while_active(connection, thread_id, "add messages to")
        [message] = await add_messages(connection, owner, thread, [wanted.to_new()])
    return ORJSONResponse(message.to_json())


async def list_page(request: Request, thread_id: str) -> ORJSONResponse:
    """List messages: as a page, or as the bare array that scripts of the older shape read."""
    query, run_id = page_query(request), id_query(request, "run_id")
    is_older = is_older_shape(request)
    if is_older and "limit" not in request.query_params:
        query = replace(query, limit=_OLDER_LIMIT)
    async with database_of(request).read() as connection:
        await threads.get(connection, owner_of(request), thread_id)
        page = await messages.page(connection, thread_id, query, run_id)
    items = [message.to_json() for message in page.items]
    return ORJSONResponse(items if is_older else page_json(page, items))


async def get(request: Request, thread_id: str, message_id: str) -> ORJSONResponse:
    """Show a message."""
    async with database_of(request).read() as connection:
        await threads.get(connection, owner_of(request), thread_id)
        message = await messages.get(connection, thread_id, message_id)
    return ORJSONResponse(message.to_json())


async def update(request: Request, thread_id: str, message_id: str) -> ORJSONResponse:
    """Replace a message's metadata."""
    changes = parse_request(await request.body(), UpdateMetadata, may_be_empty=True).changes()
    async with database_of(request).write() as connection:
        await threads.get(connection, owner_of(request), thread_id)
        message = await messages.get(connection, thread_id, message_id)
        await messages.update(connection, message_id, changes)
    return ORJSONResponse(replace(message, **changes).to_json())


async def delete(request: Request, thread_id: str, message_id: str) -> ORJSONResponse:
    """Delete a message of a thread that no run works on."""
    async with database_of(request).write() as connection:
        await threads.lock(connection, owner_of(request), thread_id)
        await refuse_while_active(connection, thread_id, "delete messages of")
        await messages.delete(connection, thread_id, message_id)
    return ORJSONResponse({"id": message_id, "object": "thread.message.deleted", "deleted": True})
