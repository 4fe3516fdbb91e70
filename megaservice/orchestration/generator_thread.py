"""Runs a user's `align_generator`, which is synchronous, over an asynchronous stream: in a thread, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import aclosing
from threading import Thread
from typing import Any

from anyio import CancelScope

#: Takes an iterator of encoded events, gives text or bytes for the client.
Rewrite = Callable[[Iterator[bytes]], Iterable[str | bytes]]

#: How many items the thread may be ahead of the client.
_BOUND = 16


class _ReaderLeftError(BaseException):
    """Ends the thread; no `Exception`, so that a hook that catches everything does not keep it."""


async def rewritten(events: AsyncGenerator[bytes], rewrite: Rewrite) -> AsyncGenerator[bytes]:
    """Yield what a hook makes of a stream; closing this generator ends the thread at its next event.

    Args:
        events: One SSE event per item; read to its end, also where the hook stops early. Not closed here.
        rewrite: The hook.

    Raises:
        Exception: The stream's own failure, whatever the hook did about it; else what the hook raised.
    """
    worker = _Worker(events, rewrite)
    worker.thread.start()
    try:
        while (item := await worker.items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        with CancelScope(shield=True):  # Starlette cancels a client's task again and again
            await worker.leave()


class _Worker:
    """One thread, and the event loop that it works for."""

    def __init__(self, events: AsyncGenerator[bytes], rewrite: Rewrite) -> None:
        self.items: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(_BOUND)
        self.thread = Thread(target=self._work, name="align_generator", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._source = events
        self._rewrite = rewrite
        self._failure: Exception | None = None
        self._task: asyncio.Task[Any] | None = None
        self._left = False

    async def leave(self) -> None:
        """Let the thread end, and wait until it uses the stream no more."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _work(self) -> None:
        try:
            self._put(self._rewrite_all())
        except _ReaderLeftError:
            return

    def _rewrite_all(self) -> Exception | None:
        """Give the client all that the hook makes; return how the stream failed."""
        try:
            for item in self._rewrite(self._events()):
                if self._failure is not None:
                    break
                self._put(item.encode() if isinstance(item, str) else item)
            for _event in self._events():  # the hook stopped early: nodes behind the stream want its end
                pass
        except Exception as exc:  # a user's hook may raise anything; it is raised where the stream is read  # noqa: BLE001
            return self._failure or exc
        return self._failure

    def _events(self) -> Iterator[bytes]:
        """Yield the stream's events, in the thread; its failure is kept, in case the hook swallows it."""
        while self._failure is None:
            try:
                event = self._on_loop(lambda: anext(self._source, None))
            except Exception as exc:
                self._failure = exc
                raise
            if event is None:
                return
            yield event

    def _put(self, item: bytes | Exception | None) -> None:
        self._on_loop(lambda: self.items.put(item))

    def _on_loop(self, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever is awaited
        """Await something on the event loop, from the thread."""
        coroutine = self._awaited(work)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except CancelledError as exc:
            raise _ReaderLeftError from exc
        except RuntimeError as exc:
            if not self._loop.is_closed():
                raise
            coroutine.close()
            raise _ReaderLeftError from exc

    async def _awaited(self, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - see above
        if self._left:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await work()
        finally:
            self._task = None


async def all_of(events: AsyncGenerator[bytes], last: bytes) -> AsyncGenerator[bytes]:
    """Yield a stream's events and then one more."""
    async with aclosing(events):
        async for event in events:
            yield event
    yield last
