"""An HTTP answer that is a stream of server-sent events and never lies about how it ended.

No status is sent before the first event is there, so a failure until then has a status of its own. A failure
after it is one `data: {"error": ...}` event and the end of the stream, without `[DONE]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.errors import as_service_error
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.sse import encode_event


class EventSource(Protocol):
    """Encoded events, `[DONE]` included; an async generator of bytes is one."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""

    async def __anext__(self) -> bytes:
        """Return the next encoded event(s)."""

    async def aclose(self) -> None:
        """Cancel whatever makes the events; safe to call at any time, and twice."""


_MEDIA_TYPE = "text/event-stream; charset=utf-8"


async def open_event_stream(
    request: Request, events: EventSource, headers: Mapping[str, str] | None = None
) -> Response:
    """Wait for the first encoded event(s), then answer 200 with them and all that follow.

    Args:
        request: Its body must have been read.
        events: Closed here whatever happens.
        headers: More headers of the answer.

    Raises:
        ServiceError: The stream failed before its first event, or ended without any.
        ClientGoneError: The client left first.
    """
    try:
        first = await until_disconnect(request.receive, _first(events))
    except BaseException:
        await events.aclose()
        raise
    return EventStreamResponse(first, events, headers)


async def _first(events: EventSource) -> bytes:
    try:
        return await anext(events)
    except StopAsyncIteration as exc:
        raise UpstreamBadResponseError("The stream ended before its first event.") from exc


class EventStreamResponse(Response):
    """The answer once the first event is there; made by `open_event_stream`."""

    def __init__(self, first: bytes, events: EventSource, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"content-type": _MEDIA_TYPE, "cache-control": "no-cache", "x-accel-buffering": "no"})
        self.headers.update(headers or {})
        del self.headers["content-length"]
        self._first_events = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; a client that leaves cancels it.

        Raises:
            ClientGoneError: The client left; the events' generator has been closed.
        """
        try:
            await until_disconnect(receive, self._send_all(send))
        finally:
            await self._events.aclose()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send_part(send, self._first_events)
        try:
            async for encoded in self._events:
                await _send_part(send, encoded)
        except Exception as exc:  # the status is out: the error can only be an event  # noqa: BLE001
            await _send_part(send, error_event(as_service_error(exc)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
    # uvicorn's send returns at once while its buffer has room; a burst must not starve the other streams.
    await asyncio.sleep(0)


def error_event(error: ServiceError) -> bytes:
    """Encode the event that ends a stream that failed."""
    return encode_event(orjson.dumps(error.body()))
