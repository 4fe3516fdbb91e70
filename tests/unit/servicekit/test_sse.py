"""The decoder against the examples of the specification, and the encoder.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import pytest

from servicekit.errors import UpstreamBadResponseError
from servicekit.sse import ServerSentEvent, SseDecoder, encode_event


def _decode(*reads: bytes) -> list[ServerSentEvent]:
    decoder = SseDecoder()
    return [event for read in reads for event in decoder.feed(read)]


def test_decoder_joins_data_lines_of_the_stock_example() -> None:
    """The specification's first example: three data lines are one payload with line feeds."""
    assert _decode(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [ServerSentEvent(b"YHOO\n+2\n10")]


def test_decoder_ignores_comments_and_ids_of_the_second_example() -> None:
    """A comment block is no event; `id` fields do not show; the last block is incomplete and is discarded."""
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    assert _decode(stream) == [ServerSentEvent(b"first event"), ServerSentEvent(b"second event")]


def test_decoder_dispatches_empty_data_of_the_third_example() -> None:
    """`data` alone is an event with empty data; two of them are one line feed; an unfinished one is nothing."""
    assert _decode(b"data\n\ndata\ndata\n\ndata:") == [ServerSentEvent(b""), ServerSentEvent(b"\n")]


def test_decoder_takes_one_space_off_as_in_the_fourth_example() -> None:
    """`data:test` and `data: test` are the same; a second space belongs to the data."""
    assert _decode(b"data:test\n\ndata: test\n\ndata:  test\n\n") == [
        ServerSentEvent(b"test"),
        ServerSentEvent(b"test"),
        ServerSentEvent(b" test"),
    ]


def test_decoder_reads_event_names_of_the_named_example() -> None:
    """The specification's add/remove example: each event has its name."""
    stream = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n"
    assert _decode(stream) == [ServerSentEvent(b"73857293", "add"), ServerSentEvent(b"2153", "remove")]


def test_decoder_does_not_dispatch_an_event_without_data() -> None:
    """A block with a name only is no event, and its name does not reach the next one."""
    assert _decode(b"event: ping\n\ndata: x\n\n") == [ServerSentEvent(b"x")]


def test_decoder_ignores_unknown_fields() -> None:
    """`retry` and fields that nobody knows are skipped."""
    assert _decode(b"retry: 10\nfoo: bar\ndata: x\nbar\n\n") == [ServerSentEvent(b"x")]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_decoder_takes_every_line_end(line_end: bytes) -> None:
    """LF, CRLF and CR end lines alike."""
    stream = b"data: a\ndata: b\n\ndata: c\n\n".replace(b"\n", line_end)
    assert _decode(stream) == [ServerSentEvent(b"a\nb"), ServerSentEvent(b"c")]


def test_decoder_takes_a_crlf_split_between_two_reads() -> None:
    """The LF of a split CRLF is no second line end."""
    assert _decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [ServerSentEvent(b"a\nb")]


def test_decoder_takes_a_cr_followed_by_an_empty_read() -> None:
    """An empty read between CR and LF changes nothing."""
    assert _decode(b"data: a\r", b"", b"\ndata: b\r\n\r\n") == [ServerSentEvent(b"a\nb")]


@pytest.mark.parametrize("reads", [[b"\xef\xbb\xbfdata: x\n\n"], [b"\xef", b"\xbb", b"\xbfdata: x\n\n"]])
def test_decoder_strips_one_byte_order_mark(reads: list[bytes]) -> None:
    """A byte order mark at the start is skipped, also where it is split."""
    assert _decode(*reads) == [ServerSentEvent(b"x")]


def test_decoder_keeps_a_character_split_inside_utf_8() -> None:
    """Bytes of a character that come in two reads end up in one payload."""
    whole = "data: città è già lì\n\n".encode()
    cut = whole.index("à".encode()) + 1
    assert _decode(whole[:cut], whole[cut:]) == [ServerSentEvent("città è già lì".encode())]


@pytest.mark.parametrize(
    ("stream", "partial"),
    [(b"", False), (b"data: x\n\n", False), (b"data: x\n\n\n", False), (b"data: x\n", True), (b"data", True)],
)
def test_decoder_knows_whether_the_stream_was_cut_inside_an_event(stream: bytes, partial: bool) -> None:
    """What is left after the last event is a partial one, unless it is only line ends."""
    decoder = SseDecoder()
    decoder.feed(stream)
    assert decoder.has_partial_event is partial


def test_decoder_refuses_an_event_beyond_the_limit() -> None:
    """A broken upstream cannot fill the memory."""
    decoder = SseDecoder(max_event_bytes=100)
    decoder.feed(b"data: " + b"x" * 90)
    with pytest.raises(UpstreamBadResponseError, match="larger than 100 bytes"):
        decoder.feed(b"x" * 10)


def test_decoder_takes_many_events_of_one_read_beyond_the_limit() -> None:
    """The limit is one event's, not one read's."""
    assert len(SseDecoder(max_event_bytes=100).feed(b"data: 0123456789\n\n" * 50)) == 50


@pytest.mark.parametrize(
    ("data", "name", "encoded"),
    [
        (b"{}", "", b"data: {}\n\n"),
        (b"a\nb", "", b"data: a\ndata: b\n\n"),
        (b"", "", b"data: \n\n"),
        (b"x", "error", b"event: error\ndata: x\n\n"),
    ],
)
def test_encode_event_writes_what_the_decoder_reads(data: bytes, name: str, encoded: bytes) -> None:
    """An event has the wire form of the specification and comes back as it was."""
    assert encode_event(data, name) == encoded
    assert _decode(encoded) == [ServerSentEvent(data, name)]
