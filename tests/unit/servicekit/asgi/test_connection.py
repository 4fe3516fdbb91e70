"""A connection that tells its requests when the client leaves, on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.asgi.connection import ClientConnectionProtocol, client_connection
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.errors import ClientGoneError
from servicekit.write_batch import write_batch

REQUEST = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def _served(app: ASGIApp, timeout_keep_alive: int = 5) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        http=ClientConnectionProtocol,
        timeout_keep_alive=timeout_keep_alive,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())  # `serve` would take the test's signals
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


class _Waiting:
    """An application that waits until its client leaves, and remembers when it noticed."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: BaseException | None = None
        self.tasks = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        self.tasks = len(asyncio.all_tasks())
        try:
            await until_disconnect(scope, receive, asyncio.sleep(30))
        except BaseException as exc:
            self.error = exc
            if not isinstance(exc, ClientGoneError):
                raise
        finally:
            self.ended.set()


async def test_connection_that_is_lost_cancels_the_work_at_once() -> None:
    """The work of a client that leaves ends within 100 ms, in its own task, without one that watches."""
    app = _Waiting()
    async with _served(app) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await app.begun.wait()
        tasks = len(asyncio.all_tasks())
        left_at = time.monotonic()
        writer.close()
        await asyncio.wait_for(app.ended.wait(), 1)
        assert time.monotonic() - left_at < 0.1
        assert isinstance(app.error, ClientGoneError)
        assert tasks == app.tasks


async def test_connection_tells_a_request_that_another_waits_behind() -> None:
    """With a request pipelined behind it, the one at work is still told."""
    gone: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = client_connection(scope)
        assert connection is not None
        with suppress(ClientGoneError):
            await until_disconnect(scope, receive, asyncio.sleep(30))
        gone.append(connection.is_gone)

    async with _served(app) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST + REQUEST)
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)
    assert gone == [True]


async def test_part_is_written_at_once_as_a_chunk_unless_the_client_reads_too_slowly() -> None:
    """Where it is not, `send` must be awaited; nothing is lost, and an empty part does not end the answer."""
    written: list[bool] = []
    is_over = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = client_connection(scope)
        assert connection is not None
        written.append(connection.write_part(b"before the head"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        written.extend([connection.write_part(b"first"), connection.write_part(b""), connection.write_part(b"second")])
        await send({"type": "http.response.body", "body": b"x" * 20_000_000, "more_body": True})
        await asyncio.sleep(0)  # writes go out at the end of the turn
        written.append(connection.write_part(b"too much"))
        is_over.set()

    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await asyncio.wait_for(is_over.wait(), 2)
        begin = await reader.readuntil(b"second\r\n")
        writer.close()
    assert begin.endswith(b"\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n")
    assert written == [False, True, True, True, False]


async def test_part_of_an_answer_with_a_length_is_left_to_the_server() -> None:
    """Its framing is not chunks."""
    written: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = client_connection(scope)
        assert connection is not None
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        written.append(connection.write_part(b"no"))
        await send({"type": "http.response.body", "body": b"ok"})

    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        answer = await asyncio.wait_for(reader.readuntil(b"ok"), 2)
        writer.close()
    assert answer.endswith(b"\r\n\r\nok")
    assert written == [False]


async def test_work_that_is_cancelled_by_the_server_is_not_taken_for_a_client_that_left() -> None:
    """A shutdown's cancellation stays one."""
    app = _Waiting()
    async with _served(app) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await app.begun.wait()
        serving = [task for task in asyncio.all_tasks() if "run_asgi" in repr(task)]
        assert serving
        serving[0].cancel()
        await asyncio.wait_for(app.ended.wait(), 1)
        writer.close()
    assert isinstance(app.error, asyncio.CancelledError)


@pytest.mark.parametrize("is_gone", [False, True])
async def test_connection_makes_the_callback_once_it_is_set(is_gone: bool) -> None:
    """What was registered is called, what was taken back is not."""
    calls: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = client_connection(scope)
        assert connection is not None
        connection.when_gone(lambda: calls.append("called"))
        if not is_gone:
            connection.when_gone(None)
        connection.lost()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.read(10)
        writer.close()
    assert calls == (["called"] if is_gone else [])


async def _answer(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_connection_without_requests_is_closed_after_its_last_answer() -> None:
    """The pause counts from the last answer, not from the first."""
    async with _served(_answer, timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"ok")
        await asyncio.sleep(0.6)
        writer.write(REQUEST)
        await reader.readuntil(b"ok")
        answered_at = time.monotonic()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert 0.9 < time.monotonic() - answered_at < 3
        writer.close()


async def test_connection_at_work_is_not_closed_however_long_it_takes() -> None:
    """A slow answer is no pause; after it the pauses count again."""
    requests = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal requests
        requests += 1
        if requests == 2:
            await asyncio.sleep(1.3)
        await _answer(scope, receive, send)

    async with _served(app, timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"ok")
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/v1/chat", "/v1/chat", b"/v1/chat", b""),
        (b"/a%20b?x=1&y=%32", "/a b", b"/a%20b", b"x=1&y=%32"),
        (b"/" + b"x" * 1000 + b"?q", "/" + "x" * 1000, b"/" + b"x" * 1000, b"q"),
    ],
    ids=["plain", "quoted", "long"],
)
async def test_target_is_split_into_its_parts(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    """As ASGI has them; the second time, too."""
    seen: list[tuple[str, bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], scope["raw_path"], scope["query_string"]))
        await _answer(scope, receive, send)

    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(REQUEST.replace(b"POST /", b"POST " + target))
            await reader.readuntil(b"ok")
        writer.close()
    assert seen == [(path, raw_path, query)] * 2


async def test_requests_are_counted_while_they_are_answered() -> None:
    """Those that are answered, pipelined, and those whose client leaves: writes go out alone or together by it."""
    counts: list[int | None] = []
    batch = write_batch(asyncio.get_running_loop())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        counts.append(batch.requests)
        if scope["path"] == "/waits":
            with suppress(ClientGoneError):
                await until_disconnect(scope, receive, asyncio.sleep(30))
        else:
            await _answer(scope, receive, send)

    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST + REQUEST)
        await reader.readuntil(b"ok")
        await reader.readuntil(b"ok")
        assert (counts, batch.requests) == ([2, 1], 0)
        writer.write(REQUEST.replace(b"POST /", b"POST /waits"))
        while len(counts) < 3:  # noqa: ASYNC110 - both sides are this loop
            await asyncio.sleep(0.01)
        writer.close()
        while batch.requests:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert counts == [2, 1, 1]


async def test_connection_on_which_a_request_comes_slowly_is_not_closed() -> None:
    """A head in several parts, each before the pause's end, is answered."""
    async with _served(_answer, timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"ok")
        for part in (REQUEST[:8], REQUEST[8:20], REQUEST[20:]):
            await asyncio.sleep(0.6)
            writer.write(part)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()
