"""A streamed answer ends its run, whoever interrupts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from megaservice.orchestration.answer_stream import AnswerStream


async def _one_event() -> AsyncGenerator[bytes]:
    yield b"data: 1\n\n"


async def test_run_is_left_by_the_close_where_leaving_at_the_end_was_cancelled() -> None:
    """A client that goes at the very end cancels the reader; the run must be left all the same."""
    begun, left = asyncio.Event(), 0

    async def leave() -> None:
        nonlocal left
        begun.set()
        await asyncio.sleep(0.02)
        left += 1

    stream = AnswerStream(_one_event(), leave)
    assert await anext(stream) == b"data: 1\n\n"
    reading = asyncio.ensure_future(anext(stream))
    await begun.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert left == 0
    await stream.aclose()
    assert left == 1


async def test_stream_that_ended_is_left_once() -> None:
    """Closing it behind its end does nothing more."""
    left = 0

    async def leave() -> None:
        nonlocal left
        left += 1

    stream = AnswerStream(_one_event(), leave)
    assert [event async for event in stream] == [b"data: 1\n\n"]
    await stream.aclose()
    assert left == 1
