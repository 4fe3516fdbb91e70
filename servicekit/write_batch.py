"""Writes that wait for the end of the event loop's turn, so that they go out one right after the other.

Between two writes of a busy loop lies the work of a whole request. By then a peer on another core has answered the
first one and sleeps again, and each write pays for waking it. Together they wake it once: under load this is most of
what the system takes. A request that is alone has nothing to go out with, and its writes do not wait.
"""

from __future__ import annotations

import asyncio

from servicekit.http.direct.pacing import read_pacer
from servicekit.per_loop import PerLoop

#: From so many requests at the same time on there is something to go out with.
_SEVERAL = 2


class WriteBatch:
    """The writes of one event loop's turn.

    Args:
        loop: Whose turns.

    Attributes:
        requests: How many requests are being answered on this loop, if its server counts them; else writes always wait.
    """

    __slots__ = ("_loop", "_pacer", "_waiting", "requests")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pacer = read_pacer(loop)
        self.requests: int | None = None
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write to a transport, at the end of this turn where others may, too; one transport's order stays."""
        waiting = self._waiting
        if not waiting:
            if self.requests is not None and self.requests < _SEVERAL:
                if not transport.is_closing():
                    transport.write(data)
                return
            self._loop.call_soon(self.flush)
        elif waiting[-1][0] is transport:  # an answer's head and its body
            data = waiting.pop()[1] + data
        waiting.append((transport, data))

    def write_first(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write what begins a request or an answer: at once where streams make turns long, behind all that waits."""
        if not self._pacer.is_active:
            self.write(transport, data)
            return
        self.flush()
        if not transport.is_closing():
            transport.write(data)

    def flush(self) -> None:
        """Write what waits; what is for a transport that closes meanwhile is dropped, as its own writes are."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if transport.is_closing():
                continue
            try:
                transport.write(data)
            except RuntimeError:  # uvloop's for a handle that was closed under it; the others' writes must go out
                continue


#: The batch of an event loop.
write_batch = PerLoop(WriteBatch)
