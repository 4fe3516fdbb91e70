"""What the streams of runs showed, kept for those who come back and for other processes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.store import tables
from microservices.assistants.store.rows import delete_where

_TABLE = tables.run_events


async def append(connection: AsyncConnection, run_id: str, events: Sequence[RunEvent]) -> None:
    """Add events to a run; their numbers go on from its last one.

    Raises:
        sqlalchemy.exc.IntegrityError: A number is taken: another process writes the events of this run.
    """
    if events:
        rows = [
            {"run_id": run_id, "number": event.number, "event": event.event, "data": event.data.decode()}
            for event in events
        ]
        await connection.execute(insert(_TABLE), rows)


async def after(connection: AsyncConnection, run_id: str, number: int, limit: int) -> list[RunEvent]:
    """Return the next events of a run after a number, in their order."""
    of_run = (_TABLE.c.run_id == run_id, _TABLE.c.number > number)
    statement = select(_TABLE).where(*of_run).order_by(_TABLE.c.number).limit(limit)
    rows = await connection.execute(statement)
    return [RunEvent(row.number, row.event, row.data.encode()) for row in rows]


async def last_number(connection: AsyncConnection, run_id: str) -> int:
    """Return the number of a run's last event; 0 if there is none."""
    return await connection.scalar(select(func.max(_TABLE.c.number)).where(_TABLE.c.run_id == run_id)) or 0


async def prune(connection: AsyncConnection, before: int, limit: int = 200) -> int:
    """Delete the events of runs that were made before a time and have ended.

    Args:
        connection: To write with.
        before: UNIX seconds.
        limit: Runs; the caller comes again while it gets this many, so that no transaction is long.

    Returns:
        How many runs lost their events.
    """
    of_old_run = (tables.runs.c.created_at < before, ~tables.IS_ACTIVE)
    old = select(_TABLE.c.run_id).join(tables.runs).where(_TABLE.c.number == 1, *of_old_run).limit(limit)
    run_ids = (await connection.scalars(old)).all()
    if run_ids:
        await delete_where(connection, _TABLE, _TABLE.c.run_id.in_(run_ids))
    return len(run_ids)
