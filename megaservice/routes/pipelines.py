"""The endpoints that the pipelines declare: one layer for all of them, over the table of the moment.

Nearly all requests are for a pipeline, so they are answered before the router, which would look at every route and
build what only FastAPI's own handlers need.
"""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from megaservice.routing import RoutingTable
from megaservice.served import ServedPipelines
from servicekit.asgi.connection import client_connection
from servicekit.errors import MethodNotAllowedError, ServiceError
from servicekit.openai.chat import ChatRequest, is_plain_request
from servicekit.validation import check_object, parse_json_object


class PipelineEndpoint:
    """What the scope names as its route: metrics and statistics count by its path."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class PipelineLayer:
    """Answers at every endpoint of every pipeline that is served now; all else is the next layer's.

    Args:
        app: The next layer.
        served: Holds the table, which may be replaced at any moment; a request keeps the one it found.
    """

    def __init__(self, app: ASGIApp, served: ServedPipelines) -> None:
        self._app = app
        self._served = served

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer the request; no layer of its own to what it lets pass.

        Raises:
            ServiceError: Nothing was sent yet; the status says why.
        """
        table = self._served.table
        if scope["type"] != "http" or not table.has(scope["path"]):
            return self._app(scope, receive, send)
        path = scope["path"]
        scope["route"] = PipelineEndpoint(path)
        if scope["method"] != "POST":
            raise MethodNotAllowedError(f"{scope['method']} {path} is not possible; this path takes POST.", "POST")
        return _answer(table, scope, receive, send)


async def _answer(table: RoutingTable, scope: Scope, receive: Receive, send: Send) -> None:
    content = _content_at_hand(scope, receive)
    body = parse_json_object(await _content(receive) if content is None else content)
    if not is_plain_request(body):
        check_object(body, ChatRequest)
    model = body.get("model")
    gateway = table.pick(scope["path"], model)
    gateway.running += 1
    try:
        await gateway.answer(scope, receive, send, body)
    except ServiceError as exc:
        raise table.explained(exc, model) from exc
    finally:
        gateway.running -= 1


def _content_at_hand(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body if it came with the head, as most do; None if it must be received."""
    connection = client_connection(scope)
    if connection is None or receive != connection.receive:  # a layer between them counts what comes
        return None
    return connection.take_body()


async def _content(receive: Receive) -> bytes:
    message = await receive()
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise ClientDisconnect
