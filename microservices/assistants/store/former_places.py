"""Where objects stood in their lists before they were deleted.

SDKs ask for the next page by the last id of this one, so a loop that deletes what it lists would end with a 404 at its
second page.
"""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, Column, ColumnElement, Table, Text, delete, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.store.columns import metadata, time_column
from microservices.assistants.store.rows import delete_where

former_places = Table(
    "former_places",
    metadata,
    Column("listed_in", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    time_column("deleted_at", nullable=False),
)


async def delete_listed(connection: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> int:
    """Delete rows and keep their places; returns how many there were."""
    found = (await connection.execute(select(table.c.id, table.c.seq).where(*where))).all()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for row in found:
        statement = dialect.insert(former_places).values(
            listed_in=table.name, id=row.id, seq=row.seq, deleted_at=int(time.time())
        )
        place = {"seq": statement.excluded.seq, "deleted_at": statement.excluded.deleted_at}
        await connection.execute(statement.on_conflict_do_update(index_elements=["listed_in", "id"], set_=place))
    return await delete_where(connection, table, *where) if found else 0


async def former_place(connection: AsyncConnection, table: Table, item_id: str) -> int | None:
    """Return the sequence number that a deleted object had; None if nothing is known of it."""
    is_it = (former_places.c.listed_in == literal(table.name), former_places.c.id == item_id)
    return await connection.scalar(select(former_places.c.seq).where(*is_it))


async def prune(connection: AsyncConnection, before: int) -> None:
    """Forget the places of what was deleted before a time, in UNIX seconds."""
    await connection.execute(delete(former_places).where(former_places.c.deleted_at < before))
