"""Work that stops when its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from servicekit.asgi.errors import ClientGoneError

ResultType = TypeVar("ResultType")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, ResultType]) -> ResultType:
    """Await `work`, cancelling it when the client closes the connection first.

    Call it only after the request's body was read to its end.

    Raises:
        ClientGoneError: The client left; `work` has been cancelled and has ended.
    """
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
