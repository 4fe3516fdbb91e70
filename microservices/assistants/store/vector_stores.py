"""The vector stores of the store, and what is counted of their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.vector_store import FileCounts, VectorStore
from microservices.assistants.store import search_tables
from microservices.assistants.store.former_places import delete_listed
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import find_one, from_row, insert_items, update_item
from servicekit.errors import NotFoundError

_TABLE = search_tables.vector_stores
_FILES = search_tables.vector_store_files
#: `last_active_at` is not written more often than this: a search should not wait for a write.
_ACTIVE_SECONDS = 60


class Counted(NamedTuple):
    """What is counted of a vector store's files, or of a batch's."""

    counts: FileCounts = FileCounts()
    usage_bytes: int = 0


async def add(connection: AsyncConnection, store: VectorStore) -> None:
    """Add a vector store."""
    await insert_items(connection, _TABLE, [store])


async def get(connection: AsyncConnection, owner: str, store_id: str) -> VectorStore:
    """Return one vector store of an owner.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    return _found(await find_one(connection, VectorStore, _TABLE, *_is(owner, store_id)), store_id)


async def lock(connection: AsyncConnection, owner: str, store_id: str) -> VectorStore:
    """Return a vector store that nobody else adds files to or deletes until the transaction ends.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    return _found(await find_one(connection, VectorStore, _TABLE, *_is(owner, store_id), locked=True), store_id)


async def of_owner(connection: AsyncConnection, owner: str, store_ids: Sequence[str]) -> list[VectorStore]:
    """Return those of these vector stores that are an owner's."""
    rows = await connection.execute(select(_TABLE).where(_TABLE.c.id.in_(store_ids), _TABLE.c.owner == owner))
    return [from_row(VectorStore, row) for row in rows.mappings()]


async def update_fields(connection: AsyncConnection, store_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of a vector store that is there."""
    await update_item(connection, _TABLE, store_id, changes)


async def note_activity(connection: AsyncConnection, store_ids: Sequence[str], now: int) -> None:
    """Note that vector stores are in use, which puts off their end."""
    await connection.execute(update(_TABLE).where(_TABLE.c.id.in_(store_ids)).values(last_active_at=now))


def needs_note(store: VectorStore, now: int) -> bool:
    """Whether it is time to note a vector store's use."""
    return store.last_active_at + _ACTIVE_SECONDS <= now


async def delete(connection: AsyncConnection, owner: str, store_id: str) -> None:
    """Delete a vector store with all that finds its files; the files stay.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    if not await delete_listed(connection, _TABLE, *_is(owner, store_id)):
        raise not_found(store_id)


async def page(connection: AsyncConnection, owner: str, query: PageQuery) -> Page[VectorStore]:
    """Return a page of an owner's vector stores."""
    return await read_page(connection, _TABLE, [_TABLE.c.owner == owner], query, lambda row: from_row(VectorStore, row))


async def counted(connection: AsyncConnection, store_ids: Sequence[str]) -> defaultdict[str, Counted]:
    """Return what is counted of the files of vector stores, by their ids."""
    return await count_by(connection, _FILES.c.vector_store_id, store_ids)


async def count_by(
    connection: AsyncConnection, column: ColumnElement[str], values: Sequence[str]
) -> defaultdict[str, Counted]:
    """Return what is counted of the files of vector stores, by the values of a column of theirs."""
    statement = (
        select(column, _FILES.c.status, func.count(), func.sum(_FILES.c.usage_bytes))
        .where(column.in_(values))
        .group_by(column, _FILES.c.status)
    )
    found: defaultdict[str, Counted] = defaultdict(Counted)
    for value, status, count, size_bytes in (await connection.execute(statement)).all():
        before = found[value]
        counts = {**{name: getattr(before.counts, name) for name in FileCounts.__slots__}, status: count}
        found[value] = Counted(FileCounts(**counts), before.usage_bytes + int(size_bytes))
    return found


def not_found(store_id: str) -> NotFoundError:
    """Return the error that says that there is no such vector store."""
    return NotFoundError(f"No vector store found with id '{store_id}'.")


def _found(store: VectorStore | None, store_id: str) -> VectorStore:
    if store is None:
        raise not_found(store_id)
    return store


def _is(owner: str, store_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.id == store_id, _TABLE.c.owner == owner
