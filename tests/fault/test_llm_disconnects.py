"""Clients of the LLM microservice leave: the upstream's work is cancelled at once, and nothing stays behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.llm import CHAT, llm_before
from tests.support.scripted_upstream import ScriptedUpstream

#: From the client's leaving to the upstream's closed connection.
LIMIT_SECONDS = 0.1
BODY = {"model": scripts.MODEL, "messages": "Hello"}


async def leave_while_waiting(client: httpx.AsyncClient, upstream: ScriptedUpstream, *, stream: bool) -> float:
    """Leave before anything was answered; returns the moment."""
    asking = asyncio.create_task(client.post(CHAT, json={**BODY, "stream": stream}))
    await upstream.wait_for_requests()
    left_at = asyncio.get_running_loop().time()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return left_at


async def in_flight(client: httpx.AsyncClient) -> float:
    """Return the service's gauge of running requests, the asking one included."""
    page = (await client.get("/metrics")).text
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith("http_requests_in_flight"))


async def check_cancelled(client: httpx.AsyncClient, upstream: ScriptedUpstream, left_at: float) -> None:
    """Compare the moment at which the upstream saw it with the limit."""
    await upstream.wait_until_idle()
    seen_at = upstream.requests[0].client_left_at
    assert seen_at is not None
    assert seen_at - left_at < LIMIT_SECONDS
    await asyncio.sleep(0.02)
    assert await in_flight(client) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_client_that_leaves_before_the_first_token_cancels_the_upstream(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """In JSON mode and before the first token too."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        left_at = await leave_while_waiting(client, upstream, stream=stream)
        await check_cancelled(client, upstream, left_at)


async def test_client_that_leaves_in_the_middle_of_a_stream_cancels_the_upstream(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The upstream stops computing what nobody reads."""
    first, second, *_ = scripts.openai_events(["Ciao", "!"])
    upstream = await scripted_upstream(scripts.stream(first, second, scripts.STALL))
    async with llm_before(upstream.url, tmp_path) as client:
        async with client.stream("POST", CHAT, json={**BODY, "stream": True}) as response:
            await anext(response.aiter_bytes())
            left_at = asyncio.get_running_loop().time()
        await check_cancelled(client, upstream, left_at)


async def test_stream_that_ended_leaves_its_connection_to_the_next(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Streams read to their end use one pooled connection."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao"]))
    async with llm_before(upstream.url, tmp_path) as client:
        for _ in range(5):
            assert (await client.post(CHAT, json={**BODY, "stream": True})).status_code == 200
    assert upstream.connection_count == 1
