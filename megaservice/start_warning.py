"""The gateway starts whatever its nodes do; a while later its log says whom it could not reach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

_log = logging.getLogger(__name__)

#: What starts together with the gateway is ready by then.
_WAIT_SECONDS = 10.0


@asynccontextmanager
async def warning_of_absent_nodes(
    problems: Callable[[], Awaitable[Sequence[str]]], after_seconds: float = _WAIT_SECONDS
) -> AsyncIterator[None]:
    """Look once, in the background, which nodes are not ready.

    Args:
        problems: Returns one sentence for each.
        after_seconds: How long they have.
    """

    async def look() -> None:
        await asyncio.sleep(after_seconds)
        for problem in await problems():
            _log.warning("%s", problem)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
