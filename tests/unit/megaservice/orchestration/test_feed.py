"""A stream with several readers: all get everything, and the slowest slows the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from megaservice.nodes.base import StreamPart
from megaservice.orchestration.feed import Feed


class _Source:
    """Yields numbered parts and counts how many were taken."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self.closed = False

    async def parts(self) -> AsyncGenerator[StreamPart]:
        try:
            for number in range(self.count):
                self.taken += 1
                yield StreamPart(b"", str(number))
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def _texts(parts: AsyncGenerator[StreamPart]) -> list[str]:
    return [part.text async for part in parts]


async def test_single_reader_reads_the_source_itself() -> None:
    """No task and no queue stands between."""
    source = _Source(3)
    parts = source.parts()
    assert Feed(parts, 1).reader() is parts
    assert await _texts(parts) == ["0", "1", "2"]


async def test_several_readers_each_get_every_part() -> None:
    """Whatever their pace, nothing is lost and nothing comes twice."""
    source = _Source(100)
    feed = Feed(source.parts(), 3)
    results = await asyncio.gather(*(_texts(feed.reader()) for _ in range(3)))
    assert results == [[str(number) for number in range(100)]] * 3


async def test_slow_reader_slows_the_source() -> None:
    """The source is never more than the bound ahead of the slowest reader."""
    source = _Source(1000)
    feed = Feed(source.parts(), 2)
    slow, quick = feed.reader(), asyncio.create_task(_texts(feed.reader()))
    await anext(slow)
    await asyncio.sleep(0.05)
    assert source.taken < 30
    assert not quick.done()
    await slow.aclose()
    assert len(await quick) == 1000


async def test_reader_that_leaves_does_not_hold_the_others() -> None:
    """Its share is let go, also the part that waits to be put."""
    source = _Source(200)
    feed = Feed(source.parts(), 2)
    leaving, staying = feed.reader(), feed.reader()
    await anext(leaving)
    await leaving.aclose()
    assert len(await _texts(staying)) == 200


async def test_closed_feed_closes_the_source() -> None:
    """The upstream's work is cancelled with the run."""
    source = _Source(1000)
    feed = Feed(source.parts(), 2)
    reader = feed.reader()
    await anext(reader)
    await feed.close()
    assert source.closed
    await reader.aclose()


async def test_feed_readers_of_a_source_that_breaks_unexpectedly_do_not_wait_for_ever() -> None:
    """A bug in the source reaches every reader, also those that are behind."""

    async def source() -> AsyncGenerator[StreamPart]:
        for number in range(40):
            yield StreamPart(b"", str(number))
            await asyncio.sleep(0)
            if number == 20:
                raise RuntimeError("a bug")

    async def read(reader: AsyncGenerator[StreamPart]) -> None:
        async for _part in reader:
            await asyncio.sleep(0)

    feed = Feed(source(), 2)
    readers = [feed.reader(), feed.reader()]
    async with asyncio.timeout(2):
        results = await asyncio.gather(*(read(reader) for reader in readers), return_exceptions=True)
    assert [str(result) for result in results] == ["a bug", "a bug"]
    await feed.close()


async def test_unexpected_error_of_the_source_reaches_every_reader() -> None:
    """Nobody waits for a part that never comes."""

    async def broken() -> AsyncGenerator[StreamPart]:
        yield StreamPart(b"", "0")
        raise TypeError("a bug")

    feed = Feed(broken(), 2)
    results = await asyncio.gather(*(_texts(feed.reader()) for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in results] == [TypeError, TypeError]
    await feed.close()
