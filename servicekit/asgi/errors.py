"""The outer border of a service: whatever a route raises leaves as OpenAI's error body."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import ORJSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.asgi.exchange import exchange_of
from servicekit.errors import (
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    ServiceError,
)

_log = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client closed the connection; there is nobody to answer, and it is no failure."""


class ErrorBoundary:
    """Answers a `ServiceError` with its status and body, anything else with 500 and a log line.

    Once the response has started its status cannot change; the connection is closed instead, so that the client
    sees a cut body and not a complete one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except (ClientGoneError, ClientDisconnect) as exc:
            reason = str(exc) or "the client left"
            _log.info("%s; %s %s was cancelled", reason, scope["method"], scope["path"])
        except Exception as exc:  # the outer border: nothing may pass it
            if exchange_of(scope).status:
                _log.exception("the answer to %s %s broke after it had started", scope["method"], scope["path"])
                raise
            await error_response(as_service_error(exc))(scope, receive, send)


def as_service_error(exc: Exception) -> ServiceError:
    """Return the error to report: ours as it is, an unexpected one as `InternalError`, logged with its trace."""
    if isinstance(exc, ServiceError):
        return exc
    _log.error("unexpected error", exc_info=exc)
    return InternalError("Something unexpected happened here; the service's log has it under this request's id.")


def error_response(error: ServiceError) -> Response:
    """Build the response of an error: status, OpenAI's body, retry headers."""
    if error.status >= 500:
        _log.warning("answered %d %s: %s", error.status, error.code, error.message)
    return ORJSONResponse(error.body(), status_code=error.status, headers=error.headers())


def install_error_handlers(app: FastAPI) -> None:
    """Make FastAPI's own errors (unknown path, method, validation) take OpenAI's shape."""
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # registered for this class alone  # noqa: S101
    where = f"{request.method} {request.url.path}"
    if exc.status_code == 404:
        return error_response(NotFoundError(f"There is nothing at {where}. GET /docs lists the routes."))
    if exc.status_code == 405:
        allowed = (exc.headers or {}).get("Allow", "")
        return error_response(MethodNotAllowedError(f"{where} is not possible; this path takes {allowed}.", allowed))
    error_of_status = InvalidRequestError(str(exc.detail)) if exc.status_code < 500 else InternalError(str(exc.detail))
    response = error_response(error_of_status)
    response.status_code = exc.status_code
    return response


async def _validation_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # registered for this class alone  # noqa: S101
    problem = exc.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return error_response(InvalidRequestError(f"{place}: {problem['msg']}.", param=place))
