"""Comments in silent streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from servicekit.asgi.pings import PING_EVENT, with_pings

_SILENCE_SECONDS = 0.02


class _Source:
    """Yields what it is given; an Event is waited for; an exception is raised."""

    def __init__(self, *steps: bytes | asyncio.Event | Exception) -> None:
        self.is_closed = False
        self.events = self._play(steps)

    async def _play(self, steps: tuple[bytes | asyncio.Event | Exception, ...]) -> AsyncGenerator[bytes]:
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, bytes):
                    yield step
                else:
                    await step.wait()
        finally:
            self.is_closed = True


async def test_pings_leave_a_busy_stream_as_it_is() -> None:
    """Events pass at once and in order, and the stream ends."""
    source = _Source(b"1", b"2", b"3")
    assert [event async for event in with_pings(source.events, 10)] == [b"1", b"2", b"3"]
    assert source.is_closed


async def test_pings_fill_a_silence_and_lose_nothing() -> None:
    """However many comments went out: the event that was waited for comes next."""
    news = asyncio.Event()
    source = _Source(b"1", news, b"2")
    seen = []
    async with aclosing(with_pings(source.events, _SILENCE_SECONDS)) as events:
        async for event in events:
            seen.append(event)
            if seen.count(PING_EVENT) == 2:
                news.set()
    assert (seen[0], seen[-1], set(seen[1:-1])) == (b"1", b"2", {PING_EVENT})


async def test_pings_pass_a_failure_on() -> None:
    """What the source raises comes out."""
    source = _Source(b"1", RuntimeError("broken"))
    events = with_pings(source.events, 10)
    assert await anext(events) == b"1"
    with pytest.raises(RuntimeError, match="broken"):
        await anext(events)
    assert source.is_closed


async def test_pings_close_the_source_when_nobody_reads_on() -> None:
    """Closed while it waits: the source is closed too, and no task is left."""
    source = _Source(b"1", asyncio.Event())
    events = with_pings(source.events, _SILENCE_SECONDS)
    assert [await anext(events), await anext(events)] == [b"1", PING_EVENT]
    await events.aclose()
    assert source.is_closed
    assert len(asyncio.all_tasks()) == 1


async def test_pings_close_the_source_when_their_reader_is_cancelled() -> None:
    """As when a client leaves in the middle of a wait."""
    source = _Source(asyncio.Event())

    async def read() -> None:
        async with aclosing(with_pings(source.events, 10)) as events:
            await anext(events)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert source.is_closed
    assert len(asyncio.all_tasks()) == 1
