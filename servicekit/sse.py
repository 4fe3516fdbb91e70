"""Server-sent events, both ways, without I/O.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
Works on bytes, because a UTF-8 character may be split between two reads and JSON is decoded from bytes anyway.
"""

from __future__ import annotations

from typing import NamedTuple

from servicekit.errors import UpstreamBadResponseError

#: The payload that ends an OpenAI stream.
DONE = b"[DONE]"
#: That payload as a whole event.
DONE_EVENT = b"data: [DONE]\n\n"
#: Events larger than this are refused, so that a broken upstream cannot fill the memory.
MAX_EVENT_BYTES = 16 * 1024 * 1024

#: A read of whole events up to this size need not go through the buffer.
_WHOLE_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event: its `data`, and its `event` name ("" for the default, "message")."""

    data: bytes
    event: str = ""


class SseDecoder:
    """Turns reads of any size into events; the result does not depend on where the reads were split.

    Args:
        max_event_bytes: An event larger than this raises.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._after_carriage_return = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next read and return the events that it completes.

        Raises:
            UpstreamBadResponseError: An event grew beyond `max_event_bytes`.
        """
        if self._at_start and chunk and chunk[0] != _BYTE_ORDER_MARK[0] and not self._buffer:
            self._at_start = False
        if self.is_between_events and _is_whole(chunk):
            return [event for block in chunk[:-2].split(b"\n\n") if (event := _parse_block(block)) is not None]
        self._buffer += self._with_line_feeds(chunk)
        if self._at_start and not self._strip_byte_order_mark():
            return []
        events = []
        while (end := self._buffer.find(b"\n\n", self._searched)) >= 0:
            block = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._searched = 0
            event = _parse_block(block)
            if event is not None:
                events.append(event)
        self._searched = max(0, len(self._buffer) - 1)
        if len(self._buffer) > self._max_event_bytes:
            raise UpstreamBadResponseError(
                f"An event of the stream is larger than {self._max_event_bytes} bytes; it was refused."
            )
        return events

    @property
    def is_between_events(self) -> bool:
        """Whether the next read begins where an event begins."""
        return not (self._buffer or self._at_start or self._after_carriage_return)

    @property
    def has_partial_event(self) -> bool:
        """Whether a stream that ended here was cut inside an event."""
        return bool(self._buffer.strip(b"\n"))

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """Replace CRLF and CR by LF, also where a CRLF was split between two reads."""
        if self._after_carriage_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_carriage_return = False
        if not chunk or b"\r" not in chunk:
            self._after_carriage_return = self._after_carriage_return and not chunk
            return chunk
        self._after_carriage_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _strip_byte_order_mark(self) -> bool:
        if len(self._buffer) < 3 and _BYTE_ORDER_MARK.startswith(bytes(self._buffer)):
            return False
        if self._buffer.startswith(_BYTE_ORDER_MARK):
            del self._buffer[:3]
        self._at_start = False
        return True


def _is_whole(chunk: bytes) -> bool:
    """Whether a read is nothing but whole events, as it mostly is."""
    return chunk.endswith(b"\n\n") and b"\r" not in chunk and len(chunk) <= _WHOLE_BYTES


def _parse_block(block: bytes) -> ServerSentEvent | None:
    """Interpret the lines of one event; None for comments and events without data."""
    if block.startswith(b"data: ") and b"\n" not in block:  # nearly every event of an LLM
        return ServerSentEvent(block[6:])
    data: list[bytes] = []
    name = ""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return ServerSentEvent(b"\n".join(data), name) if data else None


def encode_event(data: bytes, event: str = "") -> bytes:
    """Write one event; a payload with line feeds becomes several `data:` lines."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    return head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
