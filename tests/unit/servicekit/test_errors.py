"""The tree of errors: each row of the error table, its body and its headers."""

from __future__ import annotations

import inspect

import pytest

from servicekit import errors
from servicekit.errors import (
    ConfigurationError,
    ModelNotFoundError,
    ProjectError,
    RateLimitedError,
    ServiceError,
    UpstreamError,
    error_from_status,
)

#: docs/errors.md as a table: class, status, type, code, whether a client may try again.
ROWS = [
    (errors.InvalidRequestError, 400, "invalid_request_error", "invalid_value", False),
    (errors.ContextLengthError, 400, "invalid_request_error", "context_length_exceeded", False),
    (errors.AuthenticationError, 401, "authentication_error", "invalid_api_key", False),
    (errors.PermissionDeniedError, 403, "permission_error", "permission_denied", False),
    (errors.NotFoundError, 404, "invalid_request_error", "not_found", False),
    (errors.MethodNotAllowedError, 405, "invalid_request_error", "method_not_allowed", False),
    (errors.PayloadTooLargeError, 413, "invalid_request_error", "payload_too_large", False),
    (errors.RateLimitedError, 429, "rate_limit_error", "rate_limit_exceeded", True),
    (errors.InternalError, 500, "server_error", "internal_error", False),
    (errors.OverloadedError, 503, "server_error", "overloaded", True),
    (errors.UpstreamError, 502, "upstream_error", "upstream_error", False),
    (errors.UpstreamUnreachableError, 502, "upstream_error", "upstream_unreachable", True),
    (errors.UpstreamBadResponseError, 502, "upstream_error", "upstream_bad_response", False),
    (errors.UpstreamAuthError, 502, "upstream_error", "upstream_auth", False),
    (errors.UpstreamTimeoutError, 504, "upstream_error", "upstream_timeout", True),
]


@pytest.mark.parametrize(("error_class", "status", "error_type", "code", "retryable"), ROWS)
def test_error_has_the_row_of_the_error_table(
    error_class: type[ServiceError], status: int, error_type: str, code: str, retryable: bool
) -> None:
    """Status, body and retry header are those of the table."""
    error = error_class("what, and what to do", param="messages[0]")
    assert error.status == status
    assert error.body() == {
        "error": {"message": "what, and what to do", "type": error_type, "param": "messages[0]", "code": code}
    }
    assert error.retryable is retryable
    assert (error.headers().get("x-should-retry") == "false") is (status >= 500 and not retryable)


def test_every_error_class_has_a_row() -> None:
    """A class that is added to the tree needs a row here and in docs/errors.md."""
    known = {row[0] for row in ROWS} | {ProjectError, ConfigurationError, ServiceError, ModelNotFoundError}
    classes = {member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, Exception)}
    assert classes == known


def test_every_error_class_is_drawn_in_the_tree() -> None:
    """The module's drawing shows each class below the root."""
    drawing = errors.__doc__ or ""
    names = {name for name, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, Exception)}
    assert {name for name in names if name not in drawing} == set()


def test_model_not_found_error_names_the_models_there_are() -> None:
    """The caller learns what can be asked for, and where to add a name."""
    error = ModelNotFoundError("test-model", ["phrasebook", "llama3.2:1b"])
    assert (error.status, error.code, error.param) == (400, "model_not_found", "model")
    assert "'test-model'" in error.message
    assert "phrasebook, llama3.2:1b" in error.message
    assert "compose/models.json" in error.message


def test_model_not_found_error_says_so_where_there_is_no_model() -> None:
    """An empty list reads as a sentence too."""
    assert "The models there are: none." in ModelNotFoundError("m", []).message


def test_error_tells_when_to_try_again() -> None:
    """Retry-After is whole seconds and never negative."""
    assert RateLimitedError("slow down", retry_after_seconds=2.4).headers() == {"retry-after": "2"}
    assert RateLimitedError("slow down", retry_after_seconds=-3).headers() == {"retry-after": "0"}


def test_error_s_own_answers_beat_those_of_its_class() -> None:
    """Code and retryability can be narrower than the class's."""
    error = UpstreamError("it broke", code="special", retryable=True)
    assert error.body()["error"]["code"] == "special"
    assert "x-should-retry" not in error.headers()


def test_configuration_error_keeps_every_problem() -> None:
    """All problems are told at once, one line each."""
    error = ConfigurationError("first", "second")
    assert error.problems == ("first", "second")
    assert str(error) == "first\nsecond"


@pytest.mark.parametrize(
    ("upstream_status", "status", "code", "retryable"),
    [
        (400, 400, "invalid_value", False),
        (413, 400, "invalid_value", False),
        (422, 400, "invalid_value", False),
        (401, 502, "upstream_auth", False),
        (403, 502, "upstream_auth", False),
        (404, 502, "upstream_error", False),
        (418, 502, "upstream_error", False),
        (429, 429, "rate_limit_exceeded", True),
        (500, 502, "upstream_error", True),
        (503, 502, "upstream_error", True),
    ],
)
def test_error_from_status_maps_an_upstream_s_status(
    upstream_status: int, status: int, code: str, retryable: bool
) -> None:
    """What is the caller's fault stays a 4xx; our credentials and the upstream's failures become a 502."""
    error = error_from_status(upstream_status, "node 'llm' answered", {})
    assert (error.status, error.code, error.retryable) == (status, code, retryable)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("1.5", 1.5), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_error_from_status_keeps_retry_after(header: str, seconds: float | None) -> None:
    """An upstream's Retry-After in seconds is handed on; a date is dropped."""
    assert error_from_status(429, "busy", {"retry-after": header}).retry_after_seconds == seconds
