"""The events of a run while it is at work in this process: told at once, written a little later.

Events are numbered here, so one writer has a run's numbers at a time; the attempt of the run guards that
(`runs.is_at_work`). Whoever goes on with a run that another writer may have left with events that were told and not
written begins a gap later: clients that saw those numbers still get all that comes, and none of it twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.message import Message
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs.changes import Changes
from microservices.assistants.runs.told import Told, numbered
from microservices.assistants.store import messages, run_events, run_steps, tables
from microservices.assistants.store.rows import to_row

#: More events than a writer can have told without writing one of them.
NUMBER_GAP: Final = 1_000_000
#: Written events stay in memory up to these bounds, for followers that are a little behind; others read the table.
_KEPT_EVENTS = 1_000
_KEPT_BYTES = 512 * 1024


class Journal:
    """Events, and the rows of the message and the steps that they tell of.

    Args:
        run_id: Whose events.
        attempt: Of the run, while this journal may write; 0: not yet.
        last_number: Of the events that the table has; the next one's is above it.
        changes: Who is told that there is more.
    """

    def __init__(self, run_id: str, attempt: int, last_number: int, changes: Changes) -> None:
        self.run_id = run_id
        self.attempt = attempt
        #: Whoever writes this run holds it, so that numbers reach the table in their order.
        self.lock = asyncio.Lock()
        self._changes = changes
        self._last_number = last_number
        self._unwritten: list[RunEvent] = []
        self._kept: deque[RunEvent] = deque()
        self._kept_bytes = 0
        self._floor = last_number
        self._rows: dict[str, Message | RunStep] = {}
        #: What is told while a transaction that tells events of its own is not over; None outside of one.
        self._held: list[Told] | None = None
        self._inserted: set[str] = set()

    @property
    def last_number(self) -> int:
        """The number of the last event."""
        return self._last_number

    @property
    def is_dirty(self) -> bool:
        """Whether something is not in the database yet."""
        return bool(self._unwritten or self._rows)

    @property
    def unwritten_count(self) -> int:
        """How many events the database does not have yet."""
        return len(self._unwritten)

    @property
    def floor(self) -> int:
        """All events with higher numbers are in memory."""
        return self._floor

    def begin(self, attempt: int) -> None:
        """Let a journal that only showed a run's first events write from now on."""
        self.attempt = attempt

    def show(self, events: Sequence[RunEvent]) -> None:
        """Keep events in memory that the table has, from the run's first one on."""
        self._last_number = events[-1].number
        self._floor = 0
        self._keep(events)

    def tell(self, *told: Told) -> None:
        """Tell events to the followers now; they are written with the next write."""
        if self._held is not None:
            self._held += told
            return
        events = self.number(told)
        self._unwritten += events
        self._keep(events)

    def put(self, row: Message | RunStep) -> None:
        """Let the database have a message or step in this state with the next write."""
        self._rows[row.id] = row

    def after(self, number: int) -> list[RunEvent] | None:
        """Return the events above a number; None where some of them are in the table alone."""
        if number < self._floor:
            return None
        if not self._kept or self._kept[-1].number <= number:
            return []
        return [event for event in self._kept if event.number > number]

    def begin_write(self, *, holding: bool = False) -> JournalWrite:
        """Begin to write in a transaction; whoever does holds the lock.

        Args:
            holding: What is told from now on waits for the transaction's end, and comes after what it tells.
        """
        if holding:
            self._held = []
        return JournalWrite(self)

    def unwritten(self) -> tuple[list[Message | RunStep], list[RunEvent]]:
        """Return the rows and events that the database does not have yet."""
        return list(self._rows.values()), list(self._unwritten)

    def note_commit(self, rows: Sequence[Message | RunStep], event_count: int, ending: Sequence[RunEvent]) -> None:
        """Take note of what is in the database now; `ending` is told."""
        for row in rows:
            self._inserted.add(row.id)
            if self._rows.get(row.id) is row:
                del self._rows[row.id]
        del self._unwritten[:event_count]
        self._keep(ending)
        self.release()

    def release(self) -> None:
        """Tell what was held during a transaction."""
        held, self._held = self._held, None
        if held:
            self.tell(*held)

    def number(self, told: Sequence[Told]) -> list[RunEvent]:
        """Give events their numbers."""
        events = numbered(told, self._last_number)
        self._last_number += len(told)
        return events

    async def write_row(self, connection: AsyncConnection, row: Message | RunStep) -> None:
        """Let the database have a row in this state."""
        is_there = row.id in self._inserted
        if isinstance(row, Message):
            if is_there:
                await messages.update(connection, row.id, to_row(row, tables.messages))
            else:
                await messages.insert(connection, row)
        elif is_there:
            await run_steps.update(connection, row.id, to_row(row, tables.run_steps))
        else:
            await run_steps.insert(connection, row)

    def _keep(self, events: Sequence[RunEvent]) -> None:
        self._kept.extend(events)
        self._kept_bytes += sum(len(event.data) for event in events)
        first_unwritten = self._unwritten[0].number if self._unwritten else self._last_number + 1
        while len(self._kept) > _KEPT_EVENTS or self._kept_bytes > _KEPT_BYTES:
            if not self._kept or self._kept[0].number >= first_unwritten:
                break
            dropped = self._kept.popleft()
            self._kept_bytes -= len(dropped.data)
            self._floor = dropped.number
        self._changes.tell(self.run_id)


class JournalWrite:
    """What one transaction writes of a journal.

    Args:
        journal: Whose lock is held.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: list[Message | RunStep] | None = None
        self._event_count = 0
        self._ending: list[RunEvent] = []

    async def write(self, connection: AsyncConnection, ending: Sequence[Told] = ()) -> None:
        """Write what is not written yet, once, and events that are told after the commit.

        Args:
            connection: In a transaction that has checked that the run is still at the journal's attempt.
            ending: Such as the run's new status.
        """
        events: list[RunEvent] = []
        if self._rows is None:
            self._rows, events = self._journal.unwritten()
            self._event_count = len(events)
            for row in self._rows:
                await self._journal.write_row(connection, row)
        self._ending += self._journal.number(ending)
        await run_events.append(connection, self._journal.run_id, [*events, *self._ending])

    def end(self, *, is_committed: bool) -> None:
        """Say how the transaction has ended; after a roll-back all but `ending` will be written again."""
        if is_committed:
            self._journal.note_commit(self._rows or (), self._event_count, self._ending)
        else:
            self._journal.release()
