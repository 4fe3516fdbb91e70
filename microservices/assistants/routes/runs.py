"""`/threads/{thread_id}/runs` and `/threads/runs`: https://platform.openai.com/docs/api-reference/runs."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse, Response

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import ACTIVE, Run, RunStatus
from microservices.assistants.requests.body import parse_request
from microservices.assistants.requests.messages import UpdateMetadata
from microservices.assistants.requests.query import includes_content, last_event_number, page_query
from microservices.assistants.requests.runs import CreateRun, CreateThreadAndRun, SubmitToolOutputs
from microservices.assistants.routes.asked import (
    check_path,
    database_of,
    engine_of,
    is_older_shape,
    models_of,
    owner_of,
)
from microservices.assistants.routes.described import (
    AFTER_EVENT,
    INCLUDE,
    PAGE,
    described,
    list_model,
    object_model,
)
from microservices.assistants.routes.run_stream import attach_to, stream_of
from microservices.assistants.store import runs, threads
from microservices.assistants.store.paging import page_json

#: SDKs that wait for a run ask again after so many milliseconds; without the header, after a second.
_POLL_MILLISECONDS = "50"
_OLDER_WORD = "running"


def run_routes() -> APIRouter:
    """Build the routes; they find the engine and the store in the application's state."""
    router = APIRouter(tags=["runs"], dependencies=[Depends(check_path)])
    shown = object_model(Run, "Run", "thread.run", hidden=("tool_resources",))
    all_of = "/threads/{thread_id}/runs"
    one = all_of + "/{run_id}"
    with_thread = described("Create a thread and run it", shown, body=CreateThreadAndRun, is_stream=True)
    create_docs = described("Run a thread", shown, body=CreateRun, query=(INCLUDE,), is_stream=True)
    submit_docs = described("Give the outputs of tool calls", shown, body=SubmitToolOutputs, is_stream=True)
    stream_docs = described("Follow a run's events again", None, query=(AFTER_EVENT,), is_stream=True)
    router.post("/threads/runs", **with_thread)(create_with_thread)
    router.post(all_of, **create_docs)(create)
    router.get(all_of, **described("List runs", list_model(shown), query=PAGE))(list_page)
    router.get(one, **described("Get a run", shown))(get)
    router.post(one, **described("Change a run's metadata", shown, body=UpdateMetadata))(update)
    router.post(one + "/cancel", **described("Cancel a run", shown))(cancel)
    router.post(one + "/submit_tool_outputs", **submit_docs)(submit)
    router.get(one + "/stream", **stream_docs)(stream)
    return router


async def create(request: Request, thread_id: str) -> Response:
    """Run a thread."""
    wanted = parse_request(await request.body(), CreateRun)
    with_content = includes_content(request)
    if wanted.model is not None:
        await models_of(request).check(wanted.model)
    run = await engine_of(request).create(owner_of(request), thread_id, wanted.to_new())
    if wanted.stream:
        return await stream_of(request, run.id, 0, with_content=with_content)
    return ORJSONResponse(_shown(request, run))


async def create_with_thread(request: Request) -> Response:
    """Make a thread and run it."""
    wanted = parse_request(await request.body(), CreateThreadAndRun)
    if wanted.model is not None:
        await models_of(request).check(wanted.model)
    engine = engine_of(request)
    _, run = await engine.create_with_thread(owner_of(request), wanted.new_thread(), wanted.to_new())
    if wanted.stream:
        return await stream_of(request, run.id, 0, with_content=includes_content(request))
    return ORJSONResponse(_shown(request, run))


async def list_page(request: Request, thread_id: str) -> ORJSONResponse:
    """List a thread's runs."""
    query, owner = page_query(request), owner_of(request)
    async with database_of(request).read() as connection:
        await threads.get(connection, owner, thread_id)
        page = await runs.page(connection, owner, thread_id, query)
    return ORJSONResponse(page_json(page, [_shown(request, run) for run in page.items]))


async def get(request: Request, thread_id: str, run_id: str) -> ORJSONResponse:
    """Show a run, and say when to ask again."""
    run = await _find(request, thread_id, run_id)
    headers = {"openai-poll-after-ms": _POLL_MILLISECONDS} if run.status in ACTIVE else None
    return ORJSONResponse(_shown(request, run), headers=headers)


async def update(request: Request, thread_id: str, run_id: str) -> ORJSONResponse:
    """Replace a run's metadata."""
    changes = parse_request(await request.body(), UpdateMetadata, may_be_empty=True).changes()
    async with database_of(request).write() as connection:
        run = await runs.get(connection, owner_of(request), thread_id, run_id)
        if changes:
            await runs.update_if(connection, run_id, frozenset(RunStatus), changes)
    return ORJSONResponse(_shown(request, replace(run, **changes)))


async def cancel(request: Request, thread_id: str, run_id: str) -> ORJSONResponse:
    """Cancel a run."""
    run = await engine_of(request).cancel(owner_of(request), thread_id, run_id)
    return ORJSONResponse(_shown(request, run))


async def submit(request: Request, thread_id: str, run_id: str) -> Response:
    """Give a run the outputs that it waits for."""
    wanted = parse_request(await request.body(), SubmitToolOutputs)
    outputs = wanted.to_outputs()
    run, after = await engine_of(request).submit(owner_of(request), thread_id, run_id, outputs)
    if wanted.stream:
        return await stream_of(request, run.id, after, with_content=includes_content(request))
    return ORJSONResponse(_shown(request, run))


async def stream(request: Request, thread_id: str, run_id: str) -> Response:
    """Follow a run's events, from the first one or from where a client's connection broke."""
    after = last_event_number(request)
    run = await _find(request, thread_id, run_id)
    return await attach_to(request, run.id, after)


async def _find(request: Request, thread_id: str, run_id: str) -> Run:
    async with database_of(request).read() as connection:
        return await runs.get(connection, owner_of(request), thread_id, run_id)


def _shown(request: Request, run: Run) -> JsonObject:
    """Return a run as the API shows it; the older shape has a word of its own for one that is at work."""
    shown = run.to_json()
    if run.status is RunStatus.IN_PROGRESS and is_older_shape(request):
        shown["status"] = _OLDER_WORD
    return shown
