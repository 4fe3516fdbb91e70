"""Refuses request bodies that are too large, announced or not."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.errors import PayloadTooLargeError


class BodyLimitMiddleware:
    """Answers 413 for bodies over `max_bytes`: by the announced length, or while they arrive."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one connection of the server; no layer of its own to whom it lets pass.

        Raises:
            PayloadTooLargeError: The body is larger than allowed.
        """
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        announced = _announced_bytes(scope["headers"])
        if announced.isdigit():  # the server takes no more than was announced
            if int(announced) > self._max_bytes:
                raise self._error()
            return self._app(scope, receive, send)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._error()
            return message

        return self._app(scope, receive_counted, send)

    def _error(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(
            f"The request's body is larger than {self._max_bytes} bytes. "
            "Send less, or raise MAX_BODY_BYTES of this service."
        )


def _announced_bytes(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"content-length":
            return value
    return b""
