"""Whether a node can answer now."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import orjson

from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient, Target, Timeouts

_PROBE_TIMEOUTS = Timeouts(connect_seconds=1.0, first_byte_seconds=2.0, idle_seconds=2.0, total_seconds=3.0)


async def probe(http: HttpClient, node: Target) -> str | None:
    """Ask `/ready` at the node's address; return why it cannot answer, or None.

    A server without that route (Ollama, vLLM, ...) is there if it answers at all.
    """
    parts = urlsplit(node.url)
    target = Target(node.name, urlunsplit((parts.scheme, parts.netloc, "/ready", "", "")))
    try:
        response, body = await http.fetch("GET", target, timeouts=_PROBE_TIMEOUTS)
    except ServiceError as exc:
        return exc.message
    return f"{target} is not ready: {_reasons(body)}" if response.status == 503 else None


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(orjson.loads(body)["problems"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:200] or "it does not say why"
