"""Shares a busy event loop between streams under way and everything else.

A turn of the loop handles every socket that is ready. With a thousand streams that is tens of milliseconds of work, and
whoever begins meanwhile waits for such a turn at every step: to be accepted, read, connected, sent, answered. So a turn
handles only so many reads of streams under way that it stays short. Streams beyond that are read a little later, some
of their tokens at a time, which costs less, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from servicekit.per_loop import PerLoop

#: How long a turn should take at most; how many reads that is, is found out.
_TURN_SECONDS = 0.0025
_FIRST_READS = 100.0
_LEAST_READS = 16.0
_MOST_READS = 4096.0
_FEWER, _MORE = 0.8, 1.1
#: Whoever waits is read after about so many turns at most: what else makes turns long does not end by reading less.
_MOST_TURNS_WAITED = 16


class PacedReader(Protocol):
    """What can be told to read later."""

    def pause_for_others(self) -> None:
        """Read no more until `resume_after_others`."""

    def resume_after_others(self) -> None:
        """Read again; harmless if it was closed meanwhile."""


class ReadPacer:
    """Holds back the reads of one event loop that would make its turns long; those that waited longest come first.

    Args:
        loop: Whose turns.
    """

    __slots__ = ("_began", "_budget", "_is_watching", "_loop", "_reads", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._budget = _FIRST_READS
        self._reads = 0
        self._waiting: deque[PacedReader] = deque()
        self._is_watching = False
        #: When the turn began, monotonic clock; 0 if it was not watched from its beginning.
        self._began = 0.0

    @property
    def is_active(self) -> bool:
        """Whether streams are being read: a turn may be long, and who begins should wait for as few as possible."""
        return self._is_watching

    def note_read(self, reader: PacedReader) -> None:
        """Count a read; beyond the turn's share, or behind others that wait, the reader's next one has to wait."""
        self._reads += 1
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_soon(self._end_turn)
        if self._waiting or self._reads > self._budget:
            reader.pause_for_others()
            self._waiting.append(reader)

    def _end_turn(self) -> None:
        now, reads, self._reads = time.monotonic(), self._reads, 0
        waiting = self._waiting
        if not waiting:
            self._is_watching = False
            self._began = 0.0
            return
        if self._began:
            self._adapt(now - self._began, reads)
        self._began = now
        share = max(int(self._budget), len(waiting) // _MOST_TURNS_WAITED)
        for _ in range(min(share, len(waiting))):
            waiting.popleft().resume_after_others()
        self._loop.call_soon(self._end_turn)

    def _adapt(self, seconds: float, reads: int) -> None:
        if seconds > _TURN_SECONDS:
            self._budget = max(_LEAST_READS, self._budget * _FEWER)
        elif reads >= int(self._budget):
            self._budget = min(_MOST_READS, self._budget * _MORE)


#: The pacer of an event loop.
read_pacer = PerLoop(ReadPacer)
