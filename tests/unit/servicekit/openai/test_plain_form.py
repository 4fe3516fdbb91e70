"""Reads of nothing but plain chunks: passed on as they came, and never a wrong text."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.openai.plain_form import PlainChunks, PlainForm, learn_plain_form
from servicekit.sse import SseDecoder

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}


def _chunk(delta: dict[str, Any], **more: Any) -> bytes:
    """Encode a chunk in just our form."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return orjson.dumps({**HEAD, "choices": choices, **more})


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _form() -> PlainForm:
    data = _chunk({"content": "Ciao"})
    form = learn_plain_form(orjson.loads(data), data, HEAD)
    assert form is not None
    return form


@pytest.mark.parametrize(
    "data",
    [
        _chunk({"content": "!"}, timings={}),
        _chunk({"content": "!"}, created=6),
        _chunk({"content": "!"}, model="other"),
        _chunk({"content": "!", "reasoning": "hm"}),
        _chunk({"content": ""}),
        _chunk({"content": ["!"]}),
        _chunk({}, choices=[]),
        _chunk({}, choices=[{"index": 1, "delta": {"content": "!"}, "finish_reason": None}]),
        _chunk({}, choices=[{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}]),
        _chunk({"content": "perch\u00e9"}).replace("\u00e9".encode(), b"\\u00e9"),
    ],
)
def test_chunk_in_another_form_teaches_nothing(data: bytes) -> None:
    """Only what is certainly right is passed on unread."""
    assert learn_plain_form(orjson.loads(data), data, HEAD) is None


def test_form_is_learnt_though_the_text_stands_elsewhere_too() -> None:
    """A piece that is also the model's name."""
    data = _chunk({"content": "m"})
    form = learn_plain_form(orjson.loads(data), data, HEAD)
    assert form is not None
    assert form.text_of_read(_event(_chunk({"content": "x"}))) == "x"


def test_form_may_have_blanks_and_another_order() -> None:
    """As Python's own encoder writes it."""
    data = (
        b'{"model": "m", "id": "c", "created": 5, "object": "chat.completion.chunk", '
        b'"choices": [{"delta": {"content": "Ciao"}, "index": 0, "finish_reason": null}]}'
    )
    form = learn_plain_form(orjson.loads(data), data, HEAD)
    assert form is not None
    assert form.text_of_read(_event(data.replace(b"Ciao", b"!"))) == "!"


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8))
def test_read_of_plain_chunks_gives_their_texts(texts: list[str]) -> None:
    """Whatever the texts are; some are left to the long way, none is read wrongly."""
    read = b"".join(_event(_chunk({"content": text})) for text in texts)
    found = _form().text_of_read(read)
    assert found in (None, "".join(texts))
    if not any(text.endswith("\\") for text in texts):
        assert found == "".join(texts)
    chunks = PlainChunks(read, "".join(texts))
    decoded = [orjson.loads(event.data) for event in SseDecoder().feed(read)]
    assert chunks.documents() == decoded
    assert chunks.events() == read


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=4))
def test_read_with_anything_in_the_place_of_the_text_is_never_read_wrongly(pieces: list[bytes]) -> None:
    """What is no JSON text, or more than one, takes the long way."""
    before, after = _chunk({"content": "Ciao"}).split(b"Ciao")
    read = b"".join(_event(before + piece + after) for piece in pieces)
    found = _form().text_of_read(read)
    if found is not None:
        decoded = [orjson.loads(event.data) for event in SseDecoder().feed(read)]
        assert found == "".join(chunk["choices"][0]["delta"]["content"] for chunk in decoded)


@pytest.mark.parametrize(
    "pieces",
    [[b'a","b'], [b"x\\", b'y","z'], [b'a"}}]} '], [b"a\n"], [b"\xff"], [b""]],
)
def test_pieces_that_would_fool_a_careless_reader_take_the_long_way(pieces: list[bytes]) -> None:
    """A quote, a backslash before a quote, a line's end, broken UTF-8, nothing."""
    before, after = _chunk({"content": "Ciao"}).split(b"Ciao")
    assert _form().text_of_read(b"".join(_event(before + piece + after) for piece in pieces)) is None


@pytest.mark.parametrize(
    "read",
    [
        b"",
        b"\n\n",
        b"data: [DONE]\n\n",
        _event(_chunk({"content": "!"}))[:-1],
        _event(_chunk({"content": "!"})) + b": comment\n\n",
        _event(_chunk({"content": "!"})) + b"data: [DONE]\n\n",
    ],
)
def test_read_with_anything_else_in_it_takes_the_long_way(read: bytes) -> None:
    """The end of a stream, cut events, comments."""
    assert _form().text_of_read(read) is None
