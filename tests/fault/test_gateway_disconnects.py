"""The gateway's client leaves, at every moment: its upstream requests are cancelled and nothing stays behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import (
    CHAT,
    GRADE,
    GRADED,
    GREETING,
    ask_stream,
    chat_file,
    pending_requests,
    running_gateway,
)
from tests.support.gateway import pending_requests_settle as settles
from tests.support.scripted_upstream import Reply, Script, ScriptedUpstream
from tests.support.scripts import STALL

#: From the client's leaving until the upstream sees its request cancelled.
BUDGET_SECONDS = 0.1
#: A shared machine may pause for longer than the budget; it does not so each time.
TRIES = 3

_FIRST_EVENT = scripts.openai_events(["Ciao"], finish_reason=None, usage=None, done=False)[0]


@asynccontextmanager
async def _connection(url: str, path: str, **body: Any) -> AsyncIterator[asyncio.StreamReader]:
    """Send a chat request; leaving the block closes the connection at once."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    payload = orjson.dumps({"messages": GREETING, **body})
    head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(payload) + payload)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


async def _cancelled_after(upstream: ScriptedUpstream, left_at: float) -> float:
    """Return the seconds until the newest request's client was gone."""
    await upstream.wait_until_idle()
    closed_at = upstream.requests[-1].client_left_at
    assert closed_at is not None, "the upstream's request ran to its end"
    return closed_at - left_at


@pytest.mark.parametrize("path", [CHAT, GRADED])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("script", [scripts.silence(), scripts.headers_then_silence()], ids=["silence", "headers"])
async def test_client_leaving_before_the_first_token_cancels_the_llm_within_100_ms(
    script: Script,
    stream: bool,
    path: str,
    scripted_upstream: UpstreamFactory,
    tmp_path: Path,
) -> None:
    """Nobody is answered who has left: in JSON mode, and in a stream without a first event."""
    llm = await scripted_upstream(script)
    delays = []
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        for number in range(TRIES):
            async with _connection(url, path, stream=stream):
                await llm.wait_for_requests(number + 1)
                await asyncio.sleep(0.01)
                assert pending_requests() == 1
            delays.append(await _cancelled_after(llm, time.monotonic()))
            if delays[-1] < BUDGET_SECONDS:
                break
        assert await settles()
    assert min(delays) < BUDGET_SECONDS


@pytest.mark.parametrize("path", [CHAT, GRADED])
async def test_client_leaving_mid_stream_cancels_the_llm_within_100_ms(
    path: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A stream whose reader has left is not read on, and not graded."""
    llm = await scripted_upstream(scripts.stream(_FIRST_EVENT, STALL))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    delays = []
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        for _ in range(TRIES):
            async with _connection(url, path, stream=True) as reader:
                await reader.readuntil(b'"Ciao"')
            delays.append(await _cancelled_after(llm, time.monotonic()))
            if delays[-1] < BUDGET_SECONDS:
                break
        assert await settles()
    assert min(delays) < BUDGET_SECONDS
    assert grader.requests == []


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_client_leaving_while_the_grader_works_cancels_it_within_100_ms(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Every branch of the run is cancelled, the last one too."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao!"]) if stream else scripts.completion("Ciao!"))
    grader = await scripted_upstream(scripts.silence())
    delays = []
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        for number in range(TRIES):
            async with _connection(url, GRADED, stream=stream):
                await grader.wait_for_requests(number + 1)
                await asyncio.sleep(0.01)
            delays.append(await _cancelled_after(grader, time.monotonic()))
            if delays[-1] < BUDGET_SECONDS:
                break
        assert await settles()
    assert min(delays) < BUDGET_SECONDS


async def test_clients_leaving_in_crowds_leave_nothing_behind(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Fifty streams that are abandoned at different moments are all cancelled; the next request is served."""
    endless = scripts.stream(*[step for _ in range(500) for step in (_FIRST_EVENT, 0.01)])
    short = scripts.openai_stream(["Ciao!"])

    async def script(reply: Reply) -> None:
        await (short if reply.request.json["model"] == "short" else endless)(reply)

    async def leave_after(seconds: float, url: str) -> None:
        async with _connection(url, CHAT, stream=True, model="endless"):
            await asyncio.sleep(seconds)

    llm = await scripted_upstream(script)
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        await asyncio.gather(*(leave_after(0.01 * number, url) for number in range(50)))
        await llm.wait_until_idle()
        assert await settles()
        assert (await ask_stream(url + CHAT, model="short")).text == "Ciao!"
    assert llm.most_open_count > 5


async def test_client_that_stops_reading_slows_the_llm(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What a client does not read is not fetched: memory stays bounded by buffers, however long the answer is."""
    megabyte = scripts.openai_events(["x" * 1_000_000], finish_reason=None, usage=None, done=False)[0]
    sent = 0

    async def pour(reply: Reply) -> None:
        nonlocal sent
        await reply.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for _ in range(200):
            await reply.write(megabyte)
            sent += 1
        await reply.write(b"".join(scripts.openai_events([])))
        reply.cut()

    llm = await scripted_upstream(pour)
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        async with _connection(url, CHAT, stream=True) as reader:
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while sent != before:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 40, "200 megabytes were fetched for a client that reads nothing"
        await llm.wait_until_idle()
        assert await settles()


async def test_client_that_reads_slowly_gets_the_whole_answer(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Back-pressure loses nothing: a reader that pauses gets every event, in order, and the grade."""
    texts = [f"{number:05d}" + "x" * 2_000 for number in range(400)]
    llm = await scripted_upstream(scripts.openai_stream(texts))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    received = bytearray()
    async with (
        running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url,
        _connection(url, GRADED, stream=True) as reader,
    ):
        while b"[DONE]" not in received[-100:]:
            received += await reader.read(65_536)
            await asyncio.sleep(0.001)
    positions = [received.find(text[:5].encode() + b"x") for text in texts]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert b'"grade":{"score":0.9' in received


async def test_clients_that_leave_give_their_place_at_a_limited_node_back(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """One client leaves mid-stream, one while it waits for a place: the next request gets it."""
    llm = await scripted_upstream(scripts.stream(_FIRST_EVENT, STALL), scripts.openai_stream(["Ciao!"]))
    files = [chat_file(llm.url, concurrency={"limit": 1, "queue": 1})]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        async with _connection(url, CHAT, stream=True) as reader:
            await reader.readuntil(b'"Ciao"')
            async with _connection(url, CHAT, stream=False):
                await asyncio.sleep(0.05)
                assert pending_requests() == 2
            await asyncio.sleep(0.05)
            assert pending_requests() == 1
        await llm.wait_until_idle()
        assert await settles()
        async with asyncio.timeout(5):
            assert (await ask_stream(url + CHAT)).text == "Ciao!"
    assert len(llm.requests) == 2


@pytest.mark.parametrize("consume", ["sentence", "stream", "whole"])
async def test_client_leaving_while_a_guard_works_cancels_guard_and_llm(
    consume: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Both ends of a pipeline that works piece by piece are let go, however the guard takes its text."""
    begun = scripts.openai_events(["Ciao! ", "Come"], finish_reason=None, usage=None, done=False)
    llm = await scripted_upstream(
        scripts.completion("Ciao! Come stai?") if consume == "whole" else scripts.stream(*begun, STALL)
    )
    guard = await scripted_upstream(scripts.silence())
    document = chat_file(llm.url)
    document["opea_micro_services"]["guard"] = {
        "service_type": "text",
        "endpoint": f"{guard.url}/v1/guard",
        "consume": consume,
    }
    document["opea_mega_service"]["mega_flow"] = ["llm >> guard"]
    delays = []
    async with running_gateway(tmp_path, llm_url=llm.url, files=[document]) as url:
        for number in range(TRIES):
            async with _connection(url, CHAT, stream=True):
                await guard.wait_for_requests(number + 1)
                await asyncio.sleep(0.01)
            delays.append(await _cancelled_after(guard, time.monotonic()))
            await llm.wait_until_idle()
            if delays[-1] < BUDGET_SECONDS:
                break
        assert await settles()
    assert min(delays) < BUDGET_SECONDS
