"""One TCP connection that carries one exchange at a time (RFC 9112): bytes in, status, headers and body out."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

import httptools

from servicekit.http.direct.header_names import known_names, learned
from servicekit.http.direct.pacing import read_pacer
from servicekit.write_batch import write_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from servicekit.http.response import Sink

#: Above this, reading pauses until the body's reader has taken what there is.
_MOST_BUFFERED_BYTES = 256 * 1024
#: A head, or what stands between two pieces of a body (chunk extensions, trailers), may not be longer.
_MOST_OVERHEAD_BYTES = 64 * 1024
#: Bodies up to this size are joined to their head and written at once; larger ones go out piece by piece.
_WHOLE_WRITE_BYTES = 64 * 1024
#: Timers of the event loop are this exact.
_TIMER_SECONDS = 0.001


class Connection(asyncio.Protocol):
    """A connection of the pool.

    Invariant: between `begin` and `is_reusable` it belongs to one exchange; a reader takes all of `take` at once, so
    what is buffered is bounded by the mark above plus one read of the socket.

    Args:
        forget: Called when the connection is gone.
        loop: The running loop.

    Attributes:
        status: Of the answer; 0 until its head came.
        headers: Of the answer, names in lower case; of several with one name the last.
        has_head: Whether status and headers are there.
        is_complete: Whether the answer has ended, as its framing says.
        is_closed: Whether the connection is gone, or about to be.
        loop: The loop that it lives in.
        has_answered: Whether any byte came since the request.
        error: What the socket said when it broke; None for an orderly end.
        garbage: Why what came is not HTTP; None while it is.
        idle_since: When it was put into the pool, on the loop's clock.
        relay: Is offered what arrives while the reader waits; see `UpstreamResponse.relay_to`.
        relay_idle_seconds: What it takes puts the reader's deadline off by so much.
        relay_until: But not beyond this, on the loop's clock.
    """

    __slots__ = (
        "_batch", "_deadline", "_first", "_forget", "_informational", "_is_busy", "_is_head_request", "_is_held_back",
        "_keeps_alive", "_overhead_bytes", "_pacer", "_parser", "_parts", "_parts_bytes", "_poll", "_reading_paused",
        "_timer", "_timer_at", "_transport", "_unsent", "_waiter", "_writing_paused", "error", "garbage",
        "has_answered", "has_head", "headers", "idle_since", "is_closed", "is_complete", "loop", "relay",
        "relay_idle_seconds", "relay_until", "status",
    )  # fmt: skip

    def __init__(self, forget: Callable[[Connection], None], loop: asyncio.AbstractEventLoop) -> None:
        self._forget = forget
        self.loop = loop
        self._batch = write_batch(loop)
        self._pacer = read_pacer(loop)
        self._parser = httptools.HttpResponseParser(self)
        self._loosen()
        self._poll = select.poll()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self.idle_since = 0.0
        self._parts: list[bytes] = []
        self._parts_bytes = self._overhead_bytes = self.status = 0
        self._unsent: memoryview | None = None
        #: The request that is sent as soon as the connection stands.
        self._first: tuple[bytes, bytes | None] | None = None
        self._reading_paused = self._is_held_back = self._writing_paused = self._informational = (
            self._is_head_request
        ) = False
        self._is_busy = self._keeps_alive = self.has_head = self.is_complete = self.has_answered = False
        self.is_closed = False
        self.headers: dict[str, str] = {}
        self.relay: Sink | None = None
        self.relay_idle_seconds = self.relay_until = 0.0
        self.error: Exception | None = None
        self.garbage: str | None = None

    # ------------------------------------------------------------------------------------ what an exchange calls

    def begin(self, method: str, head: bytes, body: bytes | None, *, closes: bool) -> None:
        """Send a request and expect its answer; a connection that does not stand yet sends it as soon as it does.

        Args:
            method: Of the request; the answer to HEAD has no body.
            head: As `RequestWriter` wrote it.
            body: What follows it.
            closes: Whether the head asks for the connection's end.
        """
        self.status = self._overhead_bytes = 0
        self.headers = {}
        self.has_head = self.is_complete = self.has_answered = self._informational = False
        self._is_busy = True
        self.relay = None
        self._is_head_request = method == "HEAD"
        self._keeps_alive = not closes
        if self.is_closed:
            return  # whoever waits for the answer is told
        if self._transport is None:
            self._first = (head, body)
        else:
            self._send(self._transport, head, body)

    def arrival(self, deadline: float) -> asyncio.Future[None]:
        """Return a future that is done when something happened to the answer.

        One timer serves all waits of the connection: it is moved only where a wait ends before it, and looks at the
        deadline when it fires.

        Args:
            deadline: On the loop's clock; then the future fails with TimeoutError.
        """
        waiter = self._waiter = self.loop.create_future()
        self._deadline = deadline
        if self._timer is None or self._timer_at > deadline:
            self._set_timer()
        return waiter

    @property
    def has_body(self) -> bool:
        """Whether a part of the body can be taken now."""
        return bool(self._parts)

    def take(self) -> bytes:
        """Return all of the body that arrived since the last time; b"" if nothing did."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._parts_bytes = 0
        if self._reading_paused:
            self._resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange; return whether the connection can carry another one. If not, it is closed."""
        self._is_busy = False
        self.relay = None
        self._parts.clear()
        self._parts_bytes = 0
        self._waiter = None
        if not self.is_complete or not self._keeps_alive or self._unsent is not None or self.is_closed:
            self.close()
            return False
        if self._reading_paused:
            self._resume_reading()
        return True

    def is_alive(self) -> bool:
        """Return whether the peer has neither closed the connection nor sent anything while it was idle.

        Asks the kernel, since the event loop may not have come to it.
        """
        if self.is_closed:
            return False
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close at once; what was not sent is not sent any more."""
        self.is_closed = True
        self._unsent = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    # -------------------------------------------------------------------------------------- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        if self._first is not None:
            head, body = self._first
            self._first = None
            # At once: whoever connects may be cancelled before this turn's end, and uvloop then closes what stands
            # without a word.
            if body is None or len(body) <= _WHOLE_WRITE_BYTES:
                self._transport.write(head if body is None else head + body)
            else:
                self._send(self._transport, head, body)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Parse what came and wake the reader."""
        if self.is_complete or not self._is_busy:
            self._keeps_alive = False  # nobody asked for this
            if not self._is_busy:
                self.close()
            return
        self.has_answered = True
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._keeps_alive = False
        except httptools.HttpParserError as exc:
            self._not_http(str(exc))
        if self._overhead_bytes > _MOST_OVERHEAD_BYTES and not self.is_complete:
            self._not_http(f"more than {_MOST_OVERHEAD_BYTES} bytes of headers")
        if self._parts_bytes > _MOST_BUFFERED_BYTES and not self._reading_paused:
            self._pause_reading()
        if self.relay is not None and self._is_relayed():
            self._pacer.note_read(self)
            return
        if self.has_head or self.garbage is not None:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end: of an answer without a length it is the end, too (RFC 9112, section 6.3)."""
        if self._is_busy and self.has_head and not self.is_complete and exc is None and self._lasts_until_close():
            self.is_complete = True
        self.error = exc
        self._transport = None
        self.close()
        self._forget(self)
        self._wake()

    def pause_writing(self) -> None:
        """Send no more of a large body for now."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Send more of a large body."""
        self._writing_paused = False
        self._send_more()

    # ------------------------------------------------------------------------------------------ what the parser calls

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request; what raises here reaches `data_received` as a parser's error."""
        if self.is_complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped, as RFC 9110, section 6.5.1 allows."""
        if not self.has_head:
            known = known_names.get(name) or learned(name)
            self.headers[known] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        """Take the head as the answer's, unless it is an informational one (RFC 9110, section 15.2)."""
        parser = self._parser
        self.status = parser.get_status_code()
        self._overhead_bytes = 0
        if self.status < 200 and self.status != 101:
            self._informational = True
            return
        self.has_head = True
        if self.status == 101 or not parser.should_keep_alive():
            self._keeps_alive = False
        if self._is_head_request:
            self.is_complete = True
            self._parser = httptools.HttpResponseParser(self)  # this one waits for a body that never comes
            self._loosen()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        if self.is_complete:
            self._keeps_alive = False
            return
        self._parts.append(data)
        self._parts_bytes += len(data)
        self._overhead_bytes = 0

    def on_message_complete(self) -> None:
        """Note the answer's end, or that of an informational one before it."""
        if self._informational:
            self._informational = False
            self.headers = {}
        else:
            self.is_complete = True

    # -------------------------------------------------------------------------------------------- what the pacer calls

    def pause_for_others(self) -> None:
        """Read no more for now, see `ReadPacer`."""
        self._is_held_back = True
        if self._transport is not None and not self.is_closed:
            self._transport.pause_reading()

    def resume_after_others(self) -> None:
        """Read again, unless the body's reader has too much."""
        self._is_held_back = False
        if not self._reading_paused:
            self._resume_reading()

    # -------------------------------------------------------------------------------------------------------- private

    def _loosen(self) -> None:
        """Take a bare LF for a line's end (RFC 9112, section 2.2), and blanks behind a chunk's size."""
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)

    def _is_relayed(self) -> bool:
        """Give what arrived to the relay, if there is one; return whether it took it.

        Only while the reader waits: then all that came before has gone its way, and the order stays.
        """
        relay, parts = self.relay, self._parts
        if relay is None or self._waiter is None or not parts or self.is_complete or self.garbage is not None:
            return False
        if not relay(parts[0] if len(parts) == 1 else b"".join(parts)):
            return False
        parts.clear()
        self._parts_bytes = 0
        # As a read would have; a timer that fires before it looks again.
        self._deadline = min(self.loop.time() + self.relay_idle_seconds, self.relay_until)
        return True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # the next wait sets the timer
        if self._deadline - self.loop.time() > _TIMER_SECONDS:
            self._set_timer()
            return
        self._waiter = None
        waiter.set_exception(TimeoutError())

    def _send(self, transport: asyncio.Transport, head: bytes, body: bytes | None) -> None:
        if body is None or len(body) <= _WHOLE_WRITE_BYTES:
            self._batch.write_first(transport, head if body is None else head + body)
            return
        transport.write(head)
        self._unsent = memoryview(body)
        self._send_more()

    def _send_more(self) -> None:
        """Write pieces of the body until the transport has enough; `resume_writing` goes on."""
        while self._unsent is not None and not self._writing_paused and self._transport is not None:
            piece = self._unsent[:_WHOLE_WRITE_BYTES]
            rest = self._unsent[_WHOLE_WRITE_BYTES:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)

    def _pause_reading(self) -> None:
        if self._transport is not None and not self.is_closed:
            self._transport.pause_reading()
            self._reading_paused = True

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self._transport is not None and not self.is_closed and not self._is_held_back:
            self._transport.resume_reading()

    def _not_http(self, reason: str) -> None:
        """Trust nothing that comes after this; an answer that was complete before stays good."""
        self._keeps_alive = False
        if not self.is_complete:
            self.garbage = reason

    def _lasts_until_close(self) -> bool:
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            return not coding.lower().rstrip().endswith("chunked")
        return "content-length" not in self.headers
