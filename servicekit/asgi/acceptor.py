"""Accepts connections: all that wait at each turn of the event loop.

libuv, and so uvloop, accepts one connection a turn. With a thousand streams a turn takes tens of milliseconds: new
clients then wait for seconds, while those that are served notice nothing. See docs/decisions/0019-accepting.md.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)

#: After so many connections the others get their turn.
_MOST_A_TURN = 128
#: How long nothing is accepted where the process has no file descriptors left.
_RETRY_SECONDS = 0.5

#: A task that makes an accepted socket a connection.
_Opening = asyncio.Task[tuple[asyncio.Transport, HttpToolsProtocol]]


class Acceptor:
    """A listening socket that is served; what `asyncio.Server` is to uvicorn.

    Args:
        listener: Listens already. Its owner closes it, after `close`: the event loop knows it by its number.
        make_protocol: Makes the protocol of each connection.
    """

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], HttpToolsProtocol]) -> None:
        listener.setblocking(False)
        # What is accepted inherits it. uvloop would set it itself, asyncio's loop only on sockets that name TCP.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[_Opening] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._resume()

    def close(self) -> None:
        """Accept no more; safe to call twice.

        What was accepted is opened still. It may be too late for uvicorn to tell it to end, so that is done here: a
        request that came with it is answered, and without one it is closed.
        """
        self._is_closed = True
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
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # this client left; others wait behind it
                continue
            except OSError as exc:  # no descriptors or no memory: the connection waits, and would wake us at once
                logger.warning("connections cannot be accepted (%s); trying again in %g s", exc, _RETRY_SECONDS)
                self._pause()
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._resume)
                return
            opening = self._loop.create_task(self._loop.connect_accepted_socket(self._make_protocol, accepted))
            self._opening.add(opening)
            opening.add_done_callback(partial(self._opened, accepted))

    def _opened(self, accepted: socket.socket, opening: _Opening) -> None:
        self._opening.discard(opening)
        if opening.cancelled():
            accepted.close()
        elif (exc := opening.exception()) is not None:
            accepted.close()
            # A client that is gone already is nothing to look into.
            logger.warning(
                "a connection broke before it began: %r", exc, exc_info=None if isinstance(exc, OSError) else exc
            )
        elif self._is_closed:
            _, protocol = opening.result()
            protocol.shutdown()
