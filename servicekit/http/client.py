"""One pooled HTTP client per process, and the one place where the library's errors become ours.

The client never follows environment proxies to loopback addresses, and every wait has a time-out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from servicekit.errors import (
    ServiceError,
    UpstreamBadResponseError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

#: aiohttp warns that sending more than this from bytes holds the event loop up.
_LARGE_BODY_BYTES = 1024 * 1024
#: How long the end of a finished body is waited for; after it the connection is closed instead of kept.
_DRAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of the four waits of a call, in seconds."""

    #: Until the connection stands.
    connect_seconds: float = 5.0
    #: From the request to the first byte of the answer's body (first token).
    first_byte_seconds: float = 120.0
    #: Between two reads of the body.
    idle_seconds: float = 60.0
    #: The whole call.
    total_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call goes to, in the words that an error message needs.

    Attributes:
        name: What users call it: "node 'llm'", "the upstream of model 'x'".
        url: The full URL, without credentials.
    """

    name: str
    url: str

    def __str__(self) -> str:
        return f"{self.name} at {self.url}"


class UpstreamResponse:
    """An answer whose status and headers came; the body is read once, whole or as a stream.

    Attributes:
        status: The HTTP status.
        headers: The headers, with lower-case names.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, target: Target, timeouts: Timeouts, started: float, limit: int
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._target = target
        self._timeouts = timeouts
        self._started = started
        self._limit = limit

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            UpstreamBadResponseError: The body is larger than the client's limit, or was cut.
            UpstreamTimeoutError: The idle or total time-out ran out.
        """
        parts = []
        size = 0
        async for part in self.iter_bytes():
            size += len(part)
            if size > self._limit:
                raise UpstreamBadResponseError(f"{self._target} answered more than {self._limit} bytes.")
            parts.append(part)
        return b"".join(parts)

    async def iter_bytes(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives, one item per read.

        Raises:
            UpstreamTimeoutError: The first-byte, idle or total time-out ran out.
            UpstreamBadResponseError: The body was cut.
        """
        content = self._response.content
        kind, seconds = "first-token", self._timeouts.first_byte_seconds - (time.monotonic() - self._started)
        while True:
            left = self._timeouts.total_seconds - (time.monotonic() - self._started)
            if left < seconds:
                kind, seconds = "total", left
            try:
                async with asyncio.timeout(max(0.0, seconds)):
                    chunk = await content.readany()
            except TimeoutError as exc:
                raise _timeout_error(self._target, kind, self._timeouts) from exc
            except aiohttp.ClientError as exc:
                raise UpstreamBadResponseError(
                    f"{self._target} closed the connection in the middle of its answer.",
                    retryable=True,
                ) from exc
            if not chunk:
                return
            yield chunk
            kind, seconds = "idle", self._timeouts.idle_seconds

    async def drain(self) -> None:
        """Wait briefly for the end of a body that has nothing more to say, so that its connection is used again."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._response.content.readany():
                    pass


class HttpClient:
    """A connection pool for the life of the process.

    Use `async with HttpClient() as client`, inside the event loop that it will serve.

    Args:
        max_response_bytes: Bodies read whole may not be larger.
    """

    #: Below uvicorn's default of 5 s, so that a pooled connection is not closed under a request.
    _KEEP_ALIVE_SECONDS = 4.0

    def __init__(self, max_response_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpClient:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=self._KEEP_ALIVE_SECONDS, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=256 * 1024,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        target: Target,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
    ) -> AsyncIterator[UpstreamResponse]:
        """Send a request and yield the answer once its headers came; leaving the block frees the connection.

        Leaving before the body was read to its end closes the connection, which cancels the upstream's work.

        Raises:
            UpstreamUnreachableError: Refused, unresolvable, or closed without an answer.
            UpstreamTimeoutError: No connection or no headers in time.
            UpstreamBadResponseError: What came is not HTTP.
        """
        if self._session is None:
            raise RuntimeError("HttpClient is used outside `async with`")
        bounds = timeouts or Timeouts()
        started = time.monotonic()
        response = await self._request(self._session, method, target, body, headers or {}, bounds)
        try:
            yield UpstreamResponse(response, target, bounds, started, self._max_response_bytes)
        finally:
            response.close() if not response.content.at_eof() else response.release()

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

    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        target: Target,
        body: bytes | None,
        headers: Mapping[str, str],
        bounds: Timeouts,
    ) -> aiohttp.ClientResponse:
        wait_seconds = min(bounds.first_byte_seconds, bounds.total_seconds)
        try:
            async with asyncio.timeout(wait_seconds):
                return await session.request(
                    method,
                    target.url,
                    data=_payload(body),
                    headers=headers,
                    proxy=proxy_for(target.url),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_seconds),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            raise translate_error(exc, target, bounds) from exc


def translate_error(exc: Exception, target: Target, bounds: Timeouts) -> ServiceError:
    """Turn what aiohttp raises before an answer came into one of our errors.

    Connect time-outs come from aiohttp; the wait for the answer's headers is ours.
    """
    if isinstance(exc, aiohttp.ConnectionTimeoutError | aiohttp.ServerTimeoutError):
        return _timeout_error(target, "connect", bounds)
    if isinstance(exc, TimeoutError):
        kind = "first-token" if bounds.first_byte_seconds <= bounds.total_seconds else "total"
        return _timeout_error(target, kind, bounds)
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return UpstreamUnreachableError(f"{target} closed the connection without an answer.")
    if isinstance(exc, aiohttp.ClientConnectionError | OSError):
        return UpstreamUnreachableError(
            f"{target} cannot be reached ({_reason(exc)}). Is it running, and is the address right?"
        )
    # After the above: a certificate's error is a ValueError too.
    if isinstance(exc, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return UpstreamError(f"{target}: the address is not a valid URL. Correct it in the configuration.")
    return UpstreamBadResponseError(f"{target} answered something that is not HTTP ({_reason(exc)}).")


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Return what aiohttp sends without copying a large body in one go."""
    return BytesIO(body) if body is not None and len(body) > _LARGE_BODY_BYTES else body


def _timeout_error(target: Target, kind: str, bounds: Timeouts) -> UpstreamTimeoutError:
    seconds = {
        "connect": bounds.connect_seconds,
        "first-token": bounds.first_byte_seconds,
        "idle": bounds.idle_seconds,
        "total": bounds.total_seconds,
    }[kind]
    return UpstreamTimeoutError(f"{target}: the {kind} time-out of {round(seconds, 3):g} s ran out.")


def _reason(exc: BaseException) -> str:
    os_error = getattr(exc, "os_error", exc)
    number = getattr(os_error, "errno", None)
    if isinstance(number, int) and number > 0:  # asyncio's own text only repeats the address
        return os.strerror(number).lower()
    return (getattr(os_error, "strerror", None) or str(exc) or type(exc).__name__).lower()


def proxy_for(url: str) -> str | None:
    """Return the environment's proxy for a URL; never one for loopback.

    The environment is read once per origin, since this runs for every request.
    """
    parts = urlsplit(url)
    return _proxy_for_origin(parts.scheme, parts.hostname or "")


@lru_cache(maxsize=1024)
def _proxy_for_origin(scheme: str, host: str) -> str | None:
    if _is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
