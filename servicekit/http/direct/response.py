"""An answer that comes over a connection of our own."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator

from servicekit.errors import ServiceError
from servicekit.http import failures
from servicekit.http.call import Target, Timeouts
from servicekit.http.direct.connection import Connection
from servicekit.http.direct.decoding import Decoder, DecodingError, decoder_for
from servicekit.http.response import DRAIN_SECONDS, Sink, UpstreamResponse


class DirectResponse(UpstreamResponse):
    """An answer whose body is still on its way.

    Args:
        connection: With status and headers there.
        target: Whom errors name.
        timeouts: Bounds of the call.
        started: When the call began, on the loop's clock.
        limit_bytes: Bodies read whole may not be larger.
    """

    __slots__ = ("_connection", "_decoder", "_has_begun", "_loop", "_pieces", "_started", "_timeouts")

    def __init__(
        self, connection: Connection, target: Target, timeouts: Timeouts, started: float, limit_bytes: int
    ) -> None:
        super().__init__(connection.status, connection.headers, target, limit_bytes)
        #: None once the block was left: the connection may carry another exchange then.
        self._connection: Connection | None = connection
        self._loop = connection.loop
        self._timeouts = timeouts
        self._started = started
        self._has_begun = False
        #: Of a compressed body: what unpacks it, and what is left of the last part.
        self._decoder: Decoder | None = None
        self._pieces: Iterator[bytes] = iter(())

    def detach(self) -> None:
        """Read no more: the block was left."""
        self._connection = None

    async def read(self) -> bytes:
        """Return the whole body, see the base class; one that is there already is not waited for."""
        connection = self._connection
        if connection is None or not connection.is_complete or "content-encoding" in self.headers:
            return await super().read()
        body = connection.take()
        if len(body) > self._limit_bytes:
            raise failures.too_large(self._target, self._limit_bytes)
        return body

    def next_part(self) -> Coroutine[None, None, bytes]:
        """Return all that arrived since the last time, see the base class; of a compressed body a piece."""
        coding = self.headers.get("content-encoding")
        return self._next() if coding is None else self._next_piece(coding)

    def relay_to(self, sink: Sink) -> None:
        """Offer parts to a sink, see the base class; what it takes puts the idle time-out off, as a read does."""
        connection = self._connection
        if connection is None or "content-encoding" in self.headers:
            return
        connection.relay = sink
        connection.relay_idle_seconds = self._timeouts.idle_seconds
        connection.relay_until = self._started + self._timeouts.total_seconds

    async def drain(self) -> None:
        """Wait briefly for the end of the body, see the base class."""
        connection = self._connection
        deadline = self._loop.time() + DRAIN_SECONDS
        while connection is not None and not _is_over(connection):
            if connection.has_body:
                connection.take()
            try:
                await connection.arrival(deadline)
            except TimeoutError:
                return

    async def _next(self) -> bytes:
        connection = self._connection
        if connection is None:
            raise failures.cut(self._target)
        if not connection.has_body:
            await self._wait_for_body(connection)
        self._has_begun = True
        return connection.take()

    async def _next_piece(self, coding: str) -> bytes:
        try:
            if not self._has_begun:
                self._decoder = decoder_for(coding)
            while (piece := next(self._pieces, None)) is None:
                data = await self._next()
                if not data:
                    self._check_end()
                    return b""
                self._pieces = self._decoder.pieces(data) if self._decoder else iter((data,))
        except DecodingError as exc:
            raise failures.not_http(self._target, str(exc)) from exc
        return piece

    async def _wait_for_body(self, connection: Connection) -> None:
        kind, deadline = self._bound()
        while not (connection.has_body or connection.is_complete):
            if connection.garbage is not None or connection.is_closed:
                raise self._failure(connection)
            try:
                await connection.arrival(deadline)
            except TimeoutError as exc:
                raise failures.timed_out(self._target, kind, self._timeouts) from exc

    def _bound(self) -> tuple[str, float]:
        """Return which time-out ends a wait that begins now, and when, on the loop's clock."""
        timeouts = self._timeouts
        total = self._started + timeouts.total_seconds
        if self._has_begun:
            kind, deadline = "idle", self._loop.time() + timeouts.idle_seconds
        else:
            kind, deadline = "first-token", self._started + timeouts.first_byte_seconds
        return (kind, deadline) if deadline <= total else ("total", total)

    def _failure(self, connection: Connection) -> ServiceError:
        if connection.garbage is not None:
            return failures.not_http(self._target, connection.garbage)
        return failures.cut(self._target)

    def _check_end(self) -> None:
        if self._decoder is not None and self._decoder.is_cut:
            raise failures.cut(self._target)


def _is_over(connection: Connection) -> bool:
    return connection.is_complete or connection.is_closed or connection.garbage is not None
