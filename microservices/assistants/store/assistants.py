"""The assistants of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import insert as insert_rows
from sqlalchemy import select
from sqlalchemy import update as update_rows
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.store import tables
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import from_row, to_row
from servicekit.errors import NotFoundError

_TABLE = tables.assistants


async def insert(connection: AsyncConnection, assistant: Assistant) -> None:
    """Add an assistant."""
    await connection.execute(insert_rows(_TABLE).values(to_row(assistant, _TABLE)))


async def get(connection: AsyncConnection, owner: str, assistant_id: str) -> Assistant:
    """Return one assistant of an owner.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    where = (_TABLE.c.id == assistant_id, _TABLE.c.owner == owner)
    row = (await connection.execute(select(_TABLE).where(*where))).mappings().first()
    if row is None:
        raise NotFoundError(f"No assistant found with id '{assistant_id}'.")
    return from_row(Assistant, row)


async def update(connection: AsyncConnection, assistant_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of an assistant that is there."""
    if changes:
        await connection.execute(update_rows(_TABLE).where(_TABLE.c.id == assistant_id).values(**changes))


async def delete(connection: AsyncConnection, owner: str, assistant_id: str) -> None:
    """Delete an assistant; its runs and messages stay.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    where = (_TABLE.c.id == assistant_id, _TABLE.c.owner == owner)
    if (await connection.execute(delete_rows(_TABLE).where(*where))).rowcount == 0:
        raise NotFoundError(f"No assistant found with id '{assistant_id}'.")


async def page(connection: AsyncConnection, owner: str, query: PageQuery) -> Page[Assistant]:
    """Return a page of an owner's assistants."""
    return await read_page(connection, _TABLE, [_TABLE.c.owner == owner], query, lambda row: from_row(Assistant, row))
