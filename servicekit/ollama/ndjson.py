"""How Ollama's API answers: JSON lines, and errors as `{"error": "text"}`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import ORJSONResponse, Response

from servicekit.asgi.errors import ClientGoneError, as_service_error
from servicekit.asgi.event_stream import open_event_stream
from servicekit.errors import ModelNotFoundError, ServiceError

_CONTENT_TYPE = "application/x-ndjson"

Lines = AsyncGenerator[dict[str, Any]]


async def in_ollamas_way(answer: Callable[[], Awaitable[Response]]) -> Response:
    """Return an answer; a failure of ours gets Ollama's shape and status."""
    try:
        return await answer()
    except ServiceError as exc:
        # Ollama's clients look for 404 to pull the model.
        status = 404 if isinstance(exc, ModelNotFoundError) or exc.code == "model_not_found" else exc.status
        return ORJSONResponse({"error": exc.message}, status_code=status, headers=exc.headers())


async def line_stream(request: Request, lines: Lines) -> Response:
    """Answer a stream of JSON lines.

    Nothing is sent before the first line, so a failure until then has a status of its own; a later one is one
    `{"error"}` line, and no line with `"done": true`.
    """
    return await open_event_stream(request.scope, request.receive, _encoded(lines), {"content-type": _CONTENT_TYPE})


async def _encoded(lines: Lines) -> AsyncGenerator[bytes]:
    has_begun = False
    async with aclosing(lines):
        try:
            async for line in lines:
                yield orjson.dumps(line) + b"\n"
                has_begun = True
        except ClientGoneError:
            raise
        except Exception as exc:  # the outer border of the stream: the status is out
            if not has_begun:
                raise
            yield orjson.dumps({"error": as_service_error(exc).message}) + b"\n"
