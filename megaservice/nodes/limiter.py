"""How many requests a node works on at the same time, and how many may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from megaservice.pipeline.spec import ConcurrencySpec
from servicekit.context import CallContext
from servicekit.errors import OverloadedError


class Limiter:
    """Gives places at one node.

    Args:
        name: The node's, for messages.
        spec: How many places there are, and how long the queue is.
    """

    def __init__(self, name: str, spec: ConcurrencySpec) -> None:
        self._name = name
        self._spec = spec
        self._places = asyncio.Semaphore(spec.limit) if spec.limit is not None else None
        self._waiting = 0

    @property
    def is_unlimited(self) -> bool:
        """Whether everybody gets a place at once."""
        return self._places is None

    @asynccontextmanager
    async def place(self, context: CallContext) -> AsyncIterator[None]:
        """Wait for a place and hold it; raises as `acquire` does."""
        await self.acquire(context)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, context: CallContext) -> None:
        """Wait for a place, until `release`.

        Raises:
            OverloadedError: The queue is full, or no place came free in time.
        """
        if self._places is not None:
            await self._acquire(self._places, context)

    def release(self) -> None:
        """Give the place back."""
        if self._places is not None:
            self._places.release()

    async def _acquire(self, places: asyncio.Semaphore, context: CallContext) -> None:
        if places.locked() and self._waiting >= self._spec.queue:
            raise self._overloaded(f"{self._waiting} requests wait for it already")
        remaining = context.remaining_seconds()
        seconds = self._spec.queue_seconds if remaining is None else min(self._spec.queue_seconds, remaining)
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await places.acquire()
        except TimeoutError as exc:
            raise self._overloaded(f"no place came free in {seconds:g} s") from exc
        finally:
            self._waiting -= 1

    def _overloaded(self, what: str) -> OverloadedError:
        return OverloadedError(
            f"node '{self._name}' works on {self._spec.limit} requests at the same time, and {what}. Try again later.",
            retry_after_seconds=1,
        )
