"""What an upstream's error answer means to our client: one place for every service that calls another.

Understands the error bodies of OpenAI (`{"error": {...}}`), Ollama (`{"error": "..."}`), FastAPI (`{"detail": ...}`)
and plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from servicekit.errors import (
    ContextLengthError,
    InvalidRequestError,
    ServiceError,
    UpstreamBadResponseError,
    error_from_status,
)
from servicekit.http.client import Target

#: An upstream's own words are cut to this length.
_SHOWN_CHARS = 500
#: How llama.cpp, OpenAI and vLLM say that the prompt does not fit.
_CONTEXT_CODES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
_CONTEXT_WORDS = ("maximum context length", "context size", "context window")


def error_from_answer(target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """Return the error that an answer with status >= 400 means.

    Args:
        target: Who answered; named in the message.
        status: The HTTP status.
        headers: With lower-case names.
        body: The answer's body, whatever it is.
    """
    words, codes = describe_error_body(body)
    message = f"{target} answered {status}: {words}"
    if status < 500 and (codes & _CONTEXT_CODES or any(hint in words.lower() for hint in _CONTEXT_WORDS)):
        return ContextLengthError(message, param="messages")
    if "model_not_found" in codes or (status == 404 and "model" in words.lower()):
        return InvalidRequestError(message, param="model", code="model_not_found")
    error = error_from_status(status, message, headers)
    if headers.get("x-should-retry") == "false":
        error.retryable = False
    return error


def describe_error_body(body: bytes) -> tuple[str, frozenset[str]]:
    """Return an error body's own words, and the codes and types in it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _shown(body.decode("utf-8", "replace")), frozenset()
    error = document.get("error", document) if isinstance(document, dict) else document
    if not isinstance(error, dict):
        return _shown(str(error)), frozenset()
    codes = frozenset(str(error[key]) for key in ("code", "type") if error.get(key))
    words = error.get("message") or error.get("detail") or orjson.dumps(error).decode()
    return _shown(words if isinstance(words, str) else orjson.dumps(words).decode()), codes


def json_object(target: Target, body: bytes, *, may_carry_error: bool = False) -> dict[str, Any]:
    """Decode an answer that must be a JSON object.

    Args:
        target: Who answered.
        body: The answer's body.
        may_carry_error: Whether an `error` is a proper part of the answer, such as a null grade's reason.

    Raises:
        UpstreamBadResponseError: It is not, or it is an error with status 200.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamBadResponseError(f"{target} answered 200, but its body is not valid JSON: {exc.msg}.") from exc
    if not isinstance(document, dict):
        raise UpstreamBadResponseError(f"{target} answered 200, but its body is not a JSON object.")
    if document.get("error") and not may_carry_error:
        words, _ = describe_error_body(body)
        raise UpstreamBadResponseError(f"{target} answered 200, but its body is an error: {words}")
    return document


def _shown(text: str) -> str:
    text = " ".join(text.split()) or "(an empty body)"
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
