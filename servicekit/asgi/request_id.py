"""Gives every request an id: the caller's, else a new one; on the response, in the context, in each log line."""

from __future__ import annotations

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.context import REQUEST_ID_HEADER, TIMEOUT_HEADER, CallContext, current_request_id
from servicekit.ids import request_id_from

_SCOPE_KEY = "call_context"
#: A longer number of milliseconds is no time-out that anybody means; it counts as none.
_MAX_TIMEOUT_DIGITS = 12


class RequestIdMiddleware:
    """Puts a `CallContext` into the scope and `x-request-id` onto the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = _context_of(Headers(scope=scope))
        scope[_SCOPE_KEY] = context
        token = current_request_id.set(context.request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = context.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            current_request_id.reset(token)


def call_context(scope: Scope) -> CallContext:
    """Return the context that the middleware made for this request."""
    context: CallContext = scope[_SCOPE_KEY]
    return context


def _context_of(headers: Headers) -> CallContext:
    timeout_ms = headers.get(TIMEOUT_HEADER, "")
    is_usable = timeout_ms.isdecimal() and len(timeout_ms) <= _MAX_TIMEOUT_DIGITS
    deadline = time.monotonic() + int(timeout_ms) / 1000 if is_usable else None
    return CallContext(request_id_from(headers.get(REQUEST_ID_HEADER)), deadline)
