"""What HTTP/1.1 promises its callers, over each transport: framing, reuse, coding, and the bytes of a request."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from contextlib import suppress

import pytest

from servicekit.errors import UpstreamBadResponseError, UpstreamError
from servicekit.http.client import HttpClient, Target, Transport
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.scripted_upstream import Reply

OK = b"HTTP/1.1 200 OK\r\n"
JSON = {"content-type": "application/json"}


@pytest.fixture(params=["auto", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Give each transport in turn; on loopback `auto` is the one of our own."""
    chosen: Transport = request.param
    return chosen


def _node(url: str) -> Target:
    return Target("node 'llm'", url)


#: Name -> what is answered, status, body, whether the connection carries the next request too.
ANSWERS: dict[str, tuple[bytes, int, bytes, bool]] = {
    "content-length": (OK + b"content-length: 5\r\n\r\nhello", 200, b"hello", True),
    "empty": (OK + b"content-length: 0\r\n\r\n", 200, b"", True),
    "chunked": (OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello", True),
    "chunk-extensions-and-trailers": (
        OK + b'Transfer-Encoding: Chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0;last\r\nx-sum: 1\r\nx-more: 2\r\n\r\n',
        200,
        b"hello",
        True,
    ),
    "blank-behind-chunk-size": (
        OK + b"transfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304-with-length": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b"", True),
    "100-first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 2\r\n\r\nhi", 200, b"hi", True),
    "103-with-headers-first": (
        b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n" + OK + b"content-length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
    ),
    "no-reason-phrase": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", 200, b"hi", True),
    "bare-line-feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi", 200, b"hi", True),
    "connection-close": (OK + b"content-length: 2\r\nConnection: close\r\n\r\nhi", 200, b"hi", False),
    "http-1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, b"hi", False),
    "bytes-after-the-end": (
        OK + b"content-length: 2\r\n\r\nhi" + OK + b"content-length: 1\r\n\r\nx",
        200,
        b"hi",
        False,
    ),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
async def test_fetch_reads_an_answer_as_framed(
    scripted_upstream: UpstreamFactory, transport: Transport, name: str
) -> None:
    """RFC 9112, section 6: status and body are those that were sent, and the connection is kept if it may be."""
    sent, status, body, is_kept = ANSWERS[name]
    upstream = await scripted_upstream(scripts.play(sent))
    async with HttpClient(transport=transport) as client:
        for _ in range(3):
            response, read = await client.fetch("POST", _node(upstream.url), body=b"{}", headers=JSON)
            assert (response.status, read) == (status, body)
            await asyncio.sleep(0.005)
    assert upstream.connection_count == (1 if is_kept else 3)


async def test_fetch_reads_a_body_without_length_until_the_close(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """RFC 9112, section 6.3: such a body lasts as long as its connection."""
    upstream = await scripted_upstream(scripts.play(OK + b"\r\nhel", 0.01, b"lo", scripts.CUT))
    async with HttpClient(transport=transport) as client:
        _, body = await client.fetch("GET", _node(upstream.url))
    assert body == b"hello"


async def test_head_answer_has_no_body_whatever_its_length_says(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """RFC 9110, section 9.3.2; the connection carries the next request, whose answer has one."""
    upstream = await scripted_upstream(
        scripts.play(OK + b"content-length: 5\r\n\r\n"), scripts.play(OK + b"content-length: 2\r\n\r\nhi")
    )
    async with HttpClient(transport=transport) as client:
        response, body = await client.fetch("HEAD", _node(upstream.url))
        assert (response.headers["content-length"], body) == ("5", b"")
        assert (await client.fetch("GET", _node(upstream.url)))[1] == b"hi"
    assert upstream.connection_count == 1


async def test_headers_have_lower_case_names_and_the_last_of_several_counts(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """Empty values are there, bytes beyond ASCII are UTF-8, trailers are no headers."""
    head = "X-Empty:\r\nX-Name:  Perché\r\nX-Two: a\r\nx-two: b\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    upstream = await scripted_upstream(scripts.play(OK + head + b"0\r\nx-trailer: 1\r\n\r\n"))
    async with HttpClient(transport=transport) as client:
        response, _ = await client.fetch("GET", _node(upstream.url))
    assert dict(response.headers) == {"x-empty": "", "x-name": "Perché", "x-two": "b", "transfer-encoding": "chunked"}


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"hello" * 1000)),
        ("deflate", zlib.compress(b"hello" * 1000)),
        ("deflate", _raw_deflate(b"hello" * 1000)),
        ("identity", b"hello" * 1000),
    ],
    ids=["gzip", "deflate", "raw-deflate", "identity"],
)
async def test_fetch_unpacks_a_body_that_nobody_asked_to_be_packed(
    scripted_upstream: UpstreamFactory, transport: Transport, coding: str, packed: bytes
) -> None:
    """Some proxies compress whatever was asked for."""
    upstream = await scripted_upstream(scripts.answer(200, packed, headers={"content-encoding": coding}))
    async with HttpClient(transport=transport) as client:
        _, body = await client.fetch("GET", _node(upstream.url))
    assert body == b"hello" * 1000


async def test_fetch_refuses_a_small_body_that_unpacks_to_a_huge_one(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """The limit counts what is unpacked."""
    packed = gzip.compress(bytes(20_000_000))
    upstream = await scripted_upstream(scripts.answer(200, packed, headers={"content-encoding": "gzip"}))
    async with HttpClient(1_000_000, transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="more than 1000000 bytes"):
            await client.fetch("GET", _node(upstream.url))


async def test_request_has_the_headers_that_http_needs(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """Host, length and type are there, the caller's headers beat the defaults, in any case."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    async with HttpClient(transport=transport) as client:
        target = _node(upstream.url + "/v1/x?a=b%20c&d=e")
        await client.fetch("POST", target, body=b"hello", headers={"Accept": "text/plain", "X-Name": "Perché"})
        await client.fetch("POST", target)
        await client.fetch("GET", _node(upstream.url))
    with_body, without, get = upstream.requests
    assert (with_body.method, with_body.path, with_body.body) == ("POST", "/v1/x?a=b%20c&d=e", b"hello")
    assert with_body.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert with_body.headers["accept"] == "text/plain"
    assert with_body.headers["x-name"].encode("latin-1").decode() == "Perché"
    assert with_body.headers["content-type"] == "application/octet-stream"
    assert without.headers["content-length"] == "0"
    assert (get.path, "content-length" in get.headers, get.headers["accept"]) == ("/", False, "*/*")


async def test_connection_is_not_kept_where_the_request_asks_for_its_end(scripted_upstream: UpstreamFactory) -> None:
    """RFC 9112, section 9.6: nothing is sent after `Connection: close`, even if the server would take it."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    async with HttpClient() as client:
        for _ in range(2):
            await client.fetch("GET", _node(upstream.url), headers={"connection": "close"})
    assert upstream.connection_count == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-thing", "a\r\nx-evil: 1"), ("x-thing", "a\nb"), ("x-thing", "a\0"), ("x thing", "a"), ("x:", "a"), ("", "a")],
)
async def test_open_refuses_headers_that_would_be_something_else(
    scripted_upstream: UpstreamFactory, transport: Transport, name: str, value: str
) -> None:
    """RFC 9110, section 5.5: a line break in a value would begin a header, or a request."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamError, match=r"node 'llm' at .*the request cannot be sent") as caught:
            await client.fetch("GET", _node(upstream.url), headers={name: value})
    assert not caught.value.retryable
    assert upstream.connection_count == 0


async def test_large_body_arrives_whole_at_a_server_that_reads_slowly(transport: Transport) -> None:
    """Sending waits for the reader, and the answer comes all the same."""
    body = bytes(range(256)) * 40_000
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while len(received) < len(body):
            received.extend(await reader.read(100_000))
            await asyncio.sleep(0)
        writer.write(OK + b"content-length: 2\r\n\r\nhi")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, HttpClient(transport=transport) as client:
        port = server.sockets[0].getsockname()[1]
        _, answer = await client.fetch("POST", _node(f"http://127.0.0.1:{port}"), body=body, headers=JSON)
    assert (answer, received == body) == (b"hi", True)


async def test_answer_that_comes_before_the_body_was_sent_is_read() -> None:
    """A server may refuse what it has not read (413); the connection is not used again."""
    closed: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        with suppress(ConnectionError):
            while await reader.read(65_536):  # noqa: ASYNC110 - slowly, so that the body is on its way
                await asyncio.sleep(0.001)
        writer.close()
        closed.append(True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        target = _node(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with HttpClient() as client:
            for number in (1, 2):
                response, _ = await client.fetch("POST", target, body=bytes(30_000_000), headers=JSON)
                assert response.status == 413
                async with asyncio.timeout(5):
                    while len(closed) < number:  # noqa: ASYNC110 - by the server, when the client has left
                        await asyncio.sleep(0.001)


async def test_reader_that_does_not_read_slows_the_server(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """What waits for a slow reader is bounded; nothing is lost."""
    size_bytes, sent_bytes = 64_000_000, 0

    async def script(reply: Reply) -> None:
        nonlocal sent_bytes
        await reply.write(OK + b"content-length: %d\r\n\r\n" % size_bytes)
        for _ in range(size_bytes // 100_000):
            await reply.write(bytes(100_000))
            sent_bytes += 100_000

    upstream = await scripted_upstream(script)
    async with HttpClient(transport=transport) as client, client.open("GET", _node(upstream.url)) as response:
        await asyncio.sleep(0.3)
        assert sent_bytes < size_bytes // 2
        assert sum([len(part) async for part in response.iter_bytes()]) == size_bytes


async def test_ipv6_address_is_called(transport: Transport) -> None:
    """The host of such a URL stands in brackets, in the request, too."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"content-length: 2\r\n\r\nhi")
        writer.close()

    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with server, HttpClient(transport=transport) as client:
        port = server.sockets[0].getsockname()[1]
        _, body = await client.fetch("GET", _node(f"http://[::1]:{port}/x"))
    assert body == b"hi"
    assert f"host: [::1]:{port}".encode() in heads[0].lower()


async def test_name_is_called(scripted_upstream: UpstreamFactory, transport: Transport) -> None:
    """`localhost` is found even where its first address (::1) refuses."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    async with HttpClient(transport=transport) as client:
        response, _ = await client.fetch("GET", _node(f"http://localhost:{upstream.port}"))
    assert response.status == 200
    assert upstream.requests[0].headers["host"] == f"localhost:{upstream.port}"
