"""Checks the events of a service's stream, and passes them on: OpenAI's chunks, OPEA's tokens, plain text."""

from __future__ import annotations

import ast
import codecs
from typing import Any

from megaservice.nodes.base import StreamPart
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import Target
from servicekit.http.upstream_errors import error_from_complaint, read_complaint
from servicekit.openai.answers import decode_object
from servicekit.openai.assembler import ChatAssembler
from servicekit.openai.stream_end import StreamState
from servicekit.sse import DONE, ServerSentEvent, encode_event

_TOKEN_STARTS = (b"b'", b'b"')


class UpstreamEvents:
    """Turns the events of one stream into parts, and knows whether it ended well.

    Parts are held back until one says something, so that an empty stream can still become an error with a status.

    Args:
        target: Whom an error names.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._assembled = ChatAssembler()
        self._chunk_count = 0
        self._texts: list[str] = []
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: list[StreamPart] = []
        self._state = StreamState()

    @property
    def done(self) -> bool:
        """Whether `[DONE]` came."""
        return self._state.done

    def read(self, event: ServerSentEvent) -> list[StreamPart]:
        """Return the parts to pass on after this event.

        Raises:
            ServiceError: The event is an error, or broken.
        """
        if event.data.strip() == DONE:
            self._state.done = True
            return []
        if event.event == "error":
            raise error_from_complaint(read_complaint(event.data), None, self._target)
        self._state.has_begun = True
        text = self._take(event.data)
        self._texts.append(text)
        self._state.has_said = self._state.has_said or bool(text)
        self._held.append(StreamPart(encode_event(event.data, event.event), text))
        return self._released() if self._state.has_said else []

    def end(self, *, was_cut: bool) -> list[StreamPart]:
        """Return the parts that are left when the stream has ended.

        Args:
            was_cut: Whether it ended inside an event.

        Raises:
            UpstreamBadResponseError: The stream was empty or ended in its middle.
        """
        self._state.check_end(self._target, was_cut=was_cut)
        return self._released()

    @property
    def whole(self) -> dict[str, Any]:
        """What JSON mode would have answered: a `chat.completion`, or a TextDoc."""
        return self._assembled.completion() if self._chunk_count else {"text": "".join(self._texts)}

    def _take(self, data: bytes) -> str:
        """Return the text that an event adds."""
        if data.startswith(_TOKEN_STARTS):
            return self._utf8.decode(_token_bytes(data))
        if data.lstrip().startswith(b"{"):
            return self._take_object(decode_object(data, self._target))
        return data.decode("utf-8", "replace")

    def _take_object(self, document: dict[str, Any]) -> str:
        choices = document.get("choices")
        if not isinstance(choices, list):
            self._state.has_said = True  # a dialect of its own (LangServe's `ops`): a hook may know what it says
            text = document.get("text")
            return text if isinstance(text, str) else ""
        if not all(isinstance(choice, dict) for choice in choices):
            raise UpstreamBadResponseError(f"{self._target} sent an event that is no chunk.")
        self._chunk_count += 1
        for choice in choices:
            if not isinstance(choice.get("delta"), dict):  # the older kind: a text completion
                choice["delta"] = {"content": choice.get("text")}
            self._state.finish_reason = choice.get("finish_reason") or self._state.finish_reason
            said = any(value for name, value in choice["delta"].items() if name != "role")
            self._state.has_said = self._state.has_said or said
        return self._assembled.add(document)

    def _released(self) -> list[StreamPart]:
        parts, self._held = self._held, []
        return parts


def _token_bytes(data: bytes) -> bytes:
    """Return the bytes that one of OPEA's tokens, `b'...'`, stands for."""
    try:
        value = ast.literal_eval(data.decode("utf-8"))
    except (SyntaxError, ValueError):  # stock writes some without escapes
        return data[2:-1]
    return value if isinstance(value, bytes) else data
