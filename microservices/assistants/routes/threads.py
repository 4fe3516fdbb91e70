"""`/threads`: https://platform.openai.com/docs/api-reference/threads."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse

from microservices.assistants.additions import add_thread
from microservices.assistants.objects.thread import Thread
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.threads import CreateThread, UpdateThread
from microservices.assistants.routes.asked import check_path, database_of, owner_of
from microservices.assistants.routes.busy import refuse_while_active
from microservices.assistants.routes.described import deleted_model, described, object_model
from microservices.assistants.search.resources import resolved
from microservices.assistants.store import threads


def thread_routes() -> APIRouter:
    """Build the routes; they find the store in the application's state."""
    router = APIRouter(tags=["threads"], dependencies=[Depends(check_path)])
    shown = object_model(Thread, "Thread", "thread")
    create_docs = described("Create a thread", shown, body=CreateThread, needs_body=False)
    router.post("/threads", **create_docs)(create)
    router.get("/threads/{thread_id}", **described("Get a thread", shown))(get)
    router.post("/threads/{thread_id}", **described("Change a thread", shown, body=UpdateThread))(update)
    deleted = deleted_model("DeletedThread", "thread.deleted")
    router.delete("/threads/{thread_id}", **described("Delete a thread with all that is in it", deleted))(delete)
    return router


async def create(request: Request) -> ORJSONResponse:
    """Make a thread, with messages or without."""
    wanted = parse_request(await request.body(), CreateThread, may_be_empty=True)
    async with database_of(request).write() as connection:
        thread = await add_thread(connection, owner_of(request), wanted.to_new())
    return ORJSONResponse(thread.to_json())


async def get(request: Request, thread_id: str) -> ORJSONResponse:
    """Show a thread."""
    async with database_of(request).read() as connection:
        thread = await threads.get(connection, owner_of(request), thread_id)
    return ORJSONResponse(thread.to_json())


async def update(request: Request, thread_id: str) -> ORJSONResponse:
    """Change what the body names; null clears."""
    changes = parse_request(await request.body(), UpdateThread, may_be_empty=True).changes()
    owner = owner_of(request)
    async with database_of(request).write() as connection:
        thread = await threads.lock(connection, owner, thread_id)
        if "tool_resources" in changes:
            changes["tool_resources"] = await resolved(connection, owner, changes["tool_resources"])
        await threads.update(connection, thread_id, changes)
    return ORJSONResponse(replace(thread, **changes).to_json())


async def delete(request: Request, thread_id: str) -> ORJSONResponse:
    """Delete a thread that no run works on."""
    owner = owner_of(request)
    async with database_of(request).write() as connection:
        await threads.lock(connection, owner, thread_id)
        await refuse_while_active(connection, thread_id, "delete")
        await threads.delete(connection, owner, thread_id)
    return ORJSONResponse({"id": thread_id, "object": "thread.deleted", "deleted": True})
