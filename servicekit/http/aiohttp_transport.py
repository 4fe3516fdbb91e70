"""Calls through aiohttp: https, proxies, and every address that the transport of our own leaves to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from io import BytesIO

import aiohttp

from servicekit.errors import ServiceError
from servicekit.http import failures
from servicekit.http.call import Target, Timeouts
from servicekit.http.header_check import check_headers
from servicekit.http.proxies import proxy_for
from servicekit.http.response import DRAIN_SECONDS, UpstreamResponse

#: aiohttp warns that sending more than this from bytes holds the event loop up.
_LARGE_BODY_BYTES = 1024 * 1024


class AiohttpResponse(UpstreamResponse):
    """An answer that aiohttp reads."""

    __slots__ = ("_has_begun", "_response", "_started", "_timeouts")

    def __init__(
        self, response: aiohttp.ClientResponse, target: Target, timeouts: Timeouts, started: float, limit_bytes: int
    ) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        super().__init__(response.status, headers, target, limit_bytes)
        self._response = response
        self._timeouts = timeouts
        self._started = started
        self._has_begun = False

    async def next_part(self) -> bytes:
        """Return what arrived since the last time, see the base class."""
        passed = time.monotonic() - self._started
        if self._has_begun:
            kind, seconds = "idle", self._timeouts.idle_seconds
        else:
            kind, seconds = "first-token", self._timeouts.first_byte_seconds - passed
        if self._timeouts.total_seconds - passed < seconds:
            kind, seconds = "total", self._timeouts.total_seconds - passed
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                part = await self._response.content.readany()
        except TimeoutError as exc:
            raise failures.timed_out(self._target, kind, self._timeouts) from exc
        except aiohttp.ClientError as exc:
            raise failures.cut(self._target) from exc
        self._has_begun = True
        return part

    async def drain(self) -> None:
        """Wait briefly for the end of the body, see the base class."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while await self._response.content.readany():
                    pass


class AiohttpTransport:
    """One pooled session, opened at its first use.

    Args:
        keep_alive_seconds: How long an idle connection is kept.
        limit_bytes: Bodies read whole may not be larger.
    """

    def __init__(self, keep_alive_seconds: float, limit_bytes: int) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._limit_bytes = limit_bytes
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self, method: str, target: Target, body: bytes | None, headers: Mapping[str, str], bounds: Timeouts
    ) -> AsyncIterator[UpstreamResponse]:
        """Send a request and yield its answer; see `HttpClient.open`."""
        started = time.monotonic()
        response = await self._request(method, target, body, headers, bounds)
        try:
            yield AiohttpResponse(response, target, bounds, started, self._limit_bytes)
        finally:
            response.close() if not response.content.at_eof() else response.release()

    async def _request(
        self, method: str, target: Target, body: bytes | None, headers: Mapping[str, str], bounds: Timeouts
    ) -> aiohttp.ClientResponse:
        check_headers(headers, target)
        try:
            async with asyncio.timeout(min(bounds.first_byte_seconds, bounds.total_seconds)):
                return await self._pool().request(
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

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive_seconds, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=256 * 1024,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session


def translate_error(exc: Exception, target: Target, bounds: Timeouts) -> ServiceError:
    """Turn what aiohttp raises before an answer came into one of our errors.

    Connect time-outs come from aiohttp; the wait for the answer's headers is ours.
    """
    if isinstance(exc, aiohttp.ConnectionTimeoutError | aiohttp.ServerTimeoutError):
        return failures.timed_out(target, "connect", bounds)
    if isinstance(exc, TimeoutError):
        return failures.timed_out_before_answer(target, bounds)
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return failures.closed_without_answer(target)
    if isinstance(exc, aiohttp.ClientConnectionError | OSError):
        return failures.unreachable(target, exc)
    # After the above: a certificate's error is a ValueError too.
    if isinstance(exc, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return failures.invalid_address(target)
    return failures.not_http(target, failures.reason_of(exc))


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Return what aiohttp sends without copying a large body in one go."""
    return BytesIO(body) if body is not None and len(body) > _LARGE_BODY_BYTES else body
