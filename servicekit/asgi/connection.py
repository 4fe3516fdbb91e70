"""uvicorn's HTTP protocol, which also says at once when a client leaves and whether it reads too slowly.

ASGI tells an application that its client left only if it waits for `http.disconnect`, which takes a task for each
request. Here the connection itself tells: no task, no wait.

Writes wait for the end of the loop's turn, see `servicekit/write_batch.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from servicekit.write_batch import write_batch

#: Where the extension stands in an ASGI scope's `extensions`.
_EXTENSION = "megaservice.client_connection"
_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
#: With it the connection ends behind the answer.
_CLOSE = (b"connection", b"close")


class ClientConnection:
    """One request's view of the connection that it came on."""

    __slots__ = ("_on_gone", "_protocol", "cycle", "is_gone")

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        #: uvicorn's state of the request; set once its head was read.
        self.cycle: RequestResponseCycle | None = None
        self._on_gone: Callable[[], object] | None = None
        #: Whether the client closed the connection before the answer's end.
        self.is_gone = False

    def write_part(self, body: bytes) -> bool:
        """Write a part of an answer that has begun, as uvicorn's `send` would, without its way through ASGI.

        Returns:
            False if nothing was written: `send` must be awaited, since the answer is not a chunked one under way, or
            the client reads too slowly.
        """
        cycle = self.cycle
        if cycle is None or not cycle.chunked_encoding or self._protocol.flow.write_paused:
            return False
        if body and not (cycle.disconnected or cycle.response_complete):  # an empty chunk would end the answer
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def write_answer(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole 200 at once, as two calls of uvicorn's `send` would.

        Args:
            headers: Without framing; names in lower case, names and values checked.
            body: The answer's.

        Returns:
            False if nothing was written: `send` must be awaited, since there is more to decide than usual.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_started or cycle.disconnected or self._protocol.flow.write_paused:
            return False
        if not cycle.keep_alive or _CLOSE in cycle.scope["headers"] or cycle.scope["method"] == "HEAD":
            return False
        fields = b"".join([b"%b: %b\r\n" % field for field in (*cycle.default_headers, *headers)])
        cycle.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (_STATUS_LINE, fields, len(body), body))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def when_gone(self, callback: Callable[[], object] | None) -> None:
        """Have a callback made when the client leaves; None takes it back."""
        self._on_gone = callback
        # uvicorn reads nothing more while a pipelined request waits, and so would not see that the client left.
        self._protocol.flow.resume_reading()

    def lost(self) -> None:
        """Say that the client left; called by the protocol."""
        self.is_gone = True
        if self._on_gone is not None:
            self._on_gone()


def client_connection(scope: MutableMapping[str, Any]) -> ClientConnection | None:
    """Return the connection of a request; None behind another server than ours."""
    connection: ClientConnection | None = scope.get("extensions", {}).get(_EXTENSION)
    return connection


class BatchingTransport:
    """A transport whose writes go out together with those of all others of the loop's turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._batch = write_batch(loop)
        self.is_closing = transport.is_closing
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Write at the end of the turn."""
        self._batch.write(self._transport, data)

    def close(self) -> None:
        """Write what waits, then close."""
        self._batch.flush()
        self._transport.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol, as for a WebSocket."""
        self._batch.flush()
        self._transport.set_protocol(protocol)


class ClientConnectionProtocol(HttpToolsProtocol):
    """Puts a `ClientConnection` into every request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin a connection."""
        super().connection_made(cast("asyncio.Transport", BatchingTransport(transport, self.loop)))
        #: The requests that are not answered yet.
        self._cycles: list[RequestResponseCycle] = []

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # uvicorn knows only its own extensions
        scope["extensions"] = {_EXTENSION: ClientConnection(self)}

    def on_headers_complete(self) -> None:
        """Remember the request until it is answered; with pipelining there are several."""
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # a WebSocket's request has none
            return
        connection = client_connection(cast("dict[str, Any]", self.scope))
        assert connection is not None  # on_message_begin put it there  # noqa: S101
        connection.cycle = cycle
        self._cycles.append(cycle)

    def on_response_complete(self) -> None:
        """End a request: it and its view of the connection hold each other, which only a collection would end."""
        if self._cycles:  # answers keep the requests' order
            connection = client_connection(cast("dict[str, Any]", self._cycles.pop(0).scope))
            if connection is not None:
                connection.cycle = None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of the connection that is not answered yet."""
        super().connection_lost(exc)
        for cycle in self._cycles:
            connection = client_connection(cast("dict[str, Any]", cycle.scope))
            if connection is not None and not cycle.response_complete:
                cycle.disconnected = True
                connection.lost()
        self._cycles.clear()
