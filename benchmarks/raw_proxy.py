"""A proxy of bare `asyncio.Protocol` on uvloop: what Python can do where nothing but bytes is looked at.

It knows just enough HTTP to keep a pool: where a request ends, and where an answer with a length or in chunks ends.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from typing import cast

import uvloop

_BACKLOG = 4096
_LAST_CHUNK = b"0\r\n\r\n"


class _Upstream(asyncio.Protocol):
    """A pooled connection to the upstream; hands each answer's bytes to the client that it works for."""

    def __init__(self, pool: list[_Upstream]) -> None:
        self._pool = pool
        self._client: _Client | None = None
        self._left: int | None = None
        self._head = b""
        self._tail = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, client: _Client, request: bytes) -> None:
        self._client, self._left, self._head, self._tail = client, None, b"", b""
        if self.transport is not None:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        client.write(data)
        if self._is_complete(data):
            self._client = None
            self._pool.append(self)
            client.upstream = None

    def _is_complete(self, data: bytes) -> bool:
        if not self._head.endswith(b"\r\n\r\n"):
            head, separator, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = head + separator
            if not separator:
                return False
            self._left = _content_length(head)
        if self._left is not None:
            self._left -= len(data)
            return self._left <= 0
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        return self._tail == _LAST_CHUNK

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self in self._pool:
            self._pool.remove(self)
        if self._client is not None:
            self._client.close()


class _Client(asyncio.Protocol):
    """A client's connection; each whole request goes to an upstream connection that is free, or to a new one."""

    def __init__(self, pool: list[_Upstream], port: int) -> None:
        self._pool = pool
        self._port = port
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.upstream: _Upstream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, separator, body = self._request.partition(b"\r\n\r\n")
        if not separator or len(body) < (_content_length(head) or 0):
            return
        request, self._request = self._request, b""
        if self._pool:
            self.upstream = self._pool.pop()
            self.upstream.ask(self, request)
        else:
            self._connecting = asyncio.ensure_future(self._connect(request))

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _transport, upstream = await loop.create_connection(lambda: _Upstream(self._pool), "127.0.0.1", self._port)
        self.upstream = upstream
        upstream.ask(self, request)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.close()


def _content_length(head: bytes) -> int | None:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else None


async def _serve(port: int, upstream_port: int) -> None:
    pool: list[_Upstream] = []
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(pool, upstream_port), sock=listener, backlog=_BACKLOG)
    await server.serve_forever()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(arguments.port, arguments.upstream_port))


if __name__ == "__main__":
    main()
