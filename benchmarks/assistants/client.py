"""What the benchmark asks of the service, over one pooled session."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

_HEADERS = {"openai-beta": "assistants=v2"}
_TOTAL_SECONDS = 30.0
_COMPLETED = b"event: thread.run.completed"
_DELTA = b"event: thread.message.delta"


class RunTimes(NamedTuple):
    """Moments of one streamed run, on the monotonic clock."""

    asked: float
    first_delta: float
    completed: float


class AssistantsClient:
    """Speaks to one process of the service."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}/v1"

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the object that was made; any failure raises."""
        async with self._session.post(self._url + path, json=body) as response:
            response.raise_for_status()
            made: dict[str, Any] = await response.json()
            return made

    async def get(self, path: str) -> dict[str, Any]:
        """Return an object or a list; any failure raises."""
        async with self._session.get(self._url + path) as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
            return found

    async def stream_run(self, thread_id: str, assistant_id: str) -> RunTimes:
        """Make a streamed run and read it to its end; one that does not complete raises."""
        asked = time.monotonic()
        first_delta = completed = 0.0
        body = {"assistant_id": assistant_id, "stream": True}
        async with self._session.post(f"{self._url}/threads/{thread_id}/runs", json=body) as response:
            response.raise_for_status()
            async for line in response.content:
                if not first_delta and line.startswith(_DELTA):
                    first_delta = time.monotonic()
                elif line.startswith(_COMPLETED):
                    completed = time.monotonic()
        if not completed:
            raise RuntimeError(f"a run of {thread_id} did not complete; look at the service's log")
        return RunTimes(asked, first_delta, completed)


@asynccontextmanager
async def clients(ports: list[int]) -> AsyncIterator[list[AssistantsClient]]:
    """Open a client for each process."""
    timeout = aiohttp.ClientTimeout(total=_TOTAL_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=_HEADERS) as session:
        yield [AssistantsClient(session, port) for port in ports]
