"""A JSON answer, sent at once: for routes that are asked too often for a response object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Send

_CONTENT_TYPE = (b"content-type", b"application/json")


async def send_json(send: Send, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
    """Send a 200 with a JSON object.

    Args:
        send: The request's.
        document: What is sent.
        headers: Further headers of the answer, names in lower case.
    """
    body = orjson.dumps(document)
    fields = [_CONTENT_TYPE, (b"content-length", b"%d" % len(body))]
    if headers:
        fields += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
