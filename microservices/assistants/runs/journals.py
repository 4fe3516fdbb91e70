"""The journals of all runs at work in this process, and every transaction that writes a run.

A transaction that changes a run's status writes, in this order: the run, if it is still as expected; what the journal
has not written yet; the events of the change. It is told after the commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.run import RunStatus
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.runs.changes import Changes
from microservices.assistants.runs.journal import Journal, JournalWrite
from microservices.assistants.runs.told import Told
from microservices.assistants.store import runs
from microservices.assistants.store.database import Database

#: PostgreSQL's channel on which processes tell each other that a run has new events; the payload is its id.
CHANNEL = "assistants_run_events"

#: Events are written together after this long, all runs in one transaction.
_BATCH_SECONDS = 0.025
_RETRY_SECONDS = 0.25
#: Of one run; far below journal.NUMBER_GAP.
_MOST_UNWRITTEN = 10_000
_log = logging.getLogger(__name__)


class LostRaceError(Exception):
    """The run is not as expected any more: somebody else has ended it, or goes on with it."""


class Change:
    """A change of a run that is being written.

    Attributes:
        connection: Its transaction.
        told: What is told after the commit; add to it.
    """

    def __init__(self, connection: AsyncConnection, writing: JournalWrite) -> None:
        self.connection = connection
        self.told: list[Told] = []
        self._writing = writing

    async def write_pending(self) -> None:
        """Write now what the journal has, so that this transaction can read it."""
        await self._writing.write(self.connection)


class Journals:
    """Opens, writes and closes journals.

    Args:
        database: Where the runs are.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changes = Changes()
        self._open: dict[str, Journal] = {}
        self._work = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._room = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_ending = False

    async def __aenter__(self) -> Journals:
        self._writer = asyncio.create_task(self._write_batches())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_ending = True
        self.write_soon(at_once=True)
        assert self._writer is not None  # entered  # noqa: S101
        await self._writer
        self._open.clear()
        self.changes.tell_all()

    def get(self, run_id: str) -> Journal | None:
        """Return the journal of a run that is at work here."""
        return self._open.get(run_id)

    def add(self, journal: Journal) -> None:
        """Let a run's events be written here from now on."""
        self._open[journal.run_id] = journal

    def show(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """Show a run's first events to followers here until its turn begins."""
        journal = Journal(run_id, 0, 0, self.changes)
        self.add(journal)
        journal.show(events)

    def close_shown(self, run_id: str) -> None:
        """End what `show` began, if no turn has begun here."""
        journal = self._open.get(run_id)
        if journal is not None and not journal.attempt:
            self.close(journal)

    def close(self, journal: Journal) -> None:
        """End it; what is not written will not be."""
        if self._open.get(journal.run_id) is journal:
            del self._open[journal.run_id]
        self.changes.tell(journal.run_id)

    def write_soon(self, *, at_once: bool = False) -> None:
        """Have what was told written: within a batch, or as soon as can be."""
        self._work.set()
        if at_once:
            self._is_urgent.set()

    async def write_now(self) -> None:
        """Have everything written that was told until now; what the database refuses is left."""
        self._room.clear()
        self.write_soon(at_once=True)
        await self._room.wait()

    async def room_for(self, journal: Journal) -> None:
        """Wait while too much of a journal is not written, so that a model cannot fill the memory."""
        while journal.unwritten_count > _MOST_UNWRITTEN and self.get(journal.run_id) is journal:
            self._room.clear()
            self.write_soon(at_once=True)
            await self._room.wait()

    @asynccontextmanager
    async def change(
        self, journal: Journal, expected: Collection[RunStatus], changes: Mapping[str, Any]
    ) -> AsyncGenerator[Change]:
        """Change a run that is at work here, and tell of it.

        Raises:
            LostRaceError: It has another status or attempt now. Nothing was written.
        """
        async with journal.lock:
            writing = journal.begin_write(holding=True)
            try:
                async with self.database.write() as connection:
                    if not await runs.update_if(connection, journal.run_id, expected, changes, journal.attempt):
                        raise LostRaceError  # noqa: TRY301 - as any other failure of the transaction
                    change = Change(connection, writing)
                    yield change
                    await writing.write(connection, change.told)
                    await notify(connection, journal.run_id)
            except BaseException:
                writing.end(is_committed=False)
                raise
            writing.end(is_committed=True)

    async def _write_batches(self) -> None:
        """Write until the end, what is left then included; a write is never cancelled in its middle."""
        while not self._is_ending:
            await self._work.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_BATCH_SECONDS):
                    await self._is_urgent.wait()
            self._work.clear()
            self._is_urgent.clear()
            try:
                await self._write_dirty()
            except (SQLAlchemyError, PoolTimeoutError):
                _log.exception("the events of runs could not be written; trying again in %g s", _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
                self._work.set()
            self._room.set()

    async def _write_dirty(self) -> None:
        """Write all journals that nobody else is writing, in one transaction."""
        async with AsyncExitStack() as stack:
            dirty = [journal for _, journal in sorted(self._open.items()) if journal.is_dirty]
            free = [journal for journal in dirty if not journal.lock.locked()]
            for journal in free:
                await stack.enter_async_context(journal.lock)
            if free:
                await self._write_together(free)

    async def _write_together(self, journals: list[Journal]) -> None:
        written: list[JournalWrite] = []
        async with self.database.write() as connection:
            for journal in journals:
                if await runs.is_at_work(connection, journal.run_id, journal.attempt):
                    writing = journal.begin_write()
                    await writing.write(connection)
                    await notify(connection, journal.run_id)
                    written.append(writing)
                else:
                    self.close(journal)
        for writing in written:
            writing.end(is_committed=True)


async def notify(connection: AsyncConnection, run_id: str) -> None:
    """Tell the other processes with this transaction's commit that a run has new events."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_notify(:channel, :run_id)"), {"channel": CHANNEL, "run_id": run_id})
