"""How calls end that go wrong, over each transport: garbage, cuts, resets, stalls, idle connections that died."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from servicekit.errors import UpstreamBadResponseError, UpstreamTimeoutError, UpstreamUnreachableError
from servicekit.http.client import HttpClient, Target, Timeouts, Transport, UpstreamResponse
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.scripted_upstream import Reply

OK = b"HTTP/1.1 200 OK\r\n"
PATIENT = Timeouts(connect_seconds=5, first_byte_seconds=20, idle_seconds=20, total_seconds=20)
IMPATIENT = Timeouts(connect_seconds=5, first_byte_seconds=0.1, idle_seconds=20, total_seconds=20)


@pytest.fixture(params=["auto", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Give each transport in turn; on loopback `auto` is the one of our own."""
    chosen: Transport = request.param
    return chosen


def _node(url: str) -> Target:
    return Target("node 'llm'", url)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HTTP/1.1 abc OK\r\n\r\n",
        OK + b"no colon in this line\r\n\r\n",
        OK + b"content-length: many\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"x: " + b"y" * 100_000,
    ],
    ids=["ssh", "tls", "status", "header", "length", "two-lengths", "negative-length", "endless-header"],
)
async def test_fetch_names_an_answer_that_is_not_http(
    scripted_upstream: UpstreamFactory, transport: Transport, garbage: bytes
) -> None:
    """Trying again would not help; the connection is closed."""
    upstream = await scripted_upstream(scripts.play(garbage, scripts.STALL))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="answered something that is not HTTP") as caught:
            await client.fetch("GET", _node(upstream.url), timeouts=PATIENT)
        assert not caught.value.retryable
        await upstream.wait_until_idle()


@pytest.mark.parametrize(
    "garbage",
    [
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"x: a\x01b\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: " + b"a: b\r\n" * 20_000,
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + b"a: b\r\n" * 200_000,
        OK + b"transfer-encoding: chunked\r\n\r\n2;" + b"x" * 1_000_000,
    ],
    ids=["two-framings", "control", "many-headers", "chunk-size", "trailers", "chunk-extension"],
)
async def test_fetch_names_an_answer_that_only_lenient_clients_read(
    scripted_upstream: UpstreamFactory, garbage: bytes
) -> None:
    """What can be read in two ways, or never ends, is not read at all."""
    upstream = await scripted_upstream(scripts.play(garbage, scripts.STALL))
    async with HttpClient() as client:
        with pytest.raises(UpstreamBadResponseError, match="answered something that is not HTTP"):
            await client.fetch("GET", _node(upstream.url), timeouts=PATIENT)
        await upstream.wait_until_idle()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_fetch_names_a_body_that_is_not_in_its_coding(scripted_upstream: UpstreamFactory, coding: str) -> None:
    """Or in one that nobody asked for and that cannot be unpacked here."""
    upstream = await scripted_upstream(scripts.answer(200, b"hello", headers={"content-encoding": coding}))
    async with HttpClient() as client:
        with pytest.raises(UpstreamBadResponseError, match=r"not HTTP \(a body "):
            await client.fetch("GET", _node(upstream.url))


@pytest.mark.parametrize("part", [b"", b"HTT", OK, OK + b"content-length: 5\r\n"], ids=["none", "3", "line", "headers"])
async def test_fetch_names_a_close_before_the_headers_end(
    scripted_upstream: UpstreamFactory, transport: Transport, part: bytes
) -> None:
    """Half a head is no answer."""
    upstream = await scripted_upstream(scripts.play(part, 0.01, scripts.CUT))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamUnreachableError, match="closed the connection without an answer") as caught:
            await client.fetch("POST", _node(upstream.url), body=b"{}")
    assert caught.value.retryable


PACKED = gzip.compress(b"hello" * 100)


@pytest.mark.parametrize(
    "part",
    [
        OK + b"content-length: 5\r\n\r\n",
        OK + b"content-length: 5\r\n\r\nhell",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
    ids=["no-body", "part", "in-chunk", "between-chunks", "before-last-line"],
)
async def test_fetch_names_a_body_that_was_cut(
    scripted_upstream: UpstreamFactory, transport: Transport, part: bytes
) -> None:
    """A body that ends before its announced end is an error, never a short answer."""
    upstream = await scripted_upstream(scripts.play(part, 0.01, scripts.CUT))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer") as caught:
            await client.fetch("GET", _node(upstream.url))
    assert caught.value.retryable


async def test_fetch_names_a_packed_body_that_was_cut(scripted_upstream: UpstreamFactory) -> None:
    """The framing says that it has ended, the coding that it has not."""
    upstream = await scripted_upstream(scripts.answer(200, PACKED[:-9], headers={"content-encoding": "gzip"}))
    async with HttpClient() as client:
        with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer"):
            await client.fetch("GET", _node(upstream.url))


async def test_fetch_gives_what_came_before_the_cut(scripted_upstream: UpstreamFactory, transport: Transport) -> None:
    """A stream's reader gets every byte, then the error."""
    upstream = await scripted_upstream(scripts.stream(b"data: 1\n\n", 0.01, b"data: 2\n\n", scripts.CUT))
    read: list[bytes] = []

    async def read_all(response: UpstreamResponse) -> None:
        async for part in response.iter_bytes():
            read.append(part)  # noqa: PERF401 - what came before the failure is kept

    async with HttpClient(transport=transport) as client, client.open("GET", _node(upstream.url)) as response:
        with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer"):
            await read_all(response)
    assert b"".join(read) == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize(("method", "is_tried_again"), [("GET", True), ("DELETE", True), ("POST", False)])
async def test_fetch_tries_again_only_what_does_the_same_twice(
    scripted_upstream: UpstreamFactory, transport: Transport, method: str, is_tried_again: bool
) -> None:
    """RFC 9110, section 9.2.2: a kept connection that is closed under a request says nothing about the request."""
    fine = scripts.answer(200, {})
    upstream = await scripted_upstream(fine, scripts.close_without_answer(), fine)
    async with HttpClient(transport=transport) as client:
        await client.fetch("GET", _node(upstream.url))
        if is_tried_again:
            assert (await client.fetch(method, _node(upstream.url)))[0].status == 200
        else:
            with pytest.raises(UpstreamUnreachableError, match="without an answer") as caught:
                await client.fetch(method, _node(upstream.url))
            assert caught.value.retryable
    assert len(upstream.requests) == (3 if is_tried_again else 2)


async def test_fetch_does_not_try_again_what_had_a_connection_of_its_own(scripted_upstream: UpstreamFactory) -> None:
    """A server that closes every connection is asked once."""
    upstream = await scripted_upstream(scripts.close_without_answer())
    async with HttpClient() as client:
        with pytest.raises(UpstreamUnreachableError, match="without an answer"):
            await client.fetch("GET", _node(upstream.url))
    assert len(upstream.requests) == 1


async def test_idle_connection_that_the_peer_closed_is_not_used(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """Servers may close a connection after any answer without saying so."""

    async def script(reply: Reply) -> None:
        await reply.write(scripts.encode_answer(200, {}))
        reply.cut()

    upstream = await scripted_upstream(script)
    async with HttpClient(transport=transport) as client:
        for _ in range(5):
            assert (await client.fetch("POST", _node(upstream.url), body=b"{}"))[0].status == 200
            await asyncio.sleep(0.01)
    assert upstream.connection_count == 5


async def test_idle_connection_is_not_used_though_the_loop_has_not_seen_its_end() -> None:
    """The kernel knows of the end before a busy event loop does, and is asked."""
    with _server_in_a_thread(lambda peer: _answer_and_close(peer, after_seconds=0.02)) as url:
        async with HttpClient() as client:
            for _ in range(3):
                assert (await client.fetch("POST", _node(url), body=b"{}"))[0].status == 200
                time.sleep(0.05)  # noqa: ASYNC251 - the loop is held up on purpose


async def test_connection_that_the_peer_closed_at_once_is_not_used() -> None:
    """Some servers close behind an answer without having said so, and the next request comes in the same moment."""
    failures = 0

    async def ask() -> int:
        failed = 0
        async with HttpClient() as client:
            for _ in range(40):
                try:
                    await client.fetch("POST", _node(url), body=b"{}")
                except UpstreamUnreachableError:
                    failed += 1
                await asyncio.sleep(0.002)
        return failed

    with _server_in_a_thread(lambda peer: _answer_and_close(peer, after_seconds=0.0)) as url:
        failures = await asyncio.to_thread(uvloop.run, ask())
    assert failures <= 4


async def test_idle_connection_on_which_something_came_is_not_used() -> None:
    """Some servers say 408 before they close; that is no answer to the next request."""
    with _server_in_a_thread(_answer_then_talk) as url:
        async with HttpClient() as client:
            for _ in range(3):
                assert (await client.fetch("POST", _node(url), body=b"{}"))[0].status == 200
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("part", [b"", OK], ids=["before-the-answer", "in-the-headers"])
async def test_fetch_names_a_reset_before_the_answer(transport: Transport, part: bytes) -> None:
    """The peer's machine refuses the connection in the middle."""
    with _server_in_a_thread(lambda peer: _reset(peer, part)) as url:
        async with HttpClient(transport=transport) as client:
            with pytest.raises(UpstreamUnreachableError, match=r"cannot be reached \(connection reset by peer\)"):
                await client.fetch("POST", _node(url), body=b"{}")


@pytest.mark.parametrize("head", [OK + b"\r\nhel", OK + b"content-length: 5\r\n\r\nhel"], ids=["until-close", "length"])
async def test_fetch_names_a_reset_within_the_body(head: bytes) -> None:
    """A reset is no end of a body, not even of one that lasts until the close."""
    with _server_in_a_thread(lambda peer: _reset(peer, head)) as url:
        async with HttpClient() as client:
            with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer"):
                await client.fetch("POST", _node(url), body=b"{}")


async def test_each_call_has_its_own_time_outs_on_one_connection(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A patient call before leaves an impatient one impatient, and the other way round."""
    late = scripts.play(0.3, scripts.encode_answer(200, {}))
    upstream = await scripted_upstream(scripts.answer(200, {}), scripts.answer(200, {}), late, scripts.silence())
    async with HttpClient(transport=transport) as client:
        await client.fetch("GET", _node(upstream.url), timeouts=PATIENT)
        await client.fetch("GET", _node(upstream.url), timeouts=IMPATIENT)
        await client.fetch("GET", _node(upstream.url), timeouts=PATIENT)
        started = time.monotonic()
        with pytest.raises(UpstreamTimeoutError, match=r"first-token time-out of 0\.1 s"):
            await client.fetch("GET", _node(upstream.url), timeouts=IMPATIENT)
    assert 0.09 < time.monotonic() - started < 1
    assert upstream.connection_count == 1


async def test_idle_time_out_counts_from_read_to_read(scripted_upstream: UpstreamFactory, transport: Transport) -> None:
    """A stream may be longer than its idle time-out, as long as something comes."""
    bounds = Timeouts(first_byte_seconds=20, idle_seconds=0.2, total_seconds=20)
    steps: list[scripts.Step] = [b"data: 1\n\n", 0.08]
    upstream = await scripted_upstream(scripts.stream(*steps * 5))
    async with HttpClient(transport=transport) as client:
        _, body = await client.fetch("GET", _node(upstream.url), timeouts=bounds)
    assert body == b"data: 1\n\n" * 5


async def test_connect_time_out_is_named(transport: Transport) -> None:
    """A peer whose queue of connections is full answers no SYN."""
    with _full_listener() as url:
        bounds = Timeouts(connect_seconds=0.1, first_byte_seconds=5, idle_seconds=5, total_seconds=5)
        async with HttpClient(transport=transport) as client:
            with pytest.raises(UpstreamTimeoutError, match=r"connect time-out of 0\.1 s"):
                await client.fetch("GET", _node(url), timeouts=bounds)


async def test_name_that_does_not_resolve_is_unreachable(transport: Transport) -> None:
    """The reason is the resolver's; `.invalid` never resolves (RFC 6761)."""
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamUnreachableError, match=r"node 'llm' at .*cannot be reached"):
            await client.fetch("GET", _node("http://nowhere.invalid:9"), timeouts=PATIENT)


async def test_reading_after_the_block_was_left_fails(scripted_upstream: UpstreamFactory, transport: Transport) -> None:
    """The connection may carry somebody else's answer by then."""
    upstream = await scripted_upstream(scripts.stream(b"data: 1\n\n", scripts.STALL))
    async with HttpClient(transport=transport) as client:
        async with client.open("GET", _node(upstream.url)) as response:
            pass
        with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer"):
            await anext(response.iter_bytes())


async def test_closing_the_client_ends_calls_under_way(scripted_upstream: UpstreamFactory) -> None:
    """Nobody waits for a connection that is gone."""
    upstream = await scripted_upstream(scripts.silence())
    async with HttpClient() as client:
        call = asyncio.create_task(client.fetch("GET", _node(upstream.url)))
        await upstream.wait_for_requests()
    with pytest.raises(UpstreamUnreachableError):
        await asyncio.wait_for(call, 5)
    await upstream.wait_until_idle()


async def test_open_is_refused_outside_the_client_s_life(transport: Transport) -> None:
    """A client that was not entered has no pool."""
    with pytest.raises(RuntimeError, match="outside"):
        await HttpClient(transport=transport).fetch("GET", _node("http://127.0.0.1:9"))


async def test_draining_takes_the_end_that_comes_at_once_and_waits_for_no_other(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """The first connection is used again; the second one, whose body goes on, is closed after 50 ms."""
    ends = scripts.stream(b"data: [DONE]\n\n", 0.005)
    upstream = await scripted_upstream(ends, scripts.stream(b"data: [DONE]\n\n", scripts.STALL), ends)
    async with HttpClient(transport=transport) as client:
        for expected in (1, 1, 2):
            async with client.open("GET", _node(upstream.url)) as response:
                await anext(response.iter_bytes())
                started = time.monotonic()
                await response.drain()
                assert time.monotonic() - started < 0.3
            assert upstream.connection_count == expected


@contextmanager
def _server_in_a_thread(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection in turn, in a thread that goes on while the event loop is held up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    serve(peer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _answer_and_close(peer: socket.socket, after_seconds: float) -> None:
    peer.recv(65_536)
    peer.sendall(scripts.encode_answer(200, {}))
    time.sleep(after_seconds)


def _answer_then_talk(peer: socket.socket) -> None:
    peer.recv(65_536)
    peer.sendall(scripts.encode_answer(200, {}))
    time.sleep(0.01)
    peer.sendall(scripts.encode_answer(408, {}))
    peer.recv(65_536)


def _reset(peer: socket.socket, first: bytes) -> None:
    peer.recv(65_536)
    peer.sendall(first)
    time.sleep(0.02)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def _full_listener() -> Iterator[str]:
    """Listen without accepting, with the queue of connections full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for one in waiting:
            one.close()
