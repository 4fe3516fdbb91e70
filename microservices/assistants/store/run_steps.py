"""The run steps of the store; whose they are is their run's matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.store import tables
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import find_one, from_row, insert_items, update_item
from servicekit.errors import NotFoundError

_TABLE = tables.run_steps


async def insert(connection: AsyncConnection, step: RunStep) -> None:
    """Add a step to its run."""
    await insert_items(connection, _TABLE, [step])


async def get(connection: AsyncConnection, run_id: str, step_id: str) -> RunStep:
    """Return one step of a run.

    Raises:
        NotFoundError: The run has none with this id.
    """
    found = await find_one(connection, RunStep, _TABLE, _TABLE.c.id == step_id, _TABLE.c.run_id == run_id)
    if found is None:
        raise NotFoundError(f"No run step found with id '{step_id}'.")
    return found


async def update(connection: AsyncConnection, step_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of a step that is there."""
    await update_item(connection, _TABLE, step_id, changes)


async def page(connection: AsyncConnection, run_id: str, query: PageQuery) -> Page[RunStep]:
    """Return a page of a run's steps."""
    return await read_page(connection, _TABLE, [_TABLE.c.run_id == run_id], query, lambda row: from_row(RunStep, row))


async def of_run(connection: AsyncConnection, run_id: str) -> list[RunStep]:
    """Return all steps of a run, the oldest first."""
    statement = select(_TABLE).where(_TABLE.c.run_id == run_id).order_by(_TABLE.c.seq)
    return [from_row(RunStep, row) for row in (await connection.execute(statement)).mappings()]


async def last_open(connection: AsyncConnection, run_id: str) -> RunStep | None:
    """Return the newest step of a run that has not ended."""
    is_open = (_TABLE.c.run_id == run_id, _TABLE.c.status == "in_progress")
    statement = select(_TABLE).where(*is_open).order_by(_TABLE.c.seq.desc()).limit(1)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else from_row(RunStep, row)
