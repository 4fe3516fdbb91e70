"""Whether the services of nodes can answer now; each is asked once, whatever number of nodes it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import orjson

from servicekit.errors import ServiceError, UpstreamTimeoutError
from servicekit.http.client import HttpClient, Target, Timeouts

_SECONDS = 2.0
_PROBE_TIMEOUTS = Timeouts(_SECONDS, _SECONDS, _SECONDS, _SECONDS)


class Need(NamedTuple):
    """A node and where it may be answered.

    Attributes:
        node: Its name.
        urls: Its endpoints, at least one; one that is ready will do.
    """

    node: str
    urls: Sequence[str]


async def absent_services(http: HttpClient, needs: Iterable[Need]) -> list[str]:
    """Ask the services of nodes, all at once, whether they are ready.

    Args:
        http: The process's connection pool.
        needs: Of all pipelines; several nodes may have one address.

    Returns:
        One sentence for each address without which a node cannot be answered; it names the nodes.
    """
    wanted = [(need.node, list(dict.fromkeys(_ready_url(url) for url in need.urls))) for need in needs]
    users: dict[str, list[str]] = {}
    for node, urls in wanted:
        for url in urls:
            users.setdefault(url, []).append(node)
    problems = await asyncio.gather(*(_problem(http, Target(_named(nodes), url)) for url, nodes in users.items()))
    found = dict(zip(users, problems, strict=True))
    lacking = [urls[0] for _, urls in wanted if all(found[url] is not None for url in urls)]
    return [problem for url in dict.fromkeys(lacking) if (problem := found[url]) is not None]


async def _problem(http: HttpClient, target: Target) -> str | None:
    """Ask `/ready`; a server without that route (Ollama, vLLM, ...) is there if it answers at all."""
    try:
        response, body = await http.fetch("GET", target, timeouts=_PROBE_TIMEOUTS)
    except UpstreamTimeoutError:
        return f"{target} does not answer within {_SECONDS:g} s."
    except ServiceError as exc:
        return exc.message
    return f"{target} is not ready: {_reasons(body)}" if response.status == 503 else None


def _ready_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "/ready", "", ""))


def _named(nodes: Sequence[str]) -> str:
    names = [f"'{name}'" for name in dict.fromkeys(nodes)]
    return f"node {names[0]}" if len(names) == 1 else f"the service of nodes {', '.join(names)}"


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(orjson.loads(body)["problems"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:200] or "it does not say why"
