"""Work that stops when its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive, Scope

from servicekit.asgi.connection import ClientConnection, client_connection
from servicekit.asgi.errors import ClientGoneError

ResultType = TypeVar("ResultType")


def until_disconnect(
    scope: Scope, receive: Receive, work: Coroutine[Any, Any, ResultType]
) -> Coroutine[Any, Any, ResultType]:
    """Return what awaits `work`, and cancels it when the client closes the connection first.

    Call it only after the request's body was read to its end, and await it in the request's own task.

    Raises:
        ClientGoneError: The client left; `work` has been cancelled and has ended.
    """
    connection = client_connection(scope)
    if connection is None:
        return _watching(receive, work)
    return _told(connection, work)


async def _told(connection: ClientConnection, work: Coroutine[Any, Any, ResultType]) -> ResultType:
    """Await `work` in this task, which our server cancels when the client leaves."""
    if connection.is_gone:
        work.close()
        raise ClientGoneError
    task = connection.task
    assert task is not None  # this runs in it  # noqa: S101
    connection.when_gone(task.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if not _is_only_gone(connection, task):
            raise
        raise ClientGoneError from None
    finally:
        connection.when_gone(None)


def _is_only_gone(connection: ClientConnection, task: asyncio.Task[Any]) -> bool:
    """Whether the task was cancelled for its client alone, and not by a shutdown, too."""
    return connection.is_gone and task.uncancel() == 0


async def _watching(receive: Receive, work: Coroutine[Any, Any, ResultType]) -> ResultType:
    """Await `work` beside a task that waits for `http.disconnect`: for servers that tell no other way."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError
    finally:
        working.cancel()
        watching.cancel()
        # Both must have ended before this returns: a task without an owner could outlive the request.
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
