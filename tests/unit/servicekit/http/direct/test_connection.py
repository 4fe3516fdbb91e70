"""The parsing side of a connection, fed by hand: however bytes are split, they mean the same."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.http.call import Target, Timeouts
from servicekit.http.direct.connection import Connection
from servicekit.http.direct.response import DirectResponse
from servicekit.write_batch import write_batch

BODY = "data: Città 🌍\n\n".encode() * 8
CHUNKED_BODY = b"".join(b"%x;e=1\r\n%b\r\n" % (len(part), part) for part in (BODY[:1], BODY[1:70], BODY[70:]))
PACKED = gzip.compress(BODY)

#: Each means `BODY` with status 200; whether the end of the connection is the end of the body.
ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY, False),
    "chunked": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n"
        + CHUNKED_BODY
        + b"0\r\nx-a: 2\r\n\r\n",
        False,
    ),
    "until-close": (b"HTTP/1.1 200 OK\nx-a: 1\n\n" + BODY, True),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(PACKED) + PACKED,
        False,
    ),
}


class RecordingTransport(asyncio.Transport):
    """Stands in for the socket: keeps what is written, and whether reading is paused."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.written: list[bytes] = []
        self.is_reading_paused = False
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        """Note it."""
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.is_reading_paused = False

    def abort(self) -> None:
        """Note it."""
        self.is_aborted = True

    def is_closing(self) -> bool:
        """Tell whether it was aborted."""
        return self.is_aborted


@pytest.fixture(scope="module")
def sock() -> Iterator[socket.socket]:
    """Give a socket, for its number."""
    one, other = socket.socketpair()
    with one, other:
        yield one


def _connection(sock: socket.socket) -> tuple[Connection, RecordingTransport]:
    connection = Connection(lambda _: None, asyncio.get_running_loop())
    transport = RecordingTransport(sock)
    connection.connection_made(transport)
    connection.begin("GET", b"GET / HTTP/1.1\r\n\r\n", None, closes=False)
    write_batch(connection.loop).flush()
    return connection, transport


def _split(data: bytes, places: set[int]) -> list[bytes]:
    bounds = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


async def _read_while_fed(sock: socket.socket, pieces: list[bytes], *, ends_by_close: bool) -> tuple[bytes, str, bool]:
    """Feed pieces from the loop while the answer is read; return body, the header x-a and whether it may be reused."""
    connection, _ = _connection(sock)
    loop = asyncio.get_running_loop()

    def feed(number: int) -> None:
        if number < len(pieces):
            connection.data_received(pieces[number])
            loop.call_soon(feed, number + 1)
        elif ends_by_close:
            connection.connection_lost(None)

    loop.call_soon(feed, 0)
    while not connection.has_head:
        await connection.arrival(loop.time() + 5)
    response = DirectResponse(connection, Target("node 'llm'", "http://x"), Timeouts(), loop.time(), 1_000_000)
    assert response.status == 200
    body = b"".join([part async for part in response.iter_bytes()])
    return body, response.headers["x-a"], connection.finish()


@pytest.mark.parametrize("name", sorted(ANSWERS))
@given(places=st.sets(st.integers(min_value=1, max_value=10_000), max_size=40))
def test_body_is_the_same_however_its_bytes_are_split(sock: socket.socket, name: str, places: set[int]) -> None:
    """Status, headers, body and the fate of the connection depend on the bytes alone."""
    sent, ends_by_close = ANSWERS[name]
    read = asyncio.run(_read_while_fed(sock, _split(sent, places), ends_by_close=ends_by_close))
    assert read == (BODY, "1", not ends_by_close)


@given(places=st.sets(st.integers(min_value=1, max_value=10_000), max_size=5), cut=st.integers(1, 10_000))
def test_cut_answer_is_never_complete(sock: socket.socket, places: set[int], cut: int) -> None:
    """Whatever is missing at its end, an answer with a length or with chunks is not taken for a whole one."""

    async def feed(data: bytes) -> bool:
        connection, _ = _connection(sock)
        for piece in _split(data, places):
            connection.data_received(piece)
        connection.connection_lost(None)
        return connection.is_complete

    for name in ("length", "chunked"):
        sent, _ = ANSWERS[name]
        assert not asyncio.run(feed(sent[: cut % len(sent) or 1]))


async def test_one_write_carries_head_and_small_body(sock: socket.socket) -> None:
    """A small request is one packet."""
    connection, transport = _connection(sock)
    connection.begin("POST", b"HEAD", b"BODY", closes=False)
    await asyncio.sleep(0)
    assert transport.written[1:] == [b"HEADBODY"]


async def test_large_body_is_written_piece_by_piece(sock: socket.socket) -> None:
    """What the socket does not take waits outside the transport's buffer."""
    connection, transport = _connection(sock)
    body = bytes(range(256)) * 1024
    connection.pause_writing()
    connection.begin("POST", b"HEAD", body, closes=False)
    assert transport.written[1:] == [b"HEAD"]
    connection.resume_writing()
    assert b"".join(transport.written[2:]) == body
    assert len(transport.written) > 4


async def test_connection_with_an_unsent_body_is_not_used_again(sock: socket.socket) -> None:
    """The server would take the rest of it for a request."""
    connection, transport = _connection(sock)
    connection.pause_writing()
    connection.begin("POST", b"HEAD", bytes(1_000_000), closes=False)
    connection.data_received(b"HTTP/1.1 413 x\r\ncontent-length: 0\r\n\r\n")
    assert connection.is_complete
    assert not connection.finish()
    assert transport.is_aborted


async def test_reading_pauses_while_nobody_takes(sock: socket.socket) -> None:
    """The buffer is bounded by its mark and one read; taking lets the peer go on."""
    connection, transport = _connection(sock)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n" + bytes(200_000))
    seen = [transport.is_reading_paused]
    connection.data_received(bytes(100_000))
    seen.append(transport.is_reading_paused)
    assert len(connection.take()) == 300_000
    seen.append(transport.is_reading_paused)
    assert seen == [False, True, False]


async def test_bytes_on_an_idle_connection_close_it(sock: socket.socket) -> None:
    """Nobody asked for them."""
    connection, transport = _connection(sock)
    connection.data_received(b"HTTP/1.1 204 x\r\n\r\n")
    assert connection.finish()
    connection.data_received(b"HTTP/1.1 408 x\r\n\r\n")
    assert (connection.is_closed, transport.is_aborted) == (True, True)


async def test_switching_protocols_ends_the_use_of_a_connection(sock: socket.socket) -> None:
    """Nothing was asked to be switched; what follows is not HTTP."""
    connection, _ = _connection(sock)
    connection.data_received(b"HTTP/1.1 101 x\r\nupgrade: y\r\nconnection: upgrade\r\n\r\nwhatever")
    assert (connection.status, connection.is_complete, connection.finish()) == (101, True, False)


async def test_request_goes_out_the_moment_that_the_connection_stands(sock: socket.socket) -> None:
    """Not at the turn's end: whoever connects may have been cancelled by then."""
    connection = Connection(lambda _: None, asyncio.get_running_loop())
    connection.begin("POST", b"POST / HTTP/1.1\r\n\r\n", b"{}", closes=False)
    transport = RecordingTransport(sock)
    connection.connection_made(transport)
    assert transport.written == [b"POST / HTTP/1.1\r\n\r\n{}"]


async def test_connection_on_which_a_second_answer_begins_is_not_used_again(sock: socket.socket) -> None:
    """Though its head is not there yet: the rest would be taken for the next request's answer."""
    connection, _ = _connection(sock)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 20")
    assert connection.is_complete
    assert connection.take() == b"ok"
    assert not connection.finish()
