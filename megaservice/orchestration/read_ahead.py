"""Reads a stream before anybody wants it, for nodes of which it is not known yet whether they are the answer.

A stream that is not read does not advance, and what decides among several answers may wait for what lies behind one
of them. So each is read into memory until one is chosen, and those that are not are read to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from megaservice.nodes.base import StreamPart


class ReadAhead:
    """Keeps the parts of one stream until they are asked for."""

    def __init__(self) -> None:
        # None says that there is nothing more.
        self._parts: asyncio.Queue[StreamPart | None] = asyncio.Queue()
        self._error: Exception | None = None

    async def fill(self, source: AsyncGenerator[StreamPart]) -> None:
        """Read a stream to its end; what it raises is raised to whoever reads the parts."""
        try:
            async with aclosing(source):
                async for part in source:
                    self._parts.put_nowait(part)
        except Exception as exc:  # noqa: BLE001 - passed on to the reader
            self._error = exc
        finally:
            self._parts.put_nowait(None)

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the parts, those that were read before first."""
        while (part := await self._parts.get()) is not None:
            yield part
        if self._error is not None:
            raise self._error
