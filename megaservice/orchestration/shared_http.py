"""The connection pool of orchestrators that are made by hand: one for the event loop, made at first use.

It is closed when the last orchestrator that uses it is closed, or by the loop itself: `asyncio.run` and uvicorn close
asynchronous generators at their end, and the pool is held by one. So a megaservice that closes nothing leaves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from weakref import WeakSet

from servicekit.http.client import HttpClient

#: By loop; each removes itself when it is closed.
_POOLS: dict[asyncio.AbstractEventLoop, SharedPool] = {}


class SharedPool:
    """The pool of one event loop, and who uses it."""

    def __init__(self) -> None:
        self.client = HttpClient()
        self.owners: WeakSet[object] = WeakSet()
        self.life = self._live()

    async def _live(self) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        try:
            async with self.client:
                yield
        finally:
            _POOLS.pop(loop, None)


async def shared_client(owner: object) -> HttpClient:
    """Return the running loop's client; `owner` uses it until it releases it."""
    loop = asyncio.get_running_loop()
    pool = _POOLS.get(loop)
    if pool is None:
        pool = _POOLS[loop] = SharedPool()
        await anext(pool.life)
    pool.owners.add(owner)
    return pool.client


async def release_client(owner: object) -> None:
    """Note that an owner needs the client no more; the last one closes it."""
    pool = _POOLS.get(asyncio.get_running_loop())
    if pool is None or owner not in pool.owners:
        return
    pool.owners.discard(owner)
    if not pool.owners:
        await pool.life.aclose()
