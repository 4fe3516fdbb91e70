"""One request and its answer, seen once for all that every request needs: an id, a deadline, a count.

One layer instead of one for each: a layer costs every event of every stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.asgi.connection import ClientConnection
from servicekit.context import REQUEST_ID_HEADER, TIMEOUT_HEADER, CallContext, current_request_id
from servicekit.ids import request_id_from

if TYPE_CHECKING:
    from servicekit.asgi.metrics import HttpMetrics

_SCOPE_KEY = "megaservice.exchange"
_ID_HEADER = REQUEST_ID_HEADER.encode()
_TIMEOUT_HEADER = TIMEOUT_HEADER.encode()
#: A longer number of milliseconds is no time-out that anybody means; it counts as none.
_MAX_TIMEOUT_DIGITS = 12
#: The status that is counted where the client left before the answer's end.
_CLIENT_LEFT = 499


class Exchange:
    """What is known of one request while it is answered.

    Attributes:
        context: Its id and deadline.
        started: When it came, monotonic clock.
        status: The answer's status; 0 before its head was sent.
        is_complete: Whether the answer's last byte was sent.
    """

    __slots__ = ("_id_header", "_send", "context", "first_byte", "is_complete", "started", "status")

    def __init__(self, headers: Mapping[bytes, bytes], send: Send) -> None:
        self._send = send
        self.started = time.monotonic()
        self.first_byte: float | None = None
        self.status = 0
        self.is_complete = False
        self.context = CallContext(_request_id(headers), _deadline(headers, self.started))
        self._id_header = (_ID_HEADER, self.context.request_id.encode())

    async def send(self, message: Message) -> None:
        """Send an event of the answer; its head gets the request's id."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status, self.first_byte = message["status"], time.monotonic()
            message["headers"] = [*message["headers"], self._id_header]
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self.is_complete = True

    def has_begun(self, connection: ClientConnection, headers: Iterable[tuple[bytes, bytes]], first: bytes) -> bool:
        """Begin a streamed 200 past ASGI; return False if that cannot be, see `ClientConnection.begin_stream`."""
        if not connection.begin_stream((*headers, self._id_header), first):
            return False
        self.status, self.first_byte = 200, time.monotonic()
        return True

    def has_ended(self, connection: ClientConnection) -> bool:
        """End a streamed answer past ASGI; return False if that cannot be, see `ClientConnection.end_stream`."""
        self.is_complete = self.is_complete or connection.end_stream()
        return self.is_complete

    def has_written(self, connection: ClientConnection, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole 200 past ASGI; return False if that cannot be, see `ClientConnection.write_answer`."""
        if not connection.write_answer((*headers, self._id_header), body):
            return False
        self.status, self.first_byte, self.is_complete = 200, time.monotonic(), True
        return True


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that a request belongs to."""
    exchange: Exchange = scope[_SCOPE_KEY]
    return exchange


def unlayered_exchange(scope: Scope, send: Send) -> Exchange | None:
    """Return the exchange of a request, None if a layer between it and here, such as CORS, has a say in the answer."""
    exchange: Exchange | None = scope.get(_SCOPE_KEY)
    return exchange if exchange is not None and send == exchange.send else None


def call_context(scope: Scope) -> CallContext:
    """Return the id and deadline of a request."""
    return exchange_of(scope).context


class ExchangeMiddleware:
    """Makes the exchange of every request, and counts it when it is over."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope[_SCOPE_KEY] = Exchange(dict(scope["headers"]), send)
        token = current_request_id.set(exchange.context.request_id)
        self._metrics.begin(exchange.started)
        try:
            await self._app(scope, receive, exchange.send)
        finally:
            current_request_id.reset(token)
            self._count(scope, exchange)
            # The server's `send` holds the scope: a circle for each request would be the garbage collector's work.
            del scope[_SCOPE_KEY]

    def _count(self, scope: Scope, exchange: Exchange) -> None:
        now = time.monotonic()
        # Only known routes become labels: the paths that a scanner invents must not fill the memory.
        handler = getattr(scope.get("route"), "path", None) or "unknown"
        status = exchange.status if exchange.is_complete else _CLIENT_LEFT
        first_seconds = (exchange.first_byte or now) - exchange.started
        self._metrics.end(scope["method"], handler, status, now - exchange.started, first_seconds, now)


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    sent = headers.get(_ID_HEADER)
    return request_id_from(None if sent is None else sent.decode("latin-1"))


def _deadline(headers: Mapping[bytes, bytes], now: float) -> float | None:
    timeout_ms = headers.get(_TIMEOUT_HEADER, b"")
    is_usable = timeout_ms.isdigit() and len(timeout_ms) <= _MAX_TIMEOUT_DIGITS
    return now + int(timeout_ms) / 1000 if is_usable else None
