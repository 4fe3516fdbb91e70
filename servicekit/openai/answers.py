"""Checks what an upstream answered and writes it in OpenAI's exact form, without I/O.

No answer leaves here that says nothing and does not say why: an answer without text, tool call or telling
`finish_reason` is an error, in JSON and in streams alike.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, TypeGuard

import orjson

from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import Target
from servicekit.http.upstream_errors import complaint_in, error_from_complaint, read_complaint
from servicekit.ids import new_id
from servicekit.openai.chat import ChatObject
from servicekit.sse import DONE, ServerSentEvent, encode_event

#: The fields of an answer that needs no change, in our order.
_PLAIN_ANSWER = ("id", "object", "created", "model", "choices", "usage")
_PLAIN_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
#: The fields of a choice that adds text and nothing else.
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason"})
#: With one of these an answer may be empty: a reasoning model used up its tokens, or a filter held the text back.
_TELLING_REASONS = frozenset({"length", "content_filter"})


def read_completion(body: bytes, target: Target, model: str | None = None) -> ChatObject:
    """Decode and check the body of a 200.

    Args:
        body: The whole body.
        target: Whom an error names.
        model: Written into the answer as `model`; None keeps the upstream's.

    Raises:
        UpstreamBadResponseError: No JSON, no `chat.completion`, or one that is empty.
        ServiceError: It is an error object; mapped as an error status would be.
    """
    parsed = _parsed(body, target)
    if _is_plain_answer(parsed):
        return parsed if model is None else {**parsed, "model": model}
    document = _uncomplaining(parsed, body, target)
    choices = _choices(document)
    if not choices or not all(isinstance(choice.get("message"), dict) for choice in choices):
        raise UpstreamBadResponseError(f"{target} answered JSON that is no chat completion: {_shown(body)}")
    if not any(_says_something(choice["message"], choice.get("finish_reason")) for choice in choices):
        raise UpstreamBadResponseError(f"{target} answered a chat completion without any text.", retryable=True)
    return {
        **_head(document, "chat.completion", model),
        "choices": [_in_order(choice, "index", "message", "finish_reason") for choice in choices],
        "usage": _usage(document),
        **_own_fields(document),
    }


def _is_plain_answer(document: Any) -> TypeGuard[ChatObject]:  # noqa: ANN401 - any JSON
    """Return whether an answer is one text in just our form; nearly all are, those of our own services."""
    if type(document) is not dict or tuple(document) != _PLAIN_ANSWER or document["object"] != "chat.completion":
        return False
    choices, usage = document["choices"], document["usage"]
    if type(choices) is not list or len(choices) != 1 or type(usage) is not dict or tuple(usage)[:3] != _PLAIN_USAGE:
        return False
    choice = choices[0]
    if type(choice) is not dict or tuple(choice) != ("index", "message", "finish_reason") or choice["index"] != 0:
        return False
    message = choice["message"]
    if type(message) is not dict or tuple(message) != ("role", "content") or not document["id"]:
        return False
    return type(message["content"]) is str and message["content"] != "" and type(choice["finish_reason"]) is str


class Chunk(NamedTuple):
    """A checked chunk of a stream.

    Attributes:
        document: In OpenAI's form.
        text: What it adds, if that is a piece of the first choice's text and nothing else; else None.
        data: Its JSON as it came, if it came in just this form: then nothing need be written anew.
    """

    document: ChatObject
    text: str | None = None
    data: bytes | None = None

    def event(self) -> bytes:
        """Return the chunk as a server-sent event."""
        return encode_event(orjson.dumps(self.document)) if self.data is None else b"data: %b\n\n" % self.data


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
        self._plain_keys: frozenset[str] = frozenset()
        self._held: list[Chunk] = []
        self._has_said = False
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None
        #: Whether `[DONE]` came.
        self.done = False

    def read(self, event: ServerSentEvent) -> list[Chunk]:
        """Return the chunks to pass on after this event.

        Raises:
            UpstreamBadResponseError: The event is no chunk.
            ServiceError: The event is an error; mapped as an error status would be.
        """
        data = event.data
        if data.strip() == DONE:
            self.done = True
            return []
        if event.event == "error":
            raise error_from_complaint(read_complaint(data), None, self._target)
        parsed = _parsed(data, self._target)
        text = self._plain_text(parsed) if self._has_said else None
        if text is not None:
            return [Chunk(parsed, text, data if b"\n" not in data else None)]
        document = _uncomplaining(parsed, data, self._target)
        self._usage = _usage(document) or self._usage
        choices = _choices(document)
        if choices is None:
            raise UpstreamBadResponseError(f"{self._target} sent an event that is no chunk: {_shown(event.data)}")
        return self._pass_on(document, choices) if choices else []

    def end(self, was_cut: bool) -> list[Chunk]:
        """Return the chunks that are left when the stream has ended, `usage` last.

        Args:
            was_cut: Whether it ended inside an event.

        Raises:
            UpstreamBadResponseError: The stream was empty or ended in its middle.
        """
        if was_cut or not (self.done or self._finish_reason):
            raise self._broken(was_cut)
        if not self._has_said and self._finish_reason not in _TELLING_REASONS:
            raise UpstreamBadResponseError(f"{self._target} answered a stream without any text.", retryable=True)
        chunks, self._held = self._held, []
        if self._usage is not None and self._head is not None:
            chunks.append(Chunk({**self._head, "choices": [], "usage": self._usage}))
        return chunks

    def _plain_text(self, document: Any) -> str | None:  # noqa: ANN401 - any JSON
        """Return the text of a chunk that adds a piece of text and is already in our form; None of any other.

        Nearly all chunks are such, so each is looked at no more than that takes.
        """
        if type(document) is not dict or document.keys() != self._plain_keys or self._head is None:
            return None
        for name, value in self._head.items():
            if document[name] != value:
                return None
        choices = document["choices"]
        if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
            return None
        choice = choices[0]
        if choice.keys() != _PLAIN_CHOICE or choice["index"] != 0 or choice["finish_reason"] is not None:
            return None
        delta = choice["delta"]
        if type(delta) is not dict or len(delta) != 1:
            return None
        text = delta.get("content")
        return text if type(text) is str and text else None

    def _pass_on(self, document: dict[str, Any], choices: list[dict[str, Any]]) -> list[Chunk]:
        if self._head is None:
            self._head = _head(document, "chat.completion.chunk", self._model)
            self._plain_keys = frozenset({*self._head, "choices"})
            for choice in choices:
                choice["delta"] = {"role": "assistant", **_delta(choice)}
        for choice in choices:
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            self._has_said = self._has_said or _has_substance(_delta(choice))
        written = [_stream_choice(choice) for choice in choices]
        chunk = {**self._head, "choices": written, **_own_fields(document)}
        self._held.append(Chunk(chunk))
        if not self._has_said:
            return []
        chunks, self._held = self._held, []
        return chunks

    def _broken(self, was_cut: bool) -> ServiceError:
        if self._head is None and not was_cut:
            return UpstreamBadResponseError(f"{self._target} ended its stream without any event.", retryable=True)
        where = "inside an event" if was_cut else "without a finish_reason or [DONE]"
        return UpstreamBadResponseError(f"{self._target} ended its stream {where}.", retryable=True)


def decode_object(data: bytes, target: Target) -> dict[str, Any]:
    """Decode a JSON object that is no complaint.

    Raises:
        UpstreamBadResponseError: It is not JSON, or no object.
        ServiceError: It is an error object; mapped as an error status would be.
    """
    return _uncomplaining(_parsed(data, target), data, target)


def _parsed(data: bytes, target: Target) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UpstreamBadResponseError(f"{target} answered broken JSON: {_shown(data)}") from exc


def _uncomplaining(document: object, data: bytes, target: Target) -> dict[str, Any]:
    complaint = complaint_in(document)
    if complaint is not None:
        raise error_from_complaint(complaint, None, target)
    if not isinstance(document, dict):
        raise UpstreamBadResponseError(f"{target} answered JSON that is no object: {_shown(data)}")
    return document


def _choices(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the choices, None if there is no list of them under that name."""
    choices = document.get("choices")
    if isinstance(choices, list) and all(_is_choice(choice) for choice in choices):
        return choices
    return None


def _is_choice(choice: object) -> bool:
    """Whether all that is read of a choice here and behind has OpenAI's types."""
    if not isinstance(choice, dict):
        return False
    message = choice.get("message")
    return (
        _is_index(choice.get("index"))
        and _is_text(choice.get("finish_reason"))
        and _is_message(choice.get("delta"))
        and (_is_message(message) or _has_parts(message))
    )


def _is_message(message: object) -> bool:
    if message is None:
        return True
    return isinstance(message, dict) and _is_text(message.get("content")) and _calls_tools_well(message)


def _has_parts(message: object) -> bool:
    """Whether a message's content is a list of parts, as some servers send it."""
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and all(isinstance(part, dict) for part in content)


def _calls_tools_well(message: dict[str, Any]) -> bool:
    calls = message.get("tool_calls")
    return calls is None or (isinstance(calls, list) and all(_is_tool_call(call) for call in calls))


def _is_tool_call(call: object) -> bool:
    if not isinstance(call, dict) or not _is_index(call.get("index")):
        return False
    function = call.get("function")
    if not isinstance(function, dict):
        return function is None
    return _is_text(function.get("name")) and _is_text(function.get("arguments"))


def _is_index(value: object) -> bool:
    return value is None or isinstance(value, int)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _head(document: dict[str, Any], kind: str, model: str | None) -> ChatObject:
    """Return the fields that every object starts with, in OpenAI's order; a foreign server's extras end here."""
    head = {
        "id": document.get("id") or new_id("chatcmpl-"),
        "object": kind,
        "created": document.get("created") or int(time.time()),
        "model": model or document.get("model", ""),
    }
    fingerprint = document.get("system_fingerprint")
    if isinstance(fingerprint, str) and not fingerprint.endswith("unknown"):  # llama.cpp's "b0-unknown" tells nothing
        head["system_fingerprint"] = fingerprint
    return head


def _usage(document: dict[str, Any]) -> dict[str, Any] | None:
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    return _in_order(usage, "prompt_tokens", "completion_tokens", "total_tokens")


def _in_order(fields: dict[str, Any], *first: str) -> dict[str, Any]:
    """Return the same fields, those that are named first: people read these answers in a terminal."""
    return {**{name: fields[name] for name in first if name in fields}, **fields}


def _own_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that our own services add to OpenAI's; a notice's code must fit into a header."""
    notice = document.get("notice")
    code = notice.get("code") if isinstance(notice, dict) else None
    return {"notice": notice} if isinstance(code, str) and code.isascii() and code.isidentifier() else {}


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


def _has_substance(fields: dict[str, Any]) -> bool:
    """Whether a message or delta says something: text, reasoning, a refusal, a tool call, audio."""
    return any(value for name, value in fields.items() if name != "role")


def _says_something(message: dict[str, Any], finish_reason: object) -> bool:
    return _has_substance(message) or finish_reason in _TELLING_REASONS


def _shown(data: bytes) -> str:
    text = data[:200].decode("utf-8", "replace")
    return text + "..." if len(data) > 200 else text or "(nothing)"
