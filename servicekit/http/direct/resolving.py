"""From a host to its socket addresses: looked up once at a time, remembered for a short while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from servicekit.http.direct.address import is_ip_address

#: How long the addresses of a name are used before it is looked up again.
_REMEMBERED_SECONDS = 60.0

#: As `getaddrinfo` returns it: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class Resolver:
    """Finds the addresses of one host and port.

    A literal IP address is not looked up: `getaddrinfo` runs in a pool of threads, which makes it wait behind others.

    Args:
        host: A name or an IP address.
        port: The TCP port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._found: Sequence[AddressInfo] = [_literal(host, port)] if is_ip_address(host) else []
        self._expires_at = float("inf") if self._found else 0.0
        self._lookup: asyncio.Task[Sequence[AddressInfo]] | None = None

    async def addresses(self) -> Sequence[AddressInfo]:
        """Return the addresses in the order in which they should be tried.

        All who ask at the same time wait for one look-up; one who stops waiting does not stop it.

        Raises:
            OSError: The name does not resolve.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._expires_at:
            return self._found
        if self._lookup is None:
            self._lookup = loop.create_task(self._look_up())
            self._lookup.add_done_callback(self._note)
        return await asyncio.shield(self._lookup)

    def forget(self) -> None:
        """Look a name up anew the next time: none of its addresses answered."""
        if self._expires_at != float("inf"):
            self._expires_at = 0.0

    async def _look_up(self) -> Sequence[AddressInfo]:
        loop = asyncio.get_running_loop()
        found: Sequence[AddressInfo] = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        if not found:
            raise OSError(f"no address for {self._host}")
        return found

    def _note(self, lookup: asyncio.Task[Sequence[AddressInfo]]) -> None:
        self._lookup = None
        if not lookup.cancelled() and lookup.exception() is None:
            self._found = lookup.result()
            self._expires_at = lookup.get_loop().time() + _REMEMBERED_SECONDS


def _literal(host: str, port: int) -> AddressInfo:
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
