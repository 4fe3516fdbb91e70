"""One node's stream and its readers: each reads at its own pace within a bound, so the slowest slows the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from megaservice.nodes.base import StreamPart

#: How many parts (reads of the upstream) a reader may be behind; more would only cost memory.
_BOUND = 16


class Feed:
    """Gives the parts of one stream to a known number of readers.

    A single reader drives the source itself: no task, no queue. Several are served by one task that reads the source.

    Args:
        parts: The source; it ends where it fails, and whoever made it knows why. Closed with the feed.
        reader_count: How many readers there will be.
        bound: How many parts a reader may be behind.
    """

    def __init__(self, parts: AsyncGenerator[StreamPart], reader_count: int, bound: int = _BOUND) -> None:
        self._parts = parts
        self._branches = [_Branch(bound) for _ in range(reader_count)] if reader_count > 1 else []
        self._unread = list(self._branches)
        self._pumping: asyncio.Task[None] | None = None

    def reader(self) -> AsyncGenerator[StreamPart]:
        """Return one of the readers; each can be had once, and must be read or closed."""
        if not self._branches:
            return self._parts
        return self._read(self._unread.pop(0))

    async def close(self) -> None:
        """Stop the source; safe to call twice."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, return_exceptions=True)
        await self._parts.aclose()

    async def _read(self, branch: _Branch) -> AsyncGenerator[StreamPart]:
        if self._pumping is None:
            self._pumping = asyncio.create_task(self._pump())
        try:
            while (part := await branch.take()) is not None:
                yield part
        finally:
            branch.leave()
            if all(other.has_left for other in self._branches):
                self._pumping.cancel()  # nobody reads it any more
        if self._pumping.done() and not self._pumping.cancelled():
            self._pumping.result()  # whatever the source raised, all its readers do

    async def _pump(self) -> None:
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    for branch in self._branches:
                        await branch.put(part)
        finally:
            for branch in self._branches:
                branch.end()


class _Branch:
    """What one reader has not read yet."""

    def __init__(self, bound: int) -> None:
        # None wakes a reader that waits when the source has ended.
        self._queue: asyncio.Queue[StreamPart | None] = asyncio.Queue(bound)
        self.has_left = False
        self._ended = False

    async def put(self, part: StreamPart) -> None:
        if not self.has_left:
            await self._queue.put(part)

    def end(self) -> None:
        """Say that nothing comes any more; never waits, so that it works in any `finally`."""
        self._ended = True
        if self._queue.empty():
            self._queue.put_nowait(None)

    async def take(self) -> StreamPart | None:
        """Return the next part, None at the end."""
        if self._ended and self._queue.empty():
            return None
        return await self._queue.get()

    def leave(self) -> None:
        """Take no more, and let go whoever waits to put something."""
        self.has_left = True
        while not self._queue.empty():
            self._queue.get_nowait()
