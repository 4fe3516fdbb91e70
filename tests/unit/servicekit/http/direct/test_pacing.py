"""Turns of a busy loop stay short, and no reader is forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from servicekit.http.direct import pacing
from servicekit.http.direct.pacing import ReadPacer, read_pacer


class _Reader:
    """Is read once a turn while it may be; each read takes a while."""

    def __init__(self, pacer: ReadPacer, seconds: float, *, turns: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pacer = pacer
        self._seconds = seconds
        self._left = turns
        self._is_paused = False
        self.reads_at: list[float] = []
        self._loop.call_soon(self._read)

    def pause_for_others(self) -> None:
        self._is_paused = True

    def resume_after_others(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._read)

    @property
    def is_done(self) -> bool:
        return not self._left

    def _read(self) -> None:
        if self._is_paused or not self._left:
            return
        _work(self._seconds)
        self._left -= 1
        self.reads_at.append(time.monotonic())
        self._pacer.note_read(self)
        if not self._is_paused:
            self._loop.call_soon(self._read)


def _work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def _all_done(readers: list[_Reader]) -> None:
    async with asyncio.timeout(10):
        while not all(reader.is_done for reader in readers):  # noqa: ASYNC110 - readers have no event for it
            await asyncio.sleep(0.001)


async def _turns_until(is_over: Callable[[], bool]) -> list[float]:
    """Return how long each turn took, in seconds."""
    turns = []
    while not is_over():
        began = time.perf_counter()
        await asyncio.sleep(0)
        turns.append(time.perf_counter() - began)
    return turns


async def test_turns_stay_short_where_more_is_to_be_read_than_a_turn_may_take() -> None:
    """400 readers of 100 us each would make turns of 40 ms."""
    readers = [_Reader(read_pacer(asyncio.get_running_loop()), 100e-6, turns=10) for _ in range(400)]
    turns = await _turns_until(lambda: all(reader.is_done for reader in readers))
    half = sorted(turns[len(turns) // 3 :])  # the first ones still find out how many reads are too many
    assert half[len(half) // 2] < 0.02


async def test_nobody_is_read_often_while_another_waits() -> None:
    """Who waited longest comes first, so at no moment one is more than two reads behind another."""
    readers = [_Reader(read_pacer(asyncio.get_running_loop()), 50e-6, turns=6) for _ in range(300)]
    while not any(reader.is_done for reader in readers):
        counts = [len(reader.reads_at) for reader in readers]
        assert max(counts) - min(counts) <= 2
        await asyncio.sleep(0)
    await _all_done(readers)


async def test_nobody_waits_where_a_turn_has_room_for_all() -> None:
    """Few readers are read as if there were no pacer, and it watches no turn when they are idle."""
    pacer = ReadPacer(asyncio.get_running_loop())
    readers = [_Reader(pacer, 0.0, turns=20) for _ in range(int(pacing._FIRST_READS))]
    turns = await _turns_until(lambda: all(reader.is_done for reader in readers))
    assert len(turns) <= 25
    await asyncio.sleep(0.01)
    assert not pacer._is_watching


async def test_nobody_waits_for_long_where_other_work_makes_turns_long() -> None:
    """Reading less would not shorten them: 1600 readers, 16 of them a turn, would take 300 turns for three reads."""
    readers = [_Reader(read_pacer(asyncio.get_running_loop()), 0.0, turns=3) for _ in range(1600)]
    turn_count = 0
    while not all(reader.is_done for reader in readers):
        _work(pacing._TURN_SECONDS * 1.1)
        await asyncio.sleep(0)
        turn_count += 1
    assert turn_count < 120
