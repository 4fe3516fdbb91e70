"""One HTTP client per process; each request goes through the transport that is made for its address.

Plain `http://` goes through a transport of our own (decision 9), https, proxies and unusual addresses through
aiohttp. The client never follows environment proxies to loopback addresses, and every wait has a time-out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from servicekit.http.aiohttp_transport import AiohttpTransport
from servicekit.http.call import DEFAULT_TIMEOUTS, Target, Timeouts, Transport
from servicekit.http.direct.transport import DirectTransport
from servicekit.http.response import UpstreamResponse

__all__ = ["HttpClient", "Target", "Timeouts", "Transport", "UpstreamResponse"]

_NO_HEADERS: Mapping[str, str] = {}


class HttpClient:
    """The connection pools for the life of the process.

    Use `async with HttpClient() as client`, inside the event loop that it will serve.

    Args:
        max_response_bytes: Bodies read whole may not be larger.
        transport: Which transport is used, see `Transport`.
    """

    #: Below uvicorn's default of 5 s, so that a pooled connection is not closed under a request.
    _KEEP_ALIVE_SECONDS = 4.0

    def __init__(self, max_response_bytes: int = 64 * 1024 * 1024, *, transport: Transport = "auto") -> None:
        self._max_response_bytes = max_response_bytes
        self._transport = transport
        self._aiohttp: AiohttpTransport | None = None
        self._direct: DirectTransport | None = None

    async def __aenter__(self) -> HttpClient:
        self._aiohttp = AiohttpTransport(self._KEEP_ALIVE_SECONDS, self._max_response_bytes)
        if self._transport == "auto":
            self._direct = DirectTransport(self._KEEP_ALIVE_SECONDS, self._max_response_bytes)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._direct is not None:
            self._direct.close()
            self._direct = None
        if self._aiohttp is not None:
            await self._aiohttp.close()
            self._aiohttp = None

    def open(
        self,
        method: str,
        target: Target,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
    ) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Return the call as a block: entering sends the request and gives the answer once its headers came.

        Leaving the block frees the connection. Leaving before the body was read to its end closes the connection,
        which cancels the upstream's work.

        Args:
            method: "GET", "POST", ...
            target: Whom to call.
            body: Sent with its length; None sends none.
            headers: Of the request; framing is ours.
            timeouts: Bounds of the waits.

        Raises:
            UpstreamUnreachableError: Refused, unresolvable, or closed without an answer.
            UpstreamTimeoutError: No connection or no headers in time.
            UpstreamBadResponseError: What came is not HTTP.
            UpstreamError: The address is no URL, or a header is not allowed.
        """
        if self._direct is not None:
            route = self._direct.route_to(target.url)
            if route is not None:
                return self._direct.open(
                    route, method, target, body, headers or _NO_HEADERS, timeouts or DEFAULT_TIMEOUTS
                )
        if self._aiohttp is None:
            raise RuntimeError("HttpClient is used outside `async with`")
        return self._aiohttp.open(method, target, body, headers or _NO_HEADERS, timeouts or DEFAULT_TIMEOUTS)

    async def fetch(
        self,
        method: str,
        target: Target,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
    ) -> tuple[UpstreamResponse, bytes]:
        """Send a request and return the answer with its whole body; raises as `open` and `read` do."""
        async with self.open(method, target, body=body, headers=headers, timeouts=timeouts) as response:
            return response, await response.read()
