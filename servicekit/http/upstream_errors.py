"""What upstreams say when they fail, in each of the shapes in use, as one of our errors.

OpenAI, llama.cpp, Ollama's `/v1`: `{"error": {"message", "type", "code"}}`. Ollama's own API, TGI: `{"error": "text"}`.
FastAPI: `{"detail": ...}`. vLLM, FastChat: `{"object": "error", "message", "code"}`. Proxies: plain text or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from servicekit.errors import (
    ContextLengthError,
    InvalidRequestError,
    ServiceError,
    UpstreamError,
    error_from_status,
)
from servicekit.http.client import Target
from servicekit.secret_mask import known_secrets

#: An upstream's text is cut to this length in our messages.
_SHOWN_CHARS = 400

_CONTEXT_CODES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
#: The wordings of vLLM, OpenAI and TGI, for servers that send no code.
_CONTEXT_TEXT = re.compile(
    r"maximum context length|exceeds the available context size|"
    r"inputs?` (tokens|must have less than)|must have less than \d+ tokens",
    re.IGNORECASE,
)
_UNKNOWN_MODEL_TEXT = re.compile(r"\bmodel\b.*\b(not found|does not exist|unknown)\b", re.IGNORECASE | re.DOTALL)
#: llama.cpp answers these with 500, though it is the request that cannot be served.
_UNSUPPORTED_TEXT = re.compile(r"\binput is not supported\b", re.IGNORECASE)
_HTML_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an upstream said about its failure.

    Attributes:
        text: Its own words, cut to a sane length; "" if it said none.
        codes: Its `code` and `type`, lower case.
        status: The HTTP status that its body names, if it does.
        param: The place in the request that it blames.
    """

    text: str
    codes: frozenset[str] = frozenset()
    status: int | None = None
    param: str | None = None

    @property
    def is_context_too_long(self) -> bool:
        """Whether the prompt did not fit."""
        return bool(self.codes & _CONTEXT_CODES) or bool(_CONTEXT_TEXT.search(self.text))

    def is_model_unknown(self, status: int) -> bool:
        """Whether the upstream has no model of the name that it was asked for."""
        if "model_not_found" in self.codes:
            return True
        return status == 404 and bool(_UNKNOWN_MODEL_TEXT.search(self.text))


def error_from_answer(target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """Return the error that our client sees for an answer with an error status.

    Args:
        target: Who answered; named in the message.
        status: The HTTP status.
        headers: With lower-case names.
        body: Whatever was answered.
    """
    complaint = read_complaint(body)
    if complaint.is_model_unknown(status):
        message = f"{target} answered {status}: {complaint.text}"
        return InvalidRequestError(message, param="model", code="model_not_found")
    if status < 400:
        return UpstreamError(
            f"{target} answered {status}; a 200 was expected. Correct the address in the configuration."
        )
    error = error_from_complaint(complaint, status, target, headers)
    if headers.get("x-should-retry") == "false":
        error.retryable = False
    return error


def read_complaint(body: bytes) -> Complaint:
    """Read the body of an error answer, whatever its shape."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Complaint(_shown(_HTML_TAG.sub(" ", body.decode("utf-8", "replace"))))
    found = complaint_in(document)
    if found is not None:
        return found
    if isinstance(document, dict) and "detail" in document:
        return Complaint(_shown(_detail_text(document["detail"])))
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        return _from_object(document)
    return Complaint(_shown(body.decode("utf-8", "replace")))


def complaint_in(document: object) -> Complaint | None:
    """Return the complaint in a decoded body or event that may be a good one; None if it is."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if isinstance(error, dict):
        return _from_object(error)
    if error:
        return Complaint(_shown(str(error)), _codes(document.get("error_type")))
    return _from_object(document) if document.get("object") == "error" else None


def error_from_complaint(
    complaint: Complaint, status: int | None, target: Target, headers: Mapping[str, str] | None = None
) -> ServiceError:
    """Turn a complaint into the error that our client sees.

    Args:
        complaint: What the upstream said.
        status: The HTTP status of the answer; None if the failure came inside a good one.
        target: Whom to name.
        headers: The answer's headers, lower-case names.
    """
    meant = status if status is not None else complaint.status
    said = f": {complaint.text}" if complaint.text else "."
    message = f"{target} answered {status}{said}" if status is not None else f"{target} answered an error{said}"
    if complaint.is_context_too_long:
        return ContextLengthError(message, param="messages")
    if meant == 500 and _UNSUPPORTED_TEXT.search(complaint.text):
        return InvalidRequestError(message, param=complaint.param)
    if meant is None or not 400 <= meant <= 599:
        return UpstreamError(message)
    error = error_from_status(meant, message, headers or {})
    if isinstance(error, InvalidRequestError):
        error.param = complaint.param
    return error


def _from_object(error: dict[str, Any]) -> Complaint:
    code, param = error.get("code"), error.get("param")
    return Complaint(
        text=_shown(str(error.get("message") or "")),
        codes=_codes(code, error.get("type")),
        status=code if isinstance(code, int) else None,
        param=param if isinstance(param, str) else None,
    )


def _codes(*values: object) -> frozenset[str]:
    return frozenset(value.lower() for value in values if isinstance(value, str))


def _detail_text(detail: object) -> str:
    """Write FastAPI's `detail`: a sentence, or a list of validation problems."""
    if isinstance(detail, list):
        return "; ".join(_problem_text(problem) for problem in detail)
    return detail if isinstance(detail, str) else orjson.dumps(detail).decode()


def _problem_text(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    place = ".".join(str(part) for part in problem.get("loc", ()))
    return f"{place}: {problem.get('msg', '')}"


def _shown(text: str) -> str:
    line = " ".join(known_secrets().masked(text).split())
    return line if len(line) <= _SHOWN_CHARS else line[:_SHOWN_CHARS] + "..."
