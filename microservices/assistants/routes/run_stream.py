"""A run's events as server-sent events, each with its number as `id:`.

https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from fastapi import Request
from fastapi.responses import Response

from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.routes.asked import engine_of
from microservices.assistants.routes.step_content import without_content
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.pings import with_pings
from servicekit.sse import DONE, encode_event

#: Sent before anything else where the next event may be long in coming: headers go out with it.
_HELLO = b": attached\n\n"


async def stream_of(request: Request, run_id: str, after: int, *, with_content: bool) -> Response:
    """Answer with the events of a run above a number.

    A client that leaves ends its answer, not the run, which goes on and can be attached to again.

    Args:
        request: Its body was read.
        run_id: Of the owner who asks.
        after: The number of the last event that the client has.
        with_content: Whether the results of file_search come with their text.
    """
    events = _encoded(request, run_id, after, with_content=with_content)
    return await open_event_stream(request.scope, request.receive, with_pings(events), error_name="error")


async def attach_to(request: Request, run_id: str, after: int) -> Response:
    """Answer as `stream_of`, to a client that has come back."""
    events = _after_hello(_encoded(request, run_id, after, with_content=False))
    return await open_event_stream(request.scope, request.receive, with_pings(events), error_name="error")


async def _after_hello(events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        yield _HELLO
        async for event in events:
            yield event


async def _encoded(request: Request, run_id: str, after: int, *, with_content: bool) -> AsyncGenerator[bytes]:
    async with aclosing(engine_of(request).events(run_id, after)) as events:
        async for event in events:
            yield encode_run_event(event if with_content else _without_content(event))
    yield encode_event(DONE, "done")


def encode_run_event(event: RunEvent) -> bytes:
    """Write an event of a run."""
    return b"id: %d\n" % event.number + encode_event(event.data, event.event)


def _without_content(event: RunEvent) -> RunEvent:
    """Leave out the text of what file_search found; the data of all other events is not even decoded."""
    if not event.event.startswith("thread.run.step.") or b'"file_search"' not in event.data:
        return event
    return RunEvent(event.number, event.event, orjson.dumps(without_content(orjson.loads(event.data))))
