"""Idle connections, look-ups and handshakes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from servicekit.http.call import Target, Timeouts
from servicekit.http.direct import pool
from servicekit.http.direct.exchange import Exchange
from servicekit.http.direct.pool import Origin
from servicekit.http.direct.resolving import Resolver
from servicekit.http.direct.transport import DirectTransport
from tests.conftest import UpstreamFactory
from tests.support import scripts

NODE = "node 'llm'"


def _call(transport: DirectTransport, url: str) -> Exchange:
    route = transport.route_to(url)
    assert route is not None
    return transport.open(route, "GET", Target(NODE, url), None, {}, Timeouts())


async def test_idle_connection_is_closed_when_its_time_is_over(scripted_upstream: UpstreamFactory) -> None:
    """Servers close idle connections too; ours must be the first."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    transport = DirectTransport(0.05, 1000)
    for _ in range(2):
        async with _call(transport, upstream.url) as response:
            await response.read()
        origin = transport._origins["127.0.0.1", upstream.port]
        assert not origin.is_unused
        async with asyncio.timeout(5):
            while not origin.is_unused:  # noqa: ASYNC110 - the pool tells nobody
                await asyncio.sleep(0.005)
    transport.close()
    assert upstream.connection_count == 2


async def test_connection_used_last_is_used_next(scripted_upstream: UpstreamFactory) -> None:
    """So that those above the need are the ones that idle out."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    transport = DirectTransport(4.0, 1000)
    async with _call(transport, upstream.url), _call(transport, upstream.url) as inner:
        await inner.read()
    now = asyncio.get_running_loop().time()
    origin = transport._origins["127.0.0.1", upstream.port]
    first, second = origin.take_idle(now), origin.take_idle(now)
    assert first is not None
    assert second is not None
    assert first.idle_since >= second.idle_since
    assert origin.take_idle(now) is None
    transport.close()


async def test_connections_send_small_packets_at_once(scripted_upstream: UpstreamFactory) -> None:
    """Nagle's algorithm would hold requests back (TCP_NODELAY)."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    origin = Origin("127.0.0.1", upstream.port, 4.0)
    connection = await origin.connect(lambda _connection: None)
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    origin.close()


async def test_handshakes_at_the_same_time_are_limited(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst must not overflow the queue of a server that accepts slowly."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    under_way = most = 0

    async def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - the loop's own signature
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await connect(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(loop, "create_connection", counted)
    origin = Origin("127.0.0.1", upstream.port, 4.0)
    await asyncio.gather(*[origin.connect(lambda _connection: None) for _ in range(100)])
    origin.close()
    assert most == pool._MOST_HANDSHAKES


async def test_connection_made_after_the_close_is_closed(scripted_upstream: UpstreamFactory) -> None:
    """Nothing outlives its pool."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    origin = Origin("127.0.0.1", upstream.port, 4.0)
    making = asyncio.create_task(origin.connect(lambda _connection: None))
    await asyncio.sleep(0)
    origin.close()
    assert (await making).is_closed


async def test_origins_of_many_urls_are_forgotten(scripted_upstream: UpstreamFactory) -> None:
    """Ids in paths and ports that change fill no memory; origins in use stay."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    transport = DirectTransport(4.0, 1000)
    async with _call(transport, upstream.url) as response:
        await response.read()
    for number in range(1, 3000):
        transport.route_to(f"http://127.0.0.1:{number}/{number}")
    assert len(transport._routes) <= 1024
    assert len(transport._origins) <= 1025
    assert ("127.0.0.1", upstream.port) in transport._origins
    transport.close()


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the hosts that are looked up from here on; each look-up takes a moment and finds 127.0.0.1."""
    asked: list[str] = []

    async def getaddrinfo(
        _loop: asyncio.AbstractEventLoop, host: str, port: int, **_options: object
    ) -> Sequence[tuple[object, ...]]:
        asked.append(host)
        await asyncio.sleep(0.01)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


async def test_name_is_looked_up_once_for_all_who_ask(lookups: list[str]) -> None:
    """One who stops waiting does not stop the look-up of the others."""
    resolver = Resolver("llm.example", 80)
    impatient = asyncio.create_task(resolver.addresses())
    others = [asyncio.create_task(resolver.addresses()) for _ in range(10)]
    await asyncio.sleep(0)
    impatient.cancel()
    found = await asyncio.gather(*others)
    assert await resolver.addresses() == found[0]
    assert lookups == ["llm.example"]
    resolver.forget()
    await resolver.addresses()
    assert lookups == ["llm.example"] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_ip_address_is_not_looked_up(lookups: list[str], host: str) -> None:
    """The pool of threads that looks up names would make it wait."""
    assert (await Resolver(host, 80).addresses())[0][4][:2] == (host, 80)
    assert lookups == []
