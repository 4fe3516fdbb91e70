"""Ends a run from outside of its work: cancelled by its owner, or expired by the clock."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import ACTIVE, Run, RunStatus
from microservices.assistants.runs import event_names
from microservices.assistants.runs.crash_points import Reach
from microservices.assistants.runs.journal import NUMBER_GAP, Journal
from microservices.assistants.runs.journals import Change, Journals, LostRaceError, notify
from microservices.assistants.runs.leftovers import close_leftovers
from microservices.assistants.runs.status import Stopped, time_field
from microservices.assistants.store import run_events, runs

#: Only at these may another process have told events that it has not written.
_AT_WORK = frozenset({RunStatus.IN_PROGRESS, RunStatus.CANCELLING})


async def end_run(journals: Journals, run: Run, status: Stopped, reach: Reach, error: JsonObject | None = None) -> Run:
    """End an active run with all that it has open, in one transaction, wherever it is at work.

    Args:
        journals: Of this process.
        run: As it was just read.
        status: Its last one.
        reach: Is told of the point before the commit.
        error: The `last_error` of a run that fails.

    Returns:
        The run that has ended.

    Raises:
        LostRaceError: It has changed since.
    """
    changes = _changes(status, error)
    journal = journals.get(run.id)
    if journal is not None and journal.attempt == run.attempts:
        async with journals.change(journal, ACTIVE, changes) as change:
            await _stop(change, run, changes)
            reach("mid_cancel")
        journals.close(journal)
        return replace(run, **changes)
    async with journals.database.write() as connection:
        if not await runs.update_if(connection, run.id, {run.status}, changes, run.attempts):
            raise LostRaceError
        number = await run_events.last_number(connection, run.id) + (NUMBER_GAP if run.status in _AT_WORK else 0)
        journal = Journal(run.id, run.attempts, number, journals.changes)
        writing = journal.begin_write()
        change = Change(connection, writing)
        await _stop(change, run, changes)
        await writing.write(connection, change.told)
        await notify(connection, run.id)
        reach("mid_cancel")
    writing.end(is_committed=True)
    return replace(run, **changes)


def _changes(status: Stopped, error: JsonObject | None) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": status, "required_action": None, "last_error": error}
    if (field := time_field(status)) is not None:
        changes[field] = int(time.time())
    return changes


async def _stop(change: Change, run: Run, changes: dict[str, Any]) -> None:
    status: Stopped = changes["status"]
    await change.write_pending()
    if status is RunStatus.CANCELLED:
        cancelling = replace(run, status=RunStatus.CANCELLING, required_action=None)
        change.told.append((event_names.of_run(RunStatus.CANCELLING), cancelling.to_json()))
    change.told += await close_leftovers(change.connection, run, status, changes["last_error"])
    change.told.append((event_names.of_run(status), replace(run, **changes).to_json()))
