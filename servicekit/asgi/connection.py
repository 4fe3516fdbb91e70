"""uvicorn's HTTP protocol, which also says at once when a client leaves and whether it reads too slowly.

ASGI tells an application that its client left only if it waits for `http.disconnect`, which takes a task for each
request. Here the connection itself tells: no task, no wait.

Writes wait for the end of the loop's turn, see `servicekit/write_batch.py`.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache, partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from servicekit.write_batch import write_batch

#: Where the extension stands in an ASGI scope's `extensions`.
_EXTENSION = "megaservice.client_connection"
_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
#: With it the connection ends behind the answer.
_CLOSE = (b"connection", b"close")
#: Request targets whose parts are remembered: so many, and none that is longer.
_MOST_TARGETS, _LONGEST_TARGET_BYTES = 256, 256


class ClientConnection(RequestResponseCycle):
    """One request's view of the connection that it came on: what uvicorn keeps of a request, and what we add."""

    #: Whether the client closed the connection before the answer's end.
    is_gone = False
    #: In which the request is answered; None until that begins.
    task: asyncio.Task[None] | None = None
    _on_gone: Callable[[], object] | None = None

    def begin_stream(self, headers: Iterable[tuple[bytes, bytes]], first: bytes) -> bool:
        """Write the head of a 200 in parts, and its first part, as two calls of uvicorn's `send` would.

        Args:
            headers: Without framing; names in lower case, names and values checked.
            first: The first part.

        Returns:
            False if nothing was written: `send` must be awaited, since there is more to decide than usual.
        """
        if not first or not self._is_usual():  # an empty chunk would end the answer
            return False
        head = b"%btransfer-encoding: chunked\r\n\r\n" % self._head(headers)
        cast("BatchingTransport", self.transport).write_first(b"%b%x\r\n%b\r\n" % (head, len(first), first))
        self.response_started = self.chunked_encoding = True
        return True

    def end_stream(self) -> bool:
        """Write the end of an answer in parts; return False if nothing was written, and `send` must be awaited."""
        if not self.chunked_encoding or not self.keep_alive or self.response_complete:
            return False
        if self.disconnected or self.flow.write_paused:
            return False
        self.transport.write(b"0\r\n\r\n")
        self._complete()
        return True

    def write_part(self, body: bytes) -> bool:
        """Write a part of an answer that has begun, as uvicorn's `send` would, without its way through ASGI.

        Returns:
            False if nothing was written: `send` must be awaited, since the answer is not a chunked one under way, or
            the client reads too slowly.
        """
        if not self.chunked_encoding or self.flow.write_paused:
            return False
        if body and not (self.disconnected or self.response_complete):  # an empty chunk would end the answer
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def write_answer(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole 200 at once, as two calls of uvicorn's `send` would.

        Args:
            headers: Without framing; names in lower case, names and values checked.
            body: The answer's.

        Returns:
            False if nothing was written: `send` must be awaited, since there is more to decide than usual.
        """
        if not self._is_usual():
            return False
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._head(headers), len(body), body))
        self.response_started = True
        self._complete()
        return True

    def take_body(self) -> bytes | None:
        """Return the whole body, as `receive` would; None if it is not all there, or `receive` has more to do."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        body, self.body = self.body, b""
        self.message_event.clear()
        self.flow.resume_reading()
        return body

    def when_gone(self, callback: Callable[[], object] | None) -> None:
        """Have a callback made when the client leaves; None takes it back."""
        self._on_gone = callback
        # uvicorn reads nothing more while a pipelined request waits, and so would not see that the client left.
        self.flow.resume_reading()

    def lost(self) -> None:
        """Say that the client left; called by the protocol."""
        self.is_gone = True
        if self._on_gone is not None:
            self._on_gone()

    def _is_usual(self) -> bool:
        """Whether an answer may begin now, with a body, on a connection that stays."""
        if self.response_started or self.disconnected or self.flow.write_paused:
            return False
        return self.keep_alive and _CLOSE not in self.scope["headers"] and self.scope["method"] != "HEAD"

    def _head(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the beginning of a 200's head; the framing and an empty line follow."""
        head = _STATUS_LINE
        for name, value in self.default_headers:
            head += b"%b: %b\r\n" % (name, value)
        for name, value in headers:
            head += b"%b: %b\r\n" % (name, value)
        return head

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        self.on_response()


def client_connection(scope: MutableMapping[str, Any]) -> ClientConnection | None:
    """Return the connection of a request that is not answered yet; None behind another server than ours."""
    connection: ClientConnection | None = scope.get("extensions", {}).get(_EXTENSION)
    return connection


class BatchingTransport:
    """A transport whose writes go out together with those of all others of the loop's turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._batch = write_batch(loop)
        #: Writes at the end of the turn.
        self.write: Callable[[bytes], None] = partial(self._batch.write, transport)
        self.write_first: Callable[[bytes], None] = partial(self._batch.write_first, transport)
        self.is_closing = transport.is_closing
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def close(self) -> None:
        """Write what waits, then close."""
        self._batch.flush()
        self._transport.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol, as for a WebSocket."""
        self._batch.flush()
        self._transport.set_protocol(protocol)


class ClientConnectionProtocol(HttpToolsProtocol):
    """Puts a `ClientConnection` into every request's scope.

    What uvicorn does once for each request is done here with fewer steps: a target is split once, and one timer serves
    all the pauses between a connection's requests.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._batch = write_batch(self.loop)
        #: The requests that are not answered yet.
        self._cycles: list[ClientConnection] = []
        #: When something was read, or an answer ended, on the loop's clock.
        self._active_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin a connection."""
        super().connection_made(cast("asyncio.Transport", BatchingTransport(transport, self.loop)))

    def on_headers_complete(self) -> None:
        """Begin to answer a request, or let it wait behind those that came before it on this connection."""
        parser = self.parser
        if parser.should_upgrade() and self._should_upgrade():
            return  # a WebSocket's
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # uvicorn knows only its own extensions
        scope["http_version"] = version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        path, raw_path, scope["query_string"] = _target_parts(self.url)
        scope["path"] = self.root_path + path
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        before: RequestResponseCycle | None = self.cycle
        connection = self.cycle = ClientConnection(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0",
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {_EXTENSION: connection}
        self._cycles.append(connection)
        self._count_requests(1)
        if before is None or before.response_complete:
            self._start(connection)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((connection, self.app))

    def on_response_complete(self) -> None:
        """End a request and begin the next one, if it is there already."""
        answered = self._cycles.pop(0)  # answers keep the requests' order
        answered.scope["extensions"].clear()  # they hold each other, which only a garbage collection would end
        self._count_requests(-1)
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(cast("ClientConnection", self.pipeline.pop()[0]))
            return
        self._active_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing came for too long; look again later where something did."""
        self.timeout_keep_alive_task = None
        if self._cycles or self.transport.is_closing():
            return  # the next answer's end starts the timer
        left_seconds = self._active_at + self.timeout_keep_alive - self.loop.time()
        if left_seconds > 0:
            self._look_again_in(left_seconds)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of the connection that is not answered yet."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        for connection in self._cycles:
            connection.disconnected = True
            connection.lost()
        self._count_requests(-len(self._cycles))
        self._cycles.clear()

    def _count_requests(self, change: int) -> None:
        self._batch.requests = (self._batch.requests or 0) + change

    def _unset_keepalive_if_required(self) -> None:
        """Note a read; the timer, which uvicorn would stop here, looks by itself when the last one was."""
        self._active_at = self.loop.time()

    def _start(self, connection: ClientConnection) -> None:
        task = connection.task = self.loop.create_task(connection.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _look_again_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)


def _target_parts(target: bytes) -> tuple[str, bytes, bytes]:
    """Return a request target's path, decoded and as it came, and its query.

    Raises:
        HttpParserError: It is no URL.
    """
    return _known_target_parts(target) if len(target) <= _LONGEST_TARGET_BYTES else _split(target)


def _split(target: bytes) -> tuple[str, bytes, bytes]:
    url = httptools.parse_url(target)
    path = url.path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, url.path, url.query or b""


_known_target_parts = lru_cache(_MOST_TARGETS)(_split)
