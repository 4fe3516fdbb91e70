"""Every failure this project reports, as one tree.

    ProjectError
    ├── ConfigurationError              start-up: exit code 2, all problems at once
    └── ServiceError                    a request failed: OpenAI's error body
        ├── InvalidRequestError         400 invalid_value
        │   ├── ModelNotFoundError      400 model_not_found
        │   └── ContextLengthError      400 context_length_exceeded
        ├── AuthenticationError         401 invalid_api_key
        ├── PermissionDeniedError       403 permission_denied
        ├── NotFoundError               404 not_found
        ├── MethodNotAllowedError       405 method_not_allowed
        ├── PayloadTooLargeError        413 payload_too_large
        ├── RateLimitedError            429 rate_limit_exceeded
        ├── InternalError               500 internal_error
        ├── OverloadedError             503 overloaded
        └── UpstreamError               502 upstream_error
            ├── UpstreamUnreachableError    502 upstream_unreachable
            ├── UpstreamBadResponseError    502 upstream_bad_response
            ├── UpstreamAuthError           502 upstream_auth
            └── UpstreamTimeoutError        504 upstream_timeout

The statuses and codes are the table in docs/errors.md. OpenAI's SDKs retry 408, 409, 429 and every 5xx by
themselves unless `x-should-retry: false` says otherwise, so `retryable` travels as that header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servicekit.secret_mask import known_secrets


class ProjectError(Exception):
    """Root of every error that this project raises on purpose."""


class ConfigurationError(ProjectError):
    """The configuration cannot be used; the process ends with exit code 2.

    Args:
        problems: One sentence each: where it is, what was found, what to write instead. What is found may be an
            address with a password; it is masked here, since these sentences go to terminals, logs and `/ready`.
    """

    def __init__(self, *problems: str) -> None:
        mask = known_secrets()
        self.problems: tuple[str, ...] = tuple(mask.masked(problem) for problem in problems)
        super().__init__("\n".join(self.problems))


class ServiceError(ProjectError):
    """A request failed for a reason that the caller is told.

    Args:
        message: What was found, what was expected, what to do.
        param: The place in the request body, such as `messages[0].role`, or None.
        code: Overrides the class's code where a row of the error table is narrower.
        retry_after_seconds: Sent as `Retry-After`.
        retryable: Overrides the class's answer to "may the client try again?".
    """

    status: ClassVar[int] = 500
    error_type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code
        self.retry_after_seconds = retry_after_seconds
        self.retryable = self.default_retryable if retryable is None else retryable

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error body: `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.error_type, "param": self.param, "code": self.code}
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client whether and when to try again."""
        headers: dict[str, str] = {}
        if self.retry_after_seconds is not None:
            headers["retry-after"] = f"{max(0.0, self.retry_after_seconds):.0f}"
        if self.status >= 500 and not self.retryable:
            headers["x-should-retry"] = "false"
        return headers


class InvalidRequestError(ServiceError):
    """The request's body or a value in it is not acceptable."""

    status = 400
    error_type = "invalid_request_error"
    default_code = "invalid_value"


class ModelNotFoundError(InvalidRequestError):
    """The request names a model that is not known here.

    Args:
        model: The name that was asked for.
        known: The names there are; they are listed in the message.
    """

    default_code = "model_not_found"

    def __init__(self, model: str, known: Sequence[str]) -> None:
        names = ", ".join(known) or "none"
        super().__init__(
            f"The model '{model}' is not known here. The models there are: {names}. "
            "Name one of them, or add an alias in compose/models.json.",
            param="model",
        )


class ContextLengthError(InvalidRequestError):
    """The prompt does not fit into the model's context."""

    default_code = "context_length_exceeded"


class AuthenticationError(ServiceError):
    """No API key was sent, or one that is not known."""

    status = 401
    error_type = "authentication_error"
    default_code = "invalid_api_key"


class PermissionDeniedError(ServiceError):
    """The key is known but has no right to do this."""

    status = 403
    error_type = "permission_error"
    default_code = "permission_denied"


class NotFoundError(ServiceError):
    """There is nothing under this path or id."""

    status = 404
    error_type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowedError(ServiceError):
    """The path exists but not for this HTTP method.

    Args:
        message: What was found, what was expected.
        allowed: The methods that the path takes, comma-separated; sent as `Allow`.
    """

    status = 405
    error_type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, allowed: str = "", *, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client what the path takes."""
        return {**super().headers(), "allow": self.allowed}


class PayloadTooLargeError(ServiceError):
    """The request's body is larger than the service accepts."""

    status = 413
    error_type = "invalid_request_error"
    default_code = "payload_too_large"


class RateLimitedError(ServiceError):
    """Too many requests; also what an upstream's 429 becomes."""

    status = 429
    error_type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    default_retryable = True


class InternalError(ServiceError):
    """Something unexpected; the log has the details under the request id."""


class OverloadedError(ServiceError):
    """The service has no room, or is draining."""

    status = 503
    default_code = "overloaded"
    default_retryable = True


class UpstreamError(ServiceError):
    """A node's upstream answered an error.

    Args:
        message: Names the node, its endpoint and the upstream's status.
        retryable: True where the upstream's status (5xx) says a second try may help.
    """

    status = 502
    error_type = "upstream_error"
    default_code = "upstream_error"


class UpstreamUnreachableError(UpstreamError):
    """The connection was refused, reset before an answer, or the name did not resolve."""

    default_code = "upstream_unreachable"
    default_retryable = True


class UpstreamBadResponseError(UpstreamError):
    """The upstream answered something that is not what it should speak."""

    default_code = "upstream_bad_response"


class UpstreamAuthError(UpstreamError):
    """The upstream refused our key (401 or 403)."""

    default_code = "upstream_auth"


class UpstreamTimeoutError(UpstreamError):
    """The connect, first-token, idle or total time-out ran out."""

    status = 504
    default_code = "upstream_timeout"
    default_retryable = True


def error_from_status(status: int, message: str, headers: Mapping[str, str]) -> ServiceError:
    """Map an upstream's error status to what our client sees.

    400, 413 and 422 are the caller's fault and stay 400; 429 stays 429; 401 and 403 are *our* credentials
    and become 502. Everything else is 502, retryable only for 5xx.

    Args:
        status: The upstream's HTTP status, >= 400.
        message: Full sentence, naming node, endpoint and status.
        headers: The upstream's headers, lower-case names; `retry-after` is kept.
    """
    if status in (400, 413, 422):
        return InvalidRequestError(message)
    if status in (401, 403):
        return UpstreamAuthError(message)
    if status == 429:
        return RateLimitedError(message, retry_after_seconds=_seconds(headers.get("retry-after")))
    retry_after = _seconds(headers.get("retry-after"))
    return UpstreamError(message, retryable=status >= 500, retry_after_seconds=retry_after)


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:  # an HTTP date: rare, and a client that gets none backs off by itself
        return None
