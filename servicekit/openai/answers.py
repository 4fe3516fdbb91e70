"""Checks what an upstream answered and writes it in OpenAI's exact form, without I/O; streams: chunks.py.

No answer leaves here that says nothing and does not say why: an answer without text, tool call or telling
`finish_reason` is an error, in JSON and in streams alike.
"""

from __future__ import annotations

import time
from typing import Any, TypeGuard

import orjson

from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import Target
from servicekit.http.upstream_errors import complaint_in, error_from_complaint
from servicekit.ids import new_id
from servicekit.openai.chat import ChatObject
from servicekit.openai.stream_end import TELLING_REASONS
from servicekit.secret_mask import known_secrets

#: The fields of an answer that needs no change, in our order.
_PLAIN_ANSWER = ("id", "object", "created", "model", "choices", "usage")
_PLAIN_CHUNK = ("id", "object", "created", "model", "choices")
_PLAIN_DELTAS = frozenset({("role", "content"), ("content",), ()})
_PLAIN_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


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
    decoded = parsed(body, target)
    if _is_plain_answer(decoded):
        return decoded if model is None else {**decoded, "model": model}
    document = uncomplaining(decoded, body, target)
    choices = choices_of(document)
    if not choices or not all(isinstance(choice.get("message"), dict) for choice in choices):
        raise UpstreamBadResponseError(f"{target} answered JSON that is no chat completion: {shown(body)}")
    if not any(_says_something(choice["message"], choice.get("finish_reason")) for choice in choices):
        raise UpstreamBadResponseError(f"{target} answered a chat completion without any text.", retryable=True)
    return {
        **answer_head(document, "chat.completion", model),
        "choices": [_in_order(choice, "index", "message", "finish_reason") for choice in choices],
        "usage": usage_of(document),
        **own_fields(document),
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


def is_plain_chunk(document: Any) -> TypeGuard[ChatObject]:  # noqa: ANN401 - any JSON
    """Return whether a chunk is one choice's piece of text in just our form, or its end; nearly all are."""
    if type(document) is not dict or tuple(document) != _PLAIN_CHUNK or document["object"] != "chat.completion.chunk":
        return False
    choices = document["choices"]
    if type(choices) is not list or len(choices) != 1:
        return False
    choice = choices[0]
    if type(choice) is not dict or tuple(choice) != ("index", "delta", "finish_reason") or choice["index"] != 0:
        return False
    delta, reason = choice["delta"], choice["finish_reason"]
    if type(delta) is not dict or tuple(delta) not in _PLAIN_DELTAS or not (reason is None or type(reason) is str):
        return False
    return type(delta.get("content", "")) is str and type(delta.get("role", "")) is str


def decode_object(data: bytes, target: Target) -> dict[str, Any]:
    """Decode a JSON object that is no complaint.

    Raises:
        UpstreamBadResponseError: It is not JSON, or no object.
        ServiceError: It is an error object; mapped as an error status would be.
    """
    return uncomplaining(parsed(data, target), data, target)


def parsed(data: bytes, target: Target) -> Any:  # noqa: ANN401 - any JSON
    """Decode JSON; raises as `decode_object` does."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UpstreamBadResponseError(f"{target} answered broken JSON: {shown(data)}") from exc


def uncomplaining(document: object, data: bytes, target: Target) -> dict[str, Any]:
    """Return what was decoded if it is an object and no complaint; raises as `decode_object` does."""
    complaint = complaint_in(document)
    if complaint is not None:
        raise error_from_complaint(complaint, None, target)
    if not isinstance(document, dict):
        raise UpstreamBadResponseError(f"{target} answered JSON that is no object: {shown(data)}")
    return document


def choices_of(document: dict[str, Any]) -> list[dict[str, Any]] | None:
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


def answer_head(document: dict[str, Any], kind: str, model: str | None) -> ChatObject:
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


def usage_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return an answer's or chunk's usage, OpenAI's fields first; None if it has none."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    return _in_order(usage, "prompt_tokens", "completion_tokens", "total_tokens")


def _in_order(fields: dict[str, Any], *first: str) -> dict[str, Any]:
    """Return the same fields, those that are named first: people read these answers in a terminal."""
    return {**{name: fields[name] for name in first if name in fields}, **fields}


def own_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that our own services add to OpenAI's; a notice's code must fit into a header."""
    notice = document.get("notice")
    code = notice.get("code") if isinstance(notice, dict) else None
    return {"notice": notice} if isinstance(code, str) and code.isascii() and code.isidentifier() else {}


def has_substance(fields: dict[str, Any]) -> bool:
    """Whether a message or delta says something: text, reasoning, a refusal, a tool call, audio."""
    return any(value for name, value in fields.items() if name != "role")


def _says_something(message: dict[str, Any], finish_reason: object) -> bool:
    return has_substance(message) or finish_reason in TELLING_REASONS


def shown(data: bytes) -> str:
    """Return the beginning of what came, for an error's message."""
    text = known_secrets().masked(data[:2000].decode("utf-8", "replace"))
    return text[:200] + "..." if len(text) > 200 else text or "(nothing)"
