"""Decoding server-sent events does not depend on how the bytes arrive or how lines end."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from servicekit.sse import ServerSentEvent, SseDecoder, encode_event

#: Any text of an event; line ends inside it become line feeds on the way, which is the format's doing.
_DATA = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=40).map(str.encode)
_EVENTS = st.lists(st.builds(ServerSentEvent, _DATA, st.sampled_from(["", "error", "add"])), max_size=6)
_LINE_ENDS = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1, max_size=7)
_CUTS = st.lists(st.integers(0, 2_000), max_size=20)


def _encode(events: list[ServerSentEvent], line_ends: list[bytes]) -> bytes:
    """Encode events, their line ends taken from the list in turn."""
    lines = b"".join(encode_event(event.data, event.event) for event in events).split(b"\n")
    return b"".join(
        line + (line_ends[index % len(line_ends)] if index < len(lines) - 1 else b"")
        for index, line in enumerate(lines)
    )


def _decode_in_pieces(data: bytes, cuts: list[int]) -> list[ServerSentEvent]:
    decoder = SseDecoder()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    return [event for piece in pieces for event in decoder.feed(piece)]


@given(_EVENTS, _CUTS)
def test_decoding_gives_back_what_was_encoded_wherever_reads_are_split(
    events: list[ServerSentEvent], cuts: list[int]
) -> None:
    """Encoding and decoding are inverse, also with cuts inside UTF-8 characters and line ends."""
    assert _decode_in_pieces(_encode(events, [b"\n"]), cuts) == events


@given(_EVENTS, _LINE_ENDS, _CUTS)
def test_decoding_does_not_depend_on_line_ends(
    events: list[ServerSentEvent], line_ends: list[bytes], cuts: list[int]
) -> None:
    """Every mix of LF, CRLF and CR means the same, unless CR then LF make one line end of two."""
    data = _encode(events, line_ends)
    whole = _decode_in_pieces(data, [])
    assert _decode_in_pieces(data, cuts) == whole
    if b"\r" not in line_ends:
        assert whole == events


@given(st.binary(max_size=200), _CUTS)
def test_decoding_any_bytes_does_not_depend_on_the_splits(data: bytes, cuts: list[int]) -> None:
    """Bytes that are no event stream are decoded the same way in one read and in many."""
    assert _decode_in_pieces(data, cuts) == _decode_in_pieces(data, [])


@given(st.text("\n\r:dat evn", max_size=60), _CUTS)
def test_decoding_what_looks_like_events_does_not_depend_on_the_splits(text: str, cuts: list[int]) -> None:
    """Random mixes of field names, colons and line ends are decoded the same way however they are read."""
    data = text.encode()
    assert _decode_in_pieces(data, cuts) == _decode_in_pieces(data, [])
