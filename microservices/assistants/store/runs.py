"""The runs of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.run import ACTIVE, Run, RunStatus
from microservices.assistants.store import tables
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import find_one, from_row, insert_unless_there
from servicekit.errors import InvalidRequestError, NotFoundError

_TABLE = tables.runs


class ActiveRunError(InvalidRequestError):
    """A thread takes no second active run; 400, because SDKs would send a 409 again by themselves."""

    def __init__(self, thread_id: str, run_id: str | None) -> None:
        super().__init__(f"Thread {thread_id} already has an active run{f' {run_id}' if run_id else ''}.")


async def insert(connection: AsyncConnection, run: Run) -> None:
    """Add a run.

    Raises:
        ActiveRunError: The thread has an active run. The transaction can go on.
    """
    if not await insert_unless_there(connection, _TABLE, run, ["thread_id"], tables.IS_ACTIVE):
        active = await active_of(connection, run.thread_id)
        raise ActiveRunError(run.thread_id, active.id if active else None)  # None: it ended in between


async def get(connection: AsyncConnection, owner: str, thread_id: str, run_id: str) -> Run:
    """Return one run of an owner's thread.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    is_it = (_TABLE.c.id == run_id, _TABLE.c.thread_id == thread_id, _TABLE.c.owner == owner)
    found = await find_one(connection, Run, _TABLE, *is_it)
    if found is None:
        raise NotFoundError(f"No run found with id '{run_id}'.")
    return found


async def find(connection: AsyncConnection, run_id: str) -> Run | None:
    """Return a run, whoever owns it."""
    return await find_one(connection, Run, _TABLE, _TABLE.c.id == run_id)


async def active_of(connection: AsyncConnection, thread_id: str) -> Run | None:
    """Return the run that a thread is busy with."""
    return await find_one(connection, Run, _TABLE, _TABLE.c.thread_id == thread_id, _in(ACTIVE))


async def is_any_active(connection: AsyncConnection) -> bool:
    """Return whether any thread is busy with a run."""
    return await connection.scalar(select(_TABLE.c.id).where(tables.IS_ACTIVE).limit(1)) is not None


async def update_if(
    connection: AsyncConnection,
    run_id: str,
    expected: Collection[RunStatus],
    changes: Mapping[str, Any],
    attempt: int | None = None,
) -> bool:
    """Change a run if its status is one of those expected; one statement, so that of two who try one succeeds.

    Args:
        connection: To write with.
        run_id: Which run.
        expected: The statuses that it may have.
        changes: Columns and their values.
        attempt: Which attempt it must be at; None: any.

    Returns:
        Whether it was changed.
    """
    is_it = [_TABLE.c.id == run_id, _in(expected)]
    if attempt is not None:
        is_it.append(_TABLE.c.attempts == attempt)
    return (await connection.execute(update(_TABLE).where(*is_it).values(**changes))).rowcount == 1


async def is_at_work(connection: AsyncConnection, run_id: str, attempt: int) -> bool:
    """Return whether a run is in progress and at this attempt; so it stays until the transaction ends."""
    is_it = (_TABLE.c.id == run_id, _TABLE.c.status == RunStatus.IN_PROGRESS, _TABLE.c.attempts == attempt)
    return await connection.scalar(select(_TABLE.c.id).where(*is_it).with_for_update()) is not None


async def attempts_at_work(connection: AsyncConnection, run_ids: Collection[str]) -> dict[str, int]:
    """Return at which attempt those of some runs are that are in progress."""
    is_one = (_TABLE.c.id.in_(run_ids), _TABLE.c.status == RunStatus.IN_PROGRESS)
    rows = await connection.execute(select(_TABLE.c.id, _TABLE.c.attempts).where(*is_one))
    return {row.id: row.attempts for row in rows}


async def page(connection: AsyncConnection, owner: str, thread_id: str, query: PageQuery) -> Page[Run]:
    """Return a page of the runs of an owner's thread."""
    of = [_TABLE.c.thread_id == thread_id, _TABLE.c.owner == owner]
    return await read_page(connection, _TABLE, of, query, lambda row: from_row(Run, row))


async def due(connection: AsyncConnection, now: int) -> list[Run]:
    """Return the active runs whose time is over, the longest first.

    Args:
        connection: To read with.
        now: UNIX seconds.
    """
    return await _all(connection, select(_TABLE).where(_in(ACTIVE), _TABLE.c.expires_at <= now).order_by("expires_at"))


async def with_status(connection: AsyncConnection, statuses: Collection[RunStatus], limit: int) -> list[Run]:
    """Return the runs with one of some statuses, the oldest first."""
    return await _all(connection, select(_TABLE).where(_in(statuses)).order_by(_TABLE.c.seq).limit(limit))


async def _all(connection: AsyncConnection, statement: Select[Any]) -> list[Run]:
    return [from_row(Run, row) for row in (await connection.execute(statement)).mappings()]


def _in(statuses: Collection[RunStatus]) -> ColumnElement[bool]:
    wanted = sorted(statuses)
    in_any = _TABLE.c.status.in_(wanted)
    # Said in the words of the partial indices, which serve those alone who repeat their condition.
    return in_any & tables.IS_ACTIVE if ACTIVE.issuperset(wanted) else in_any
