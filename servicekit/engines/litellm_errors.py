"""LiteLLM's exceptions, as ours: the only place that knows them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from pydantic import SecretStr

from servicekit.errors import (
    InvalidRequestError,
    ServiceError,
    UpstreamBadResponseError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from servicekit.http.client import Target
from servicekit.http.upstream_errors import Complaint, error_from_complaint, read_complaint
from servicekit.secret_mask import MASK, known_secrets

#: What the library writes before the provider's own words, once or several times.
_PREFIX = re.compile(r"^(?:litellm\.)?(?:\w+(?:Error|Exception)|Timeout Error)\s*[:-]\s*")
#: The exceptions that no answer stands behind, by the words in their message.
_REFUSED = re.compile(r"cannot connect|connect call failed|connection refused|name or service not known", re.IGNORECASE)
_CUT = re.compile(r"payload is not completed|peer closed|incomplete (chunked )?read", re.IGNORECASE)


def error_from_litellm(exc: Exception, target: Target, key: SecretStr | None) -> ServiceError:
    """Return the error that our client sees.

    Args:
        exc: What the library raised.
        target: Whom it called; named in the message.
        key: Masked, where a provider repeats it.
    """
    words = _own_words(str(getattr(exc, "message", None) or exc))
    if key is not None:
        words = words.replace(key.get_secret_value(), MASK)
    words = known_secrets().masked(words)  # it may repeat an address with its password
    if type(exc).__name__ == "LiteLLMUnknownProvider":
        return InvalidRequestError(f"{target} has no such route. Name a model that has it.", param="model")
    failed = _without_answer(type(exc).__name__, words, target)
    if failed is not None:
        return failed
    status = getattr(exc, "status_code", None)
    if not isinstance(status, int) or status < 400:
        return UpstreamBadResponseError(f"{target} answered something that LiteLLM cannot read: {words[:400]}")
    return error_from_complaint(_complaint(words), status, target, _headers(exc))


def _without_answer(kind: str, words: str, target: Target) -> ServiceError | None:
    """Return the error for a connection that failed; None if the provider answered an error."""
    if kind == "Timeout":
        return UpstreamTimeoutError(f"{target}: no answer in time.")
    if _REFUSED.search(words):
        return UpstreamUnreachableError(f"{target} cannot be reached. {target.unreachable_remedy}")
    if _CUT.search(words):
        return UpstreamBadResponseError(f"{target} closed the connection in the middle of its answer.", retryable=True)
    if kind == "MidStreamFallbackError":
        return UpstreamBadResponseError(f"{target} broke off its answer: {words[:400]}", retryable=True)
    if kind == "APIConnectionError":
        return UpstreamUnreachableError(f"{target} cannot be reached: {words[:400]}")
    return None


def _own_words(message: str) -> str:
    """Return what the provider said, without the names of the library's classes before it."""
    while (shorter := _PREFIX.sub("", message)) != message:
        message = shorter
    return message


def _complaint(words: str) -> Complaint:
    start = words.find("{")
    if start >= 0:
        try:
            orjson.loads(words[start:])
        except orjson.JSONDecodeError:
            pass
        else:
            return read_complaint(words[start:].encode())
    return Complaint(words[:400])


def _headers(exc: Exception) -> Mapping[str, str]:
    """Return the answer's headers; the library keeps them in one of two places."""
    kept = getattr(exc, "litellm_response_headers", None)
    for headers in (kept, getattr(getattr(exc, "response", None), "headers", None)):
        if headers:
            return {str(name).lower(): str(value) for name, value in dict(headers).items()}
    return {}
