"""Plain text as the parts of a stream, for nodes that speak no OpenAI: as OpenAI's chunks, or as OPEA's tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from megaservice.nodes.base import StreamPart
from servicekit.ids import new_id
from servicekit.sse import encode_event

#: OPEA's tokens: a word with the white space before it and one character after it; none of the text is lost.
_TOKEN = re.compile(r"\s*\S+\s?|\s+")


class ChunkWriter(Protocol):
    """Writes the parts of one answer's stream."""

    def parts(self, text: str) -> Iterable[StreamPart]:
        """Return the parts that add a text."""

    def end(self, finish_reason: str = "stop") -> Iterable[StreamPart]:
        """Return the parts that end the answer."""


class TokenChunks:
    """Writes OPEA's own format: `data: b'<token>'` for each token, as stock's `token_generator` does."""

    def parts(self, text: str) -> Iterable[StreamPart]:
        """Return one part for each token."""
        return [StreamPart(encode_token(token), token) for token in _TOKEN.findall(text)]

    def end(self, _finish_reason: str = "stop") -> Iterable[StreamPart]:
        """Return nothing: `[DONE]` is the whole end."""
        return ()


def encode_token(text: str) -> bytes:
    """Encode a text as one of OPEA's tokens, `data: b'...'`."""
    return encode_event(repr(text.encode()).encode())


class TextChunks:
    """Writes the chunks of one answer.

    Args:
        head: What is known of the answer: its `id`, `created` and `model`.
    """

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._head = {
            "id": head.get("id") or new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": head.get("created") or int(time.time()),
            "model": str(head.get("model") or ""),
        }
        self._begun = False

    def parts(self, text: str) -> Iterable[StreamPart]:
        """Return the one part that adds a text; none for an empty one."""
        return (self.text(text),) if text else ()

    def end(self, finish_reason: str = "stop") -> Iterable[StreamPart]:
        """Return the part that ends the answer."""
        return (self.finish(finish_reason),)

    def text(self, text: str) -> StreamPart:
        """Return the part that adds a text."""
        delta = {"content": text} if self._begun else {"role": "assistant", "content": text}
        self._begun = True
        return StreamPart(self._encoded(delta, None), text)

    def finish(self, finish_reason: str = "stop") -> StreamPart:
        """Return the part that ends the answer."""
        return StreamPart(self._encoded({}, finish_reason), "")

    def _encoded(self, delta: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return encode_event(orjson.dumps({**self._head, "choices": [choice]}))
