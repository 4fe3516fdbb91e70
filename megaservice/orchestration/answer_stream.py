"""A streamed answer as Starlette's response: its failure is one error event, and whoever drops it ends the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from megaservice.orchestration.generator_thread import Rewrite, all_of, rewritten
from servicekit.asgi.errors import as_service_error
from servicekit.asgi.event_stream import error_event
from servicekit.errors import ServiceError
from servicekit.http.response import Sink
from servicekit.sse import DONE_EVENT

if TYPE_CHECKING:
    from megaservice.orchestration.chain_run import ChainRun
    from megaservice.orchestration.run import PipelineRun

MEDIA_TYPE = "text/event-stream"


class AnswerStream:
    """A streamed answer, the `body_iterator` of its response: encoded events, a failure is the last one, no `[DONE]`.

    Closing it ends the run, also when it was never read: a generator that has not started could not. So does
    dropping it, for callers that take one of several streams.

    Args:
        events: The answer's events.
        leave: Ends the run's part in it; safe to call twice.
        relay: Offers the events to a sink, where the run can.
        headers: The answer's, besides those of every stream.
        run: What it is made of, where its parts are to be told.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        leave: Callable[[], Awaitable[None]],
        relay: Callable[[Sink], None] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        run: PipelineRun | ChainRun | None = None,
    ) -> None:
        self.headers = headers
        self.run = run
        self._events = events
        self._relay = relay
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] | None = None
        self._is_over = False
        #: What ended it, if it failed.
        self.failure: ServiceError | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next event(s), encoded."""
        try:
            return await anext(self._events)
        except StopAsyncIteration:
            await self._leave()
            self._is_over = True  # not before: where that was cancelled, `aclose` does it
            raise
        except Exception as exc:  # the outer border of the answer  # noqa: BLE001
            await self.aclose()
            # The answer has begun: the error can only be an event, after which the generator has ended.
            self.failure = as_service_error(exc)
            return error_event(self.failure)
        except BaseException:
            await self.aclose()
            raise

    def relay_to(self, sink: Sink) -> None:
        """Offer events to a sink at the moment they arrive, while somebody waits for the next one."""
        if self._relay is not None:
            self._relay(sink)

    async def aclose(self) -> None:
        """Cancel what still runs."""
        if self._is_over:
            return
        # In a task of its own: Starlette cancels a client's task again and again, which would end the closing too.
        if self._closing is None:
            self._closing = _start_closing(self._events, self._leave)
        await asyncio.shield(self._closing)

    def __del__(self) -> None:
        if self._closing is None and not self._is_over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_start_closing, self._events, self._leave)


class AnswerResponse(StreamingResponse):
    """A `StreamingResponse` that closes its stream when the client has left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()


async def answer_events(
    events: AsyncGenerator[bytes], attachment: Callable[[], Awaitable[bytes | None]], rewrite: Rewrite | None
) -> AsyncGenerator[bytes]:
    """Yield an answer's events, as a hook rewrites them, then what is attached, then `[DONE]`.

    Args:
        events: Without `[DONE]`.
        attachment: Waits for what is attached; None if there is nothing.
        rewrite: The overridden `align_generator`; it sees `[DONE]`, and decides whether there is one.
    """
    async with aclosing(all_of(events, DONE_EVENT)) as source:
        is_done = False
        async with aclosing(source if rewrite is None else rewritten(source, rewrite)) as items:
            async for item in items:
                rest = item.removesuffix(DONE_EVENT)
                is_done = is_done or len(rest) < len(item)
                if rest:
                    yield rest
    last = await attachment()
    if last is not None:
        yield last
    if is_done:
        yield DONE_EVENT


async def plain_events(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """Yield events that are all there, then `[DONE]`."""
    for part in parts:
        yield part
    yield DONE_EVENT


#: Tasks that nobody else holds.
_CLOSING: set[asyncio.Future[None]] = set()


def _start_closing(events: AsyncGenerator[bytes], leave: Callable[[], Awaitable[None]]) -> asyncio.Future[None]:
    closing = asyncio.ensure_future(_close(events, leave))
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    return closing


async def _close(events: AsyncGenerator[bytes], leave: Callable[[], Awaitable[None]]) -> None:
    await events.aclose()
    await leave()
