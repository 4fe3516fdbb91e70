"""A run's events for whoever asks, from memory while it is at work here, else from the table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from microservices.assistants.objects.run import RunStatus
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.runs.event_names import LAST, REQUIRES_ACTION
from microservices.assistants.runs.journal import Journal
from microservices.assistants.runs.journals import Journals
from microservices.assistants.runs.status import has_ended
from microservices.assistants.store import run_events, runs

_PAGE = 200
#: How often the table is looked at for the events of another process, where nobody tells: at first, and at most.
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.5
#: With somebody who tells; for news that were lost with a connection.
_TOLD_WAIT_SECONDS = 5.0


async def follow(journals: Journals, run_id: str, after: int) -> AsyncGenerator[RunEvent]:
    """Yield the events of a run above a number, those to come as they happen.

    A follower keeps nothing but its place: one that is slow reads the table.
    """
    wait_seconds = _FIRST_WAIT_SECONDS
    follower = _Follower(journals, run_id, after)
    with journals.changes.watch(run_id) as changed:
        while not follower.is_over:
            changed.clear()
            events = await follower.next_events()
            for event in events:
                yield event
            if not follower.must_wait:
                wait_seconds = _FIRST_WAIT_SECONDS
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(follower.longest_wait or wait_seconds):
                    await changed.wait()
            wait_seconds = min(wait_seconds * 1.5, _LONGEST_WAIT_SECONDS)


class _Follower:
    def __init__(self, journals: Journals, run_id: str, after: int) -> None:
        self._journals = journals
        self._run_id = run_id
        self._number = after
        self._journal: Journal | None = None
        self.is_over = False
        #: Whether there was nothing, and will not be before something happens.
        self.must_wait = False

    @property
    def longest_wait(self) -> float | None:
        """How long to wait for news, in seconds; None where nobody would tell."""
        is_told = self._journals.get(self._run_id) is not None or not self._journals.database.is_sqlite
        return _TOLD_WAIT_SECONDS if is_told else None

    async def next_events(self) -> list[RunEvent]:
        """Return events that are there, and take note of where they end."""
        before = self._number
        self._journal = self._journals.get(self._run_id) or self._journal
        in_memory = self._journal.after(self._number) if self._journal else None
        events = in_memory or await self._from_table(in_memory is not None)
        if events:
            self._number = events[-1].number
            names = [event.event for event in events]
            self.is_over = names[-1] == REQUIRES_ACTION or not LAST.isdisjoint(names)
        self.must_wait = self._number == before and not self.is_over
        return events

    async def _from_table(self, memory_has_all: bool) -> list[RunEvent]:
        journal = self._journals.get(self._run_id)
        if journal is not None and memory_has_all:
            return []
        floor = journal.floor if journal else self._number
        # The status first: whoever ends a run writes its last event with it.
        status = None if journal else await self._status()
        async with self._journals.database.read() as connection:
            events = await run_events.after(connection, self._run_id, self._number, _PAGE)
        if not events and journal is None:
            self.is_over = status is None or has_ended(status) or status is RunStatus.REQUIRES_ACTION
        elif not events and floor > self._number:
            self._number = floor  # numbers that nobody uses
        return events

    async def _status(self) -> RunStatus | None:
        async with self._journals.database.read() as connection:
            run = await runs.find(connection, self._run_id)
        return None if run is None else run.status
