"""`/assistants`: https://platform.openai.com/docs/api-reference/assistants."""

from __future__ import annotations

import time
from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.requests.assistants import CreateAssistant, UpdateAssistant
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.query import page_query
from microservices.assistants.routes.asked import check_path, database_of, models_of, owner_of
from microservices.assistants.routes.described import PAGE, deleted_model, described, list_model, object_model
from microservices.assistants.search.resources import resolved
from microservices.assistants.store import assistants
from microservices.assistants.store.paging import page_json
from servicekit.ids import new_id


def assistant_routes() -> APIRouter:
    """Build the routes; they find the store in the application's state."""
    router = APIRouter(tags=["assistants"], dependencies=[Depends(check_path)])
    shown = object_model(Assistant, "Assistant", "assistant")
    deleted = deleted_model("DeletedAssistant", "assistant.deleted")
    one = "/assistants/{assistant_id}"
    router.post("/assistants", **described("Create an assistant", shown, body=CreateAssistant))(create)
    router.get("/assistants", **described("List assistants", list_model(shown), query=PAGE))(list_page)
    router.get(one, **described("Get an assistant", shown))(get)
    router.post(one, **described("Change an assistant", shown, body=UpdateAssistant))(update)
    router.delete(one, **described("Delete an assistant", deleted))(delete)
    return router


async def create(request: Request) -> ORJSONResponse:
    """Make an assistant."""
    wanted = parse_request(await request.body(), CreateAssistant)
    await models_of(request).check(wanted.model)
    assistant = wanted.to_assistant(new_id("asst_"), owner_of(request), int(time.time()))
    async with database_of(request).write() as connection:
        resources = await resolved(connection, assistant.owner, assistant.tool_resources)
        assistant = replace(assistant, tool_resources=resources)
        await assistants.insert(connection, assistant)
    return ORJSONResponse(assistant.to_json())


async def list_page(request: Request) -> ORJSONResponse:
    """List assistants."""
    query = page_query(request)
    async with database_of(request).read() as connection:
        page = await assistants.page(connection, owner_of(request), query)
    return ORJSONResponse(page_json(page, [assistant.to_json() for assistant in page.items]))


async def get(request: Request, assistant_id: str) -> ORJSONResponse:
    """Show an assistant."""
    async with database_of(request).read() as connection:
        assistant = await assistants.get(connection, owner_of(request), assistant_id)
    return ORJSONResponse(assistant.to_json())


async def update(request: Request, assistant_id: str) -> ORJSONResponse:
    """Change what the body names; null clears."""
    wanted = parse_request(await request.body(), UpdateAssistant, may_be_empty=True)
    if wanted.model is not None:
        await models_of(request).check(wanted.model)
    changes, owner = wanted.changes(), owner_of(request)
    async with database_of(request).write() as connection:
        assistant = await assistants.get(connection, owner, assistant_id)
        if "tool_resources" in changes:
            changes["tool_resources"] = await resolved(connection, owner, changes["tool_resources"])
        await assistants.update(connection, assistant_id, changes)
    return ORJSONResponse(replace(assistant, **changes).to_json())


async def delete(request: Request, assistant_id: str) -> ORJSONResponse:
    """Delete an assistant; its threads' messages and runs stay."""
    async with database_of(request).write() as connection:
        await assistants.delete(connection, owner_of(request), assistant_id)
    return ORJSONResponse({"id": assistant_id, "object": "assistant.deleted", "deleted": True})
