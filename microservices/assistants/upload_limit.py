"""Bodies may be as large as the service says, uploaded files larger."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.asgi.body_limit import BodyLimitMiddleware
from servicekit.errors import PayloadTooLargeError

_UPLOAD_PATHS = frozenset({"/files", "/v1/files"})
#: What a multipart body has besides its file.
_FRAMING_BYTES = 64_000


class _FileLimitMiddleware(BodyLimitMiddleware):
    def _error(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(
            f"The file is larger than {self._max_bytes - _FRAMING_BYTES} bytes. "
            "Send a smaller one, or raise ASSISTANTS_MAX_FILE_BYTES."
        )


class UploadLimitMiddleware:
    """Has two limits, one for bodies and one for uploads.

    Args:
        app: The next layer.
        max_body_bytes: Of all bodies but uploads.
        max_file_bytes: Of an uploaded file.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_file_bytes: int) -> None:
        self._bodies = BodyLimitMiddleware(app, max_body_bytes)
        self._files = _FileLimitMiddleware(app, max_file_bytes + _FRAMING_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server.

        Raises:
            PayloadTooLargeError: The body is larger than allowed.
        """
        is_upload = scope["type"] == "http" and scope["path"] in _UPLOAD_PATHS
        await (self._files if is_upload else self._bodies)(scope, receive, send)
