"""The connections to each origin: the one used last is used next, and none idles for long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohappyeyeballs import start_connection

from servicekit.http.direct.connection import Connection
from servicekit.http.direct.resolving import Resolver

#: How long one address is tried before the next one is tried beside it (RFC 8305, section 5).
_NEXT_ADDRESS_SECONDS = 0.25
#: How many connections to one origin are made at the same time. A server's queue of connections that it has not
#: accepted yet holds 100 in Python's default; what comes above is dropped, and tried again after 1, 3 and 7 s.
_MOST_HANDSHAKES = 64


class Origin:
    """One host and port, and the connections to it; made on the event loop that they live in.

    Args:
        host: A name or an IP address.
        port: The TCP port.
        keep_alive_seconds: How long a connection may idle.

    Attributes:
        loop: That event loop. Asking for the running one takes a system call, for each request.
    """

    __slots__ = (
        "_connecting_count",
        "_connections",
        "_handshakes",
        "_idle",
        "_is_closed",
        "_keep_alive_seconds",
        "_resolver",
        "_sweep",
        "loop",
    )

    def __init__(self, host: str, port: int, keep_alive_seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._resolver = Resolver(host, port)
        self._keep_alive_seconds = keep_alive_seconds
        self._connections: set[Connection] = set()
        self._connecting_count = 0
        self._handshakes = asyncio.Semaphore(_MOST_HANDSHAKES)
        self._is_closed = False
        #: The one that idles longest on the left.
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def is_unused(self) -> bool:
        """Whether no connection stands or is being made."""
        return not self._connections and not self._connecting_count

    def take_idle(self, now: float) -> Connection | None:
        """Return an idle connection that is still good, None if there is none.

        Args:
            now: On the loop's clock.
        """
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < self._keep_alive_seconds and connection.is_alive():
                return connection
            connection.close()
        return None

    def put_idle(self, connection: Connection) -> None:
        """Keep a connection for the next exchange."""
        loop = connection.loop
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._keep_alive_seconds, self._close_stale, loop)

    async def connect(self, begin: Callable[[Connection], None]) -> Connection:
        """Make a connection.

        Args:
            begin: Begins an exchange on it, whose request then is sent the moment that the connection stands.

        Raises:
            OSError: The name does not resolve, or no address of it answers.
        """
        self._connecting_count += 1
        try:
            connection = await self._new_connection(self.loop, begin)
        except OSError:
            self._resolver.forget()
            raise
        finally:
            self._connecting_count -= 1
        self._connections.add(connection)
        if self._is_closed:
            connection.close()
        return connection

    async def _new_connection(self, loop: asyncio.AbstractEventLoop, begin: Callable[[Connection], None]) -> Connection:
        def make() -> Connection:
            connection = Connection(self.forget, loop)
            begin(connection)
            return connection

        addresses = await self._resolver.addresses()
        async with self._handshakes:
            if len(addresses) == 1:
                # The loop's own way, half the time of a socket of ours: an IP address is not looked up again.
                host, port = addresses[0][4][:2]
                return (await loop.create_connection(make, host, port))[1]
            sock = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
            )
            try:
                return (await loop.create_connection(make, sock=sock))[1]
            except BaseException:
                sock.close()
                raise

    def forget(self, connection: Connection) -> None:
        """Drop a connection that was closed."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close every connection, those in use included."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._connections):
            connection.close()
        self._idle.clear()

    def _close_stale(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what idles for too long, and look again when the next one will."""
        self._sweep = None
        newest_stale = loop.time() - self._keep_alive_seconds
        while self._idle and self._idle[0].idle_since <= newest_stale:
            self._idle.popleft().close()
        if self._idle:
            wait_seconds = max(0.01, self._idle[0].idle_since - newest_stale)
            self._sweep = loop.call_later(wait_seconds, self._close_stale, loop)
