"""Checks the chunks of a stream and writes them in OpenAI's exact form, without I/O."""

from __future__ import annotations

from typing import Any

import orjson

from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import Target
from servicekit.http.upstream_errors import error_from_complaint, read_complaint
from servicekit.openai.answers import (
    answer_head,
    choices_of,
    has_substance,
    is_plain_chunk,
    own_fields,
    parsed,
    shown,
    uncomplaining,
    usage_of,
)
from servicekit.openai.chat import ChatObject
from servicekit.openai.plain_form import PlainForm, learn_plain_form
from servicekit.openai.stream_end import StreamState
from servicekit.sse import DONE, ServerSentEvent, encode_event

_OF_OPENAI = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})
#: A stream whose chunks look different each time is not looked at for its form for ever.
_FORMS_TRIED = 3


class ParsedChunks:
    """Some chunks that were decoded and checked, those of one read.

    Attributes:
        text: None: what they add is in the documents.
    """

    __slots__ = ("_documents",)
    text = None

    def __init__(self, documents: list[ChatObject]) -> None:
        self._documents = documents

    def documents(self) -> list[ChatObject]:
        """Return the chunks."""
        return self._documents

    def events(self) -> bytes:
        """Return as server-sent events those that have choices; the usage's chunk has none."""
        chunks = (orjson.dumps(document) for document in self._documents if document["choices"])
        return b"".join([encode_event(chunk) for chunk in chunks])


class ChunkReader:
    """Turns the events of one stream into checked chunks.

    Chunks are held back until one says something, so that an empty stream can still become an error with a status.

    Args:
        target: Whom an error names.
        model: Written into each chunk as `model`; None keeps the upstream's.
    """

    def __init__(self, target: Target, model: str | None = None) -> None:
        self._model = model
        self._target = target
        self._head: ChatObject | None = None
        self._held: list[ChatObject] = []
        self._state = StreamState()
        self._usage: dict[str, Any] | None = None
        self._forms_left = _FORMS_TRIED
        #: How this stream writes a piece of text, once that is known.
        self.plain_form: PlainForm | None = None
        #: What chunks without choices carry besides OpenAI's fields, such as a pipeline's grade.
        self.attached: dict[str, Any] = {}

    @property
    def done(self) -> bool:
        """Whether `[DONE]` came."""
        return self._state.done

    def read(self, event: ServerSentEvent) -> list[ChatObject]:
        """Return the chunks to pass on after this event.

        Raises:
            UpstreamBadResponseError: The event is no chunk.
            ServiceError: The event is an error; mapped as an error status would be.
        """
        data = event.data
        if data.strip() == DONE:
            self._state.done = True
            return []
        if event.event == "error":
            raise error_from_complaint(read_complaint(data), None, self._target)
        decoded = parsed(data, self._target)
        if is_plain_chunk(decoded):
            self._learn_form(decoded, data)
            return self._pass_on_plain(decoded)
        document = uncomplaining(decoded, data, self._target)
        self._learn_form(document, data)
        self._usage = usage_of(document) or self._usage
        choices = choices_of(document)
        if choices is None:
            raise UpstreamBadResponseError(f"{self._target} sent an event that is no chunk: {shown(event.data)}")
        if not choices:
            self.attached.update((name, value) for name, value in document.items() if name not in _OF_OPENAI)
            return []
        return self._pass_on(document, choices)

    def end(self, was_cut: bool) -> list[ChatObject]:
        """Return the chunks that are left when the stream has ended, `usage` last.

        Args:
            was_cut: Whether it ended inside an event.

        Raises:
            UpstreamBadResponseError: The stream was empty or ended in its middle.
        """
        self._state.check_end(self._target, was_cut=was_cut)
        chunks, self._held = self._held, []
        if self._usage is not None and self._head is not None:
            chunks.append({**self._head, "choices": [], "usage": self._usage})
        return chunks

    def _learn_form(self, document: ChatObject, data: bytes) -> None:
        if self.plain_form is None and self._forms_left and self._state.has_said and self._head is not None:
            self._forms_left -= 1
            self.plain_form = learn_plain_form(document, data, self._head)

    def _pass_on_plain(self, document: ChatObject) -> list[ChatObject]:
        """Pass on a plain chunk, which needs no change if it begins as all of its stream do."""
        choices = document["choices"]
        if self._head is None or not self._head.items() <= document.items():
            return self._pass_on(document, choices)
        choice = choices[0]
        return self._released(document, choice["finish_reason"], says=bool(choice["delta"].get("content")))

    def _pass_on(self, document: dict[str, Any], choices: list[dict[str, Any]]) -> list[ChatObject]:
        if self._head is None:
            self._state.has_begun = True
            self._head = answer_head(document, "chat.completion.chunk", self._model)
            for choice in choices:
                choice["delta"] = {"role": "assistant", **_delta(choice)}
        reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        says = any(has_substance(_delta(choice)) for choice in choices)
        written = [_stream_choice(choice) for choice in choices]
        chunk = {**self._head, "choices": written, **own_fields(document)}
        return self._released(chunk, reasons[-1] if reasons else None, says=says)

    def _released(self, chunk: ChatObject, finish_reason: str | None, *, says: bool) -> list[ChatObject]:
        """Return what goes on with a chunk: nothing until one says something, then all that was held back."""
        state = self._state
        if finish_reason:
            state.finish_reason = finish_reason
        if state.has_said:
            return [chunk]
        self._held.append(chunk)
        if not says:
            return []
        state.has_said = True
        chunks, self._held = self._held, []
        return chunks


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def _stream_choice(choice: dict[str, Any]) -> dict[str, Any]:
    delta = _delta(choice)
    if "role" in delta and delta.get("content") is None and "tool_calls" not in delta:
        delta = {**delta, "content": ""}  # llama.cpp sends null where OpenAI sends ""
    written = {"index": choice.get("index") or 0, "delta": delta, "finish_reason": choice.get("finish_reason")}
    if choice.get("logprobs") is not None:
        written["logprobs"] = choice["logprobs"]
    return written
