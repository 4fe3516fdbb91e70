"""Accepts connections: all that wait at each turn of the event loop.

libuv, and so uvloop, accepts one connection a turn (https://github.com/libuv/libuv/pull/3696). With a thousand streams
a turn takes tens of milliseconds: new clients then wait for seconds, while those that are served notice nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: After so many connections the others get their turn.
_MOST_A_TURN = 128
#: How long nothing is accepted where the process has no file descriptors left.
_RETRY_SECONDS = 0.5


class Acceptor:
    """A listening socket that is served; what `asyncio.Server` is to uvicorn.

    Args:
        listener: Listens already; its owner closes it.
        make_protocol: Makes the protocol of each connection.
    """

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        """Accept no more; safe to call twice."""
        self._pause()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def wait_closed(self) -> None:
        """Wait for the connections that were accepted and have no transport yet."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _pause(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_MOST_A_TURN):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:  # no descriptors or no memory: the connection waits, and would wake us at once
                logger.warning("connections cannot be accepted (%s); trying again in %g s", exc, _RETRY_SECONDS)
                self._pause()
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._resume)
                return
            task = self._loop.create_task(self._open(accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, accepted)
        except OSError as exc:  # the client is gone already
            accepted.close()
            logger.info("a connection broke before it began: %s", exc)
