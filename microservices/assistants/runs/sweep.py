"""Looks again and again for runs that nobody works at: queued ones, overdue ones, those of dead processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

#: What a database can fail with; the next sweep tries again.
DATABASE_FAILURES: Final = (SQLAlchemyError, PoolTimeoutError, psycopg.Error, dbos_error.DBOSException, OSError)
_log = logging.getLogger(__name__)

Chore = Callable[[], Awaitable[None]]


class Sweep:
    """Does chores in turn, every so often.

    Args:
        seconds: Between two rounds.
        is_due: Whether there is anything to do in this round: an idle process should cost nothing.
        chores: In each round.
        urgent: That one of them that is also done at once when asked for.
        rare: Is done in every so many seconds, the first time after one round.
        rare_seconds: How many.
    """

    def __init__(
        self,
        seconds: float,
        is_due: Callable[[], Awaitable[bool]],
        chores: Sequence[Chore],
        *,
        urgent: Chore,
        rare: Chore,
        rare_seconds: float = 600.0,
    ) -> None:
        self._seconds = seconds
        self._is_due = is_due
        self._chores = chores
        self._urgent = urgent
        self._rare = rare
        self._rare_seconds = rare_seconds
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_ending = False

    async def __aenter__(self) -> Sweep:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End after the chore that is being done: one that is cancelled would leave a connection behind."""
        self._is_ending = True
        self._kick.set()
        assert self._task is not None  # entered  # noqa: S101
        await self._task

    def hurry(self) -> None:
        """Have the urgent chore done now."""
        self._kick.set()

    async def _work(self) -> None:
        next_round = next_rare = time.monotonic()
        while not self._is_ending:
            now = time.monotonic()
            if now >= next_round:
                await self._do([self._round])
                next_round = now + self._seconds
            elif self._kick.is_set():
                self._kick.clear()
                await self._do([self._urgent])
            if now >= next_rare:
                await self._do([self._rare])
                next_rare = now + self._rare_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_round - time.monotonic())):
                    await self._kick.wait()

    async def _round(self) -> None:
        if await self._is_due():
            await self._do(self._chores)

    async def _do(self, chores: Sequence[Chore]) -> None:
        for chore in chores:
            if self._is_ending:
                return
            try:
                await chore()
            except DATABASE_FAILURES:
                _log.exception("the database failed a chore of the runs; it is tried again in %g s", self._seconds)
