"""An HTTP answer that is a stream of server-sent events and never lies about how it ended.

No status is sent before the first event is there, so a failure until then has a status of its own. A failure
after it is one `data: {"error": ...}` event and the end of the stream, without `[DONE]`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from servicekit.asgi.connection import ClientConnection, client_connection
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.errors import ClientGoneError, as_service_error
from servicekit.asgi.exchange import unlayered_exchange
from servicekit.asgi.json_answer import encoded_headers
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.sse import encode_event


class EventSource(Protocol):
    """Encoded events, `[DONE]` included; an async generator of bytes is one."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""

    async def __anext__(self) -> bytes:
        """Return the next encoded event(s)."""

    #: May have `relay_to(sink)` besides: offers events to a sink at the moment they arrive, while `__anext__` waits.

    async def aclose(self) -> None:
        """Cancel whatever makes the events; safe to call at any time, and twice."""


#: A client that leaves a full buffer unread for longer is taken for gone.
_STALL_SECONDS = 60.0
#: What a slow client gets beyond its deadline, for the event that says so.
_GRACE_SECONDS = 1.0
#: After so many parts of one stream the others get their turn.
_BURST_PARTS = 16
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


async def open_event_stream(
    scope: Scope,
    receive: Receive,
    events: EventSource,
    headers: Mapping[str, str] | None = None,
    deadline: float | None = None,
    error_name: str = "",
) -> Response:
    """Wait for the first encoded event(s), then answer 200 with them and all that follow.

    Args:
        scope: The request's.
        receive: The request's; its body must have been read.
        events: Closed here whatever happens.
        headers: More headers of the answer, names in lower case; they replace a stream's usual ones.
        deadline: Monotonic clock, seconds: a client that reads no more is let go soon after.
        error_name: The name of the event that tells of a failure; the Assistants API calls it "error".

    Raises:
        ServiceError: The stream failed before its first event, or ended without any.
        ClientGoneError: The client left first.
    """
    try:
        first = await until_disconnect(scope, receive, _first(events))
    except BaseException:
        await events.aclose()
        raise
    return EventStreamResponse(first, events, headers, deadline, error_name)


async def _first(events: EventSource) -> bytes:
    try:
        return await anext(events)
    except StopAsyncIteration as exc:
        raise UpstreamBadResponseError("The stream ended before its first event.") from exc


class EventStreamResponse(Response):
    """The answer once the first event is there; made by `open_event_stream`."""

    def __init__(
        self,
        first: bytes,
        events: EventSource,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        error_name: str = "",
    ) -> None:
        self.status_code = 200
        self.background = None
        own = encoded_headers(headers)
        named = {name for name, _ in own}
        self.raw_headers = [*(field for field in _HEADERS if field[0] not in named), *own]
        self._first_events = first
        self._events = events
        self._deadline = deadline
        self._error_name = error_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; a client that leaves, or reads no more, cancels it.

        Raises:
            ClientGoneError: The client left or stopped reading; the events' generator has been closed.
        """
        try:
            await until_disconnect(scope, receive, self._send_all(scope, send))
        finally:
            await self._events.aclose()

    async def _send_all(self, scope: Scope, send: Send) -> None:
        connection, exchange = client_connection(scope), unlayered_exchange(scope, send)
        if not (connection and exchange and exchange.has_begun(connection, self.raw_headers, self._first_events)):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_part(connection, send, self._first_events)
        relay = getattr(self._events, "relay_to", None)
        if connection is not None and relay is not None:
            relay(connection.write_part)
        sent = 0
        try:
            async for encoded in self._events:
                await self._send_part(connection, send, encoded)
                sent += 1
                if sent % _BURST_PARTS == 0:  # neither side need have waited; the other streams must go on
                    await asyncio.sleep(0)
        except ClientGoneError:
            raise
        except Exception as exc:  # the outer border of the stream: the status is out  # noqa: BLE001
            await self._send_part(connection, send, error_event(as_service_error(exc), self._error_name))
        if not (connection and exchange and exchange.has_ended(connection)):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_part(self, connection: ClientConnection | None, send: Send, body: bytes) -> None:
        if connection is not None and connection.write_part(body):
            return
        message = {"type": "http.response.body", "body": body, "more_body": True}
        try:
            async with asyncio.timeout(self._stall_seconds()):
                await send(message)
        except TimeoutError as exc:
            raise ClientGoneError("the client stopped reading") from exc

    def _stall_seconds(self) -> float:
        """Return how long the client may leave a full buffer unread; not much beyond the request's deadline."""
        if self._deadline is None:
            return _STALL_SECONDS
        return min(_STALL_SECONDS, max(0.0, self._deadline - time.monotonic()) + _GRACE_SECONDS)


def error_event(error: ServiceError, name: str = "") -> bytes:
    """Encode the event that ends a stream that failed."""
    return encode_event(orjson.dumps(error.body()), name)
