"""Times requests to several routes in turn, JSON and streamed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Route:
    """One thing to measure: a URL and the chat request that goes there."""

    name: str
    url: str
    body: dict[str, Any]


@dataclass(slots=True)
class Measurement:
    """The seconds that each request to one route took."""

    route: Route
    json_seconds: list[float] = field(default_factory=list)
    first_token_seconds: list[float] = field(default_factory=list)
    failures: int = 0


async def measure(routes: Sequence[Route], rounds: int, warmup: int) -> list[Measurement]:
    """Send one JSON and one streamed request to each route in turn, `rounds` times.

    Args:
        routes: What to compare.
        rounds: Counted rounds.
        warmup: Rounds before that; connections and caches are warm after them.
    """
    results = [Measurement(route) for route in routes]
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for number in range(warmup + rounds):
            for result in results:
                await _one_round(session, result, counted=number >= warmup)
    return results


async def _one_round(session: aiohttp.ClientSession, result: Measurement, *, counted: bool) -> None:
    json_seconds = await _whole_answer(session, result.route)
    first_token_seconds = await _first_token(session, result.route)
    if json_seconds is None or first_token_seconds is None:
        result.failures += 1
    elif counted:
        result.json_seconds.append(json_seconds)
        result.first_token_seconds.append(first_token_seconds)


async def _whole_answer(session: aiohttp.ClientSession, route: Route) -> float | None:
    """Return the seconds until the JSON answer was there, None for one that is not an answer."""
    started = time.perf_counter()
    async with session.post(route.url, json=route.body) as response:
        answer = await response.json()
    seconds = time.perf_counter() - started
    return seconds if response.status == 200 and answer["choices"][0]["message"]["content"] else None


async def _first_token(session: aiohttp.ClientSession, route: Route) -> float | None:
    """Return the seconds until the first content token, None if the stream did not end well."""
    started = time.perf_counter()
    first: float | None = None
    body = b""
    async with session.post(route.url, json={**route.body, "stream": True}) as response:
        async for read in response.content.iter_any():
            body += read
            if first is None and b'"content":"' in body.replace(b'"content":""', b""):
                first = time.perf_counter() - started
    return first if body.endswith(b"data: [DONE]\n\n") else None


def percentile(values: Sequence[float], rank: int) -> float:
    """Return the `rank`-th percentile, 1 to 99."""
    return quantiles(values, n=100, method="inclusive")[rank - 1]
