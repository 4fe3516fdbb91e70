"""`/threads/{thread_id}/runs/{run_id}/steps`: https://platform.openai.com/docs/api-reference/run-steps."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.requests.query import includes_content, page_query
from microservices.assistants.routes.asked import check_path, database_of, owner_of
from microservices.assistants.routes.described import INCLUDE, PAGE, described, list_model, object_model
from microservices.assistants.routes.step_content import without_content
from microservices.assistants.store import run_steps, runs
from microservices.assistants.store.paging import page_json


def run_step_routes() -> APIRouter:
    """Build the routes; they find the store in the application's state."""
    router = APIRouter(tags=["run steps"], dependencies=[Depends(check_path)])
    shown = object_model(RunStep, "RunStep", "thread.run.step")
    all_of = "/threads/{thread_id}/runs/{run_id}/steps"
    router.get(all_of, **described("List a run's steps", list_model(shown), query=(*PAGE, INCLUDE)))(list_page)
    router.get(all_of + "/{step_id}", **described("Get a run step", shown, query=(INCLUDE,)))(get)
    return router


async def list_page(request: Request, thread_id: str, run_id: str) -> ORJSONResponse:
    """List what a run did."""
    query, with_content = page_query(request), includes_content(request)
    async with database_of(request).read() as connection:
        await runs.get(connection, owner_of(request), thread_id, run_id)
        page = await run_steps.page(connection, run_id, query)
    return ORJSONResponse(page_json(page, [_shown(step, with_content=with_content) for step in page.items]))


async def get(request: Request, thread_id: str, run_id: str, step_id: str) -> ORJSONResponse:
    """Show one thing that a run did."""
    with_content = includes_content(request)
    async with database_of(request).read() as connection:
        await runs.get(connection, owner_of(request), thread_id, run_id)
        step = await run_steps.get(connection, run_id, step_id)
    return ORJSONResponse(_shown(step, with_content=with_content))


def _shown(step: RunStep, *, with_content: bool) -> JsonObject:
    return step.to_json() if with_content else without_content(step.to_json())
