"""Writes that go out together at the end of a turn: nothing is lost, nothing changes its order."""

from __future__ import annotations

import asyncio
from typing import cast

from servicekit.asgi.connection import BatchingTransport
from servicekit.write_batch import write_batch


class _Transport:
    """Remembers what was written, in the log of all."""

    def __init__(self, name: str, log: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.log = log
        self.is_closed = self.is_broken = False

    def write(self, data: bytes) -> None:
        if self.is_broken:
            raise RuntimeError("the handler is closed")
        self.log.append((self.name, data))

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _transports(*names: str) -> tuple[list[tuple[str, bytes]], list[BatchingTransport], list[_Transport]]:
    log: list[tuple[str, bytes]] = []
    inner = [_Transport(name, log) for name in names]
    loop = asyncio.get_running_loop()
    return log, [BatchingTransport(cast("asyncio.Transport", transport), loop) for transport in inner], inner


async def test_writes_go_out_in_their_order_at_the_end_of_the_turn() -> None:
    """A head and its body as one; those of other connections between them stay where they are."""
    log, (first, second), _inner = _transports("a", "b")
    first.write(b"head ")
    first.write(b"body")
    second.write(b"x")
    first.write(b"more")
    assert log == []
    await asyncio.sleep(0)
    assert log == [("a", b"head body"), ("b", b"x"), ("a", b"more")]


async def test_what_waits_is_written_before_the_connection_closes() -> None:
    """An answer that asks for the connection's end is whole."""
    log, (transport,), (inner,) = _transports("a")
    transport.write(b"last words")
    transport.close()
    assert (log, inner.is_closed) == ([("a", b"last words")], True)


async def test_what_waits_for_an_aborted_connection_is_dropped() -> None:
    """Nobody reads it, and the loop would warn."""
    log, (transport,), _inner = _transports("a")
    transport.write(b"never read")
    transport.abort()
    await asyncio.sleep(0)
    assert log == []


async def test_writes_of_the_next_turn_go_out_in_it() -> None:
    """One flush a turn, again and again."""
    log, (transport,), _inner = _transports("a")
    for number in (b"1", b"2"):
        transport.write(number)
        await asyncio.sleep(0)
    assert log == [("a", b"1"), ("a", b"2")]
    assert write_batch(asyncio.get_running_loop()) is write_batch(asyncio.get_running_loop())


async def test_write_of_a_request_that_is_alone_does_not_wait() -> None:
    """There is nothing to go out with it; what waits already goes first, and a connection that closes gets nothing."""
    log, (first, second), (_, inner) = _transports("a", "b")
    batch = write_batch(asyncio.get_running_loop())
    batch.requests = 1
    first.write(b"1")
    assert log == [("a", b"1")]
    batch.requests = 2
    first.write(b"2")
    batch.requests = 1
    first.write(b"3")
    assert log == [("a", b"1")]
    await asyncio.sleep(0)
    assert log == [("a", b"1"), ("a", b"23")]
    inner.close()
    second.write(b"never read")
    assert len(log) == 2


async def test_transport_that_raises_takes_nobody_elses_writes() -> None:
    """Uvloop's does where its handle was closed under it, and still says that it is open."""
    log, (first, second, third), (_, broken, _last) = _transports("a", "b", "c")
    broken.is_broken = True
    for transport in (first, second, third):
        transport.write(b"x")
    await asyncio.sleep(0)
    assert log == [("a", b"x"), ("c", b"x")]
