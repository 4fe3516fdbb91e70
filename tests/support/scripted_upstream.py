"""A loopback HTTP server that plays scripts, inside the test's own event loop.

    async with ScriptedUpstream(stream(*openai_events(["Ciao", "!"]))) as upstream:
        ...                                # talk to upstream.url or upstream.openai_url
        assert upstream.requests[0].json["model"] == "m"

It writes raw HTTP/1.1, because web frameworks refuse to misbehave the way that tests need. Ready-made scripts
are in tests/support/scripts.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson

#: How long `wait_for_requests` and `wait_until_idle` wait before the test fails.
_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.001


@dataclass(slots=True)
class RecordedRequest:
    """One request that came in. Moments are seconds on the monotonic clock."""

    method: str
    path: str
    #: With lower-case names.
    headers: dict[str, str]
    body: bytes
    received_at: float = field(default_factory=time.monotonic)
    #: When the script had played to its end; None if the client left first.
    answered_at: float | None = None
    #: When the client closed the connection under the script; None if it stayed.
    client_left_at: float | None = None

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the client sent
        """The body, decoded."""
        return orjson.loads(self.body)


class Reply:
    """What a script answers with: raw bytes, in its own time."""

    def __init__(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._writer = writer
        #: Whether the connection can carry another request.
        self.keeps_open = True

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Close the connection at once, whatever was promised."""
        self.keeps_open = False
        self._writer.close()


Script = Callable[[Reply], Awaitable[None]]


class ScriptedUpstream:
    """Plays one script for each request, in order; the last one repeats.

    Args:
        scripts: At least one.
        port: Where it listens, if others must know that before it is there.
    """

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self._wanted_port = port
        self._scripts = list(scripts)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: Every request, oldest first.
        self.requests: list[RecordedRequest] = []
        #: How many requests are being answered now.
        self.open_count = 0
        #: The largest `open_count` seen.
        self.most_open_count = 0
        #: How many connections were ever made.
        self.connection_count = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self._wanted_port)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None, "use it inside `async with`"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The URL that OpenAI-compatible clients are configured with."""
        return self.url + "/v1"

    async def wait_for_requests(self, count: int = 1) -> None:
        """Return once that many requests came in."""
        await _until(lambda: len(self.requests) >= count, f"{count} request(s); came: {len(self.requests)}")

    async def wait_until_idle(self) -> None:
        """Return once no request is being answered: all ended, or their clients left."""
        await _until(lambda: self.open_count == 0, "no open request")

    def _next_script(self) -> Script:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]

    async def _serve(self, connection: _Connection) -> None:
        """Answer the requests of one connection."""
        reader, writer = connection.streams()
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                reply = Reply(request, writer)
                if not await self._answer(request, reply, connection):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, request: RecordedRequest, reply: Reply, connection: _Connection) -> bool:
        """Play a script until its end or until the client leaves; return whether the connection goes on."""
        self.open_count += 1
        self.most_open_count = max(self.most_open_count, self.open_count)
        playing = asyncio.ensure_future(self._next_script()(reply))
        leaving = asyncio.create_task(connection.client_left.wait())
        try:
            await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if playing.done() and not isinstance(playing.exception(), ConnectionError):
                playing.result()
                request.answered_at = time.monotonic()
                return reply.keeps_open
            request.client_left_at = connection.client_left_at or time.monotonic()
            return False
        finally:
            self.open_count -= 1
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)


class _Connection(asyncio.StreamReaderProtocol):
    """Notes the moment at which the client closes, also while nobody reads."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
        self._writer: asyncio.StreamWriter | None = None
        self.client_left = asyncio.Event()
        self.client_left_at: float | None = None
        super().__init__(self._reader)

    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return both directions of a connection that stands."""
        assert self._writer is not None
        return self._reader, self._writer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        assert isinstance(transport, asyncio.WriteTransport)
        self._writer = asyncio.StreamWriter(transport, self, self._reader, loop)
        self._upstream.connection_count += 1
        task = loop.create_task(self._upstream._serve(self))
        self._upstream._tasks.add(task)
        task.add_done_callback(self._upstream._tasks.discard)

    def eof_received(self) -> bool:
        self._note_leaving()
        super().eof_received()
        return False  # a client that closed its half will not read ours

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_leaving()
        super().connection_lost(exc)

    def _note_leaving(self) -> None:
        if self.client_left_at is None:
            self.client_left_at = time.monotonic()
            self.client_left.set()


async def _read_request(reader: asyncio.StreamReader) -> RecordedRequest | None:
    """Read one request with its body; None where the client has no further one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    assert "transfer-encoding" not in headers, "the scripted upstream reads bodies with a content-length only"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RecordedRequest(method, path, headers, body)


async def _until(condition: Callable[[], bool], what: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 - a test waits for many kinds of things, one of them at a time
                await asyncio.sleep(_POLL_SECONDS)
    assert condition(), f"waited {_WAIT_SECONDS:g} s for {what}"
