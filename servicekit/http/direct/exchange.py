"""One request and its answer, as the block that callers write `async with` around."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from servicekit.errors import UpstreamUnreachableError
from servicekit.http import failures
from servicekit.http.call import Target, Timeouts
from servicekit.http.direct.address import Address
from servicekit.http.direct.connection import Connection
from servicekit.http.direct.pool import Origin
from servicekit.http.direct.request import RequestWriter
from servicekit.http.direct.response import DirectResponse
from servicekit.http.response import UpstreamResponse

#: RFC 9110, section 9.2.2: sending these twice does what sending them once does.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class Route:
    """Where the requests for one URL go: made once, used for each.

    Args:
        address: The URL's parts.
        origin: The connections to its host and port.
    """

    __slots__ = ("origin", "writer")

    def __init__(self, address: Address, origin: Origin) -> None:
        self.origin = origin
        self.writer = RequestWriter(address)


class Exchange(AbstractAsyncContextManager[UpstreamResponse]):
    """Sends a request when it is entered and frees the connection when it is left.

    Args:
        route: Where it goes.
        method: "GET", "POST", ...
        target: Whom errors name.
        body: The request's.
        headers: The request's.
        timeouts: Bounds of the waits.
        limit_bytes: Bodies read whole may not be larger.
    """

    __slots__ = (
        "_body", "_connection", "_headers", "_limit_bytes", "_method", "_response", "_route", "_target", "_timeouts",
    )  # fmt: skip

    def __init__(
        self,
        route: Route,
        method: str,
        target: Target,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        limit_bytes: int,
    ) -> None:
        self._route = route
        self._method = method
        self._target = target
        self._body = body
        self._headers = headers
        self._timeouts = timeouts
        self._limit_bytes = limit_bytes
        self._connection: Connection | None = None
        self._response: DirectResponse | None = None

    async def __aenter__(self) -> DirectResponse:
        head, closes = self._route.writer.head(self._method, self._headers, self._body, self._target)

        def begin(connection: Connection) -> None:
            connection.begin(self._method, head, self._body, closes=closes)

        started = self._route.origin.loop.time()
        deadline = started + min(self._timeouts.first_byte_seconds, self._timeouts.total_seconds)
        used = self._route.origin.take_idle(started)
        if used is None:
            connection = await self._connect(begin, started, deadline)
        else:
            begin(connection := used)
        try:
            await self._answered(connection, deadline)
        except UpstreamUnreachableError:
            # The peer may close a connection that idled while the request is under way. A request that does the same
            # twice as once is sent again over a new one; of any other nobody knows whether it was carried out.
            if used is None or connection.has_answered or self._method not in _IDEMPOTENT:
                raise
            connection = await self._connect(begin, started, deadline)
            await self._answered(connection, deadline)
        self._connection = connection
        self._response = DirectResponse(connection, self._target, self._timeouts, started, self._limit_bytes)
        return self._response

    async def __aexit__(self, *exc_info: object) -> None:
        if self._response is not None:
            self._response.detach()
        connection, self._connection = self._connection, None
        if connection is not None and connection.finish():
            self._route.origin.put_idle(connection)

    async def _connect(self, begin: Callable[[Connection], None], started: float, deadline: float) -> Connection:
        connect_by = started + self._timeouts.connect_seconds
        try:
            async with asyncio.timeout_at(min(connect_by, deadline)):
                return await self._route.origin.connect(begin)
        except TimeoutError as exc:
            if connect_by <= deadline:
                raise failures.timed_out(self._target, "connect", self._timeouts) from exc
            raise failures.timed_out_before_answer(self._target, self._timeouts) from exc
        except OSError as exc:
            raise failures.unreachable(self._target, exc) from exc

    async def _answered(self, connection: Connection, deadline: float) -> None:
        """Wait for the answer's head; the connection is closed if none comes."""
        try:
            while not connection.has_head:
                self._check(connection)
                await connection.arrival(deadline)
        except TimeoutError as exc:
            connection.close()
            raise failures.timed_out_before_answer(self._target, self._timeouts) from exc
        except BaseException:
            connection.close()
            raise

    def _check(self, connection: Connection) -> None:
        """Raise unless an answer can still come."""
        if connection.garbage is not None:
            raise failures.not_http(self._target, connection.garbage)
        if not connection.is_closed:
            return
        if connection.error is not None:
            raise failures.unreachable(self._target, connection.error)
        raise failures.closed_without_answer(self._target)
