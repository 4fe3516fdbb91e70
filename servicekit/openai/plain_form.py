"""The quick way for what nearly every read of a stream is: pieces of text, each in the same words around it.

A model's stream repeats one chunk with another piece of text in it. Once a chunk was checked and found to be in our
form, the bytes before and after its text are known, and a read of nothing but such chunks can be passed on unchanged:
only its texts are decoded. Everything else goes the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from servicekit.openai.chat import ChatObject

_CHOICE = frozenset({"index", "delta", "finish_reason"})
_PREFIX = b"data: "
_END = b"\n\n"
#: Stands for the text while a form is tried.
_PROBE = "a probe, no text"


class PlainForm:
    """What stands before and after the text in the chunks of one stream.

    Args:
        before: From the chunk's first byte to the text's opening quote.
        after: From the text's closing quote to the chunk's last byte.
    """

    __slots__ = ("_after", "_before", "_event_after", "_event_before", "_least", "_text_begin", "_text_end")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._event_before = _PREFIX + before
        self._event_after = after + _END
        self._least = len(before) + len(after)
        #: Where the text stands in a read of one event.
        self._text_begin, self._text_end = len(self._event_before), -len(self._event_after)

    def fits(self, data: bytes) -> bool:
        """Return whether an event's data may be a chunk of this form; `text_of` decides."""
        return len(data) > self._least and data.startswith(self._before) and data.endswith(self._after)

    def text_of(self, chunks: Sequence[bytes]) -> str | None:
        """Return the text that chunks add, each of which fits; None if one of them is of another form after all."""
        begin, end = len(self._before), -len(self._after)
        pieces = [data[begin:end] for data in chunks]
        if any(piece.endswith(b"\\") for piece in pieces):  # might escape the quote behind it
            return None
        try:
            texts = orjson.loads(b'["%b"]' % b'","'.join(pieces))
        except orjson.JSONDecodeError:
            return None
        # A quote inside a piece would have made two of it.
        return "".join(texts) if len(texts) == len(pieces) else None

    def text_of_read(self, read: bytes) -> str | None:
        """Return the text that a read adds if it is nothing but whole events of this form; None if not.

        Args:
            read: Begins where an event begins.
        """
        if not (read.startswith(self._event_before) and read.endswith(self._event_after)):
            return None
        piece = read[self._text_begin : self._text_end]
        if b'"' not in piece:  # so it is one event: a token as it is made
            return _text(piece)
        skip = len(_PREFIX)
        events = read[:-2].split(_END)
        chunks = [event[skip:] for event in events if event.startswith(_PREFIX) and self.fits(event[skip:])]
        return self.text_of(chunks) if len(chunks) == len(events) else None


def _text(piece: bytes) -> str | None:
    """Return the text that stands between two quotes, without a quote in it; None if it is none."""
    try:
        text = piece.decode()
        if "\\" in text or not text.isprintable():  # escapes, or what JSON wants to be escaped
            text = orjson.loads(b'"%b"' % piece)
    except (UnicodeDecodeError, orjson.JSONDecodeError):
        return None
    return text or None


def learn_plain_form(document: ChatObject, data: bytes, head: ChatObject) -> PlainForm | None:
    """Return the form of a stream's chunks from one of them; None if it is not plain, or not in our form.

    Args:
        document: The chunk, decoded.
        data: Its JSON.
        head: The fields with which every chunk of the stream begins.
    """
    text = _plain_text(document, head)
    if text is None or b"\n" in data or b"\r" in data:
        return None
    written = b'"%b"' % orjson.dumps(text)[1:-1]
    place = data.rfind(written)
    if place < 0:
        return None  # written with other escapes
    before, after = data[: place + 1], data[place + len(written) - 1 :]
    try:
        tried = orjson.loads(before + _PROBE.encode() + after)
    except orjson.JSONDecodeError:
        return None
    return PlainForm(before, after) if _plain_text(tried, head) == _PROBE else None


def _plain_text(document: Any, head: ChatObject) -> str | None:  # noqa: ANN401 - any JSON
    """Return the text of a chunk in our form that adds a piece of the first choice's text and nothing else."""
    if not isinstance(document, dict) or document.keys() != {*head, "choices"}:
        return None
    if any(document[name] != value for name, value in head.items()):
        return None
    choices = document["choices"]
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or choice.keys() != _CHOICE:
        return None
    delta = choice["delta"]
    if choice["index"] != 0 or choice["finish_reason"] is not None or not isinstance(delta, dict):
        return None
    text = delta.get("content")
    return text if len(delta) == 1 and isinstance(text, str) and text else None


class PlainChunks:
    """Some plain chunks that came one after the other, passed on as they came.

    Attributes:
        text: What they add.
    """

    __slots__ = ("_read", "text")

    def __init__(self, read: bytes, text: str) -> None:
        self._read = read
        self.text = text

    @classmethod
    def of_events(cls, chunks: Sequence[bytes], text: str) -> PlainChunks:
        """Return the chunks of some events, by their data."""
        return cls(b"".join([b"data: %b\n\n" % data for data in chunks]), text)

    def documents(self) -> list[ChatObject]:
        """Return the chunks, decoded."""
        return [orjson.loads(event[len(_PREFIX) :]) for event in self._read[: -len(_END)].split(_END)]

    def events(self) -> bytes:
        """Return the chunks as server-sent events."""
        return self._read
