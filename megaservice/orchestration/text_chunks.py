"""Plain text as the parts of an OpenAI stream, for nodes that speak no OpenAI."""

from __future__ import annotations

import time
from typing import Any

import orjson

from megaservice.nodes.base import StreamPart
from servicekit.ids import new_id
from servicekit.sse import encode_event


class TextChunks:
    """Writes the chunks of one answer.

    Args:
        model: The model that wrote the text.
    """

    def __init__(self, model: str) -> None:
        self._head = {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._begun = False

    def text(self, text: str) -> StreamPart:
        """Return the part that adds a text."""
        delta = {"content": text} if self._begun else {"role": "assistant", "content": text}
        self._begun = True
        return StreamPart(self._encoded(delta, None), text)

    def finish(self) -> StreamPart:
        """Return the part that ends the answer."""
        return StreamPart(self._encoded({}, "stop"), "")

    def _encoded(self, delta: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return encode_event(orjson.dumps({**self._head, "choices": [choice]}))
