"""An answer as callers see it, whichever transport it came through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping

from servicekit.http.call import Target
from servicekit.http.failures import too_large

#: Takes a part of a body at the moment it arrives; False leaves it to whoever reads the body.
Sink = Callable[[bytes], bool]

#: How long the end of a finished body is waited for; after it the connection is closed instead of kept.
DRAIN_SECONDS = 0.05


class UpstreamResponse(ABC):
    """An answer whose status and headers came; the body is read once, whole or as a stream.

    Attributes:
        status: The HTTP status.
        headers: The headers, with lower-case names.
    """

    __slots__ = ("_limit_bytes", "_target", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], target: Target, limit_bytes: int) -> None:
        self.status = status
        self.headers = headers
        self._target = target
        self._limit_bytes = limit_bytes

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            UpstreamBadResponseError: The body is larger than the client's limit, or was cut.
            UpstreamTimeoutError: The first-byte, idle or total time-out ran out.
        """
        parts = []
        size_bytes = 0
        async for part in self.iter_bytes():
            size_bytes += len(part)
            if size_bytes > self._limit_bytes:
                raise too_large(self._target, self._limit_bytes)
            parts.append(part)
        return b"".join(parts)

    async def iter_bytes(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives, one item per read; raises as `next_part` does."""
        while part := await self.next_part():
            yield part

    @abstractmethod
    async def next_part(self) -> bytes:
        """Return what arrived of the body since the last time, waiting for it if need be; b"" at its end.

        Raises:
            UpstreamTimeoutError: The first-byte, idle or total time-out ran out.
            UpstreamBadResponseError: The body was cut.
        """

    def relay_to(self, sink: Sink) -> None:
        """Offer parts to a sink while a reader waits for one, so that it need not be woken for those that it takes.

        A part that the sink leaves, and the body's end, come to the reader as ever; so parts keep their order. A
        transport that cannot do this does nothing.

        Args:
            sink: Called on the event loop; must not block or raise.
        """
        del sink

    @abstractmethod
    async def drain(self) -> None:
        """Wait briefly for the end of a body that has nothing more to say, so that its connection is used again."""
