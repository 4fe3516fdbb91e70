"""A JSON answer, sent at once: for routes that are asked too often for a response object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Scope, Send

from servicekit.asgi.connection import client_connection
from servicekit.asgi.exchange import unlayered_exchange

_CONTENT_TYPE = (b"content-type", b"application/json")


async def answer_json(
    scope: Scope, send: Send, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    """Answer a request with a 200 and a JSON object, past ASGI where our own server allows it.

    Args:
        scope: The request's.
        send: The request's.
        document: What is sent.
        headers: Further headers of the answer, names in lower case.
    """
    connection, exchange = client_connection(scope), unlayered_exchange(scope, send)
    if connection is not None and exchange is not None:
        fields = [_CONTENT_TYPE, *encoded_headers(headers)]
        if exchange.has_written(connection, fields, orjson.dumps(document)):
            return
    await send_json(send, document, headers)


async def send_json(send: Send, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
    """Send a 200 with a JSON object.

    Args:
        send: The request's.
        document: What is sent.
        headers: Further headers of the answer, names in lower case.
    """
    body = orjson.dumps(document)
    fields = [_CONTENT_TYPE, (b"content-length", b"%d" % len(body)), *encoded_headers(headers)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def encoded_headers(headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them.

    Raises:
        ValueError: A value would be more than one header, or none: names and values come from services, too.
    """
    if not headers:
        return []
    for name, value in headers.items():
        if not (name + value).isprintable():
            raise ValueError(f"the header {name!r} cannot have the value {value!r}")
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
