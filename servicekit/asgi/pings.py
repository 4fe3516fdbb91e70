"""Comments in a stream of events that is silent, so that nobody on the way takes its connection for dead.

https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

#: The specification's authors recommend about 15 seconds.
PING_SECONDS = 15.0
PING_EVENT = b": ping\n\n"


async def with_pings(events: AsyncGenerator[bytes], seconds: float = PING_SECONDS) -> AsyncGenerator[bytes]:
    """Yield events as they come, and a comment after each stretch of silence.

    Args:
        events: Encoded; closed here whatever happens.
        seconds: How long a silence may be.
    """
    coming: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            coming = asyncio.create_task(_next(events))
            while not (await asyncio.wait({coming}, timeout=seconds))[0]:
                yield PING_EVENT
            if (event := coming.result()) is None:
                return
            yield event
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await events.aclose()


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)
