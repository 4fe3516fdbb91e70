"""The files of vector stores; whose they are is their vector store's matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.vector_store_file import FileBatch, VectorStoreFile
from microservices.assistants.store import search_tables
from microservices.assistants.store.former_places import delete_listed
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import delete_where, find_one, from_row, insert_items
from microservices.assistants.store.vector_stores import Counted, count_by
from servicekit.errors import NotFoundError

_TABLE = search_tables.vector_store_files
_BATCHES = search_tables.file_batches
_IDS_PER_QUERY = 500
_IS_OPEN = search_tables.IS_OPEN


async def add(connection: AsyncConnection, files: Sequence[VectorStoreFile]) -> None:
    """Add files of one vector store, to be indexed; one that it has already is indexed anew.

    The vector store is locked, and the files are known to be there: two that add the same file do so in turn.
    """
    for start in range(0, len(files), _IDS_PER_QUERY):
        some = files[start : start + _IDS_PER_QUERY]
        ids = [file.id for file in some]
        await delete_where(
            connection, _TABLE, _TABLE.c.vector_store_id == some[0].vector_store_id, _TABLE.c.id.in_(ids)
        )
        await insert_items(connection, _TABLE, some)


async def not_failed(connection: AsyncConnection, store_id: str, file_ids: Sequence[str]) -> set[str]:
    """Return those of these files that a vector store has already, indexed or about to be."""
    statement = select(_TABLE.c.id).where(
        _TABLE.c.vector_store_id == store_id,
        _TABLE.c.id.in_(file_ids),
        _TABLE.c.status.in_(("in_progress", "completed")),
    )
    return set(await connection.scalars(statement))


async def get(connection: AsyncConnection, store_id: str, file_id: str) -> VectorStoreFile:
    """Return one file of a vector store.

    Raises:
        NotFoundError: It is not in this vector store.
    """
    found = await find_one(connection, VectorStoreFile, _TABLE, *_is(store_id, file_id))
    if found is None:
        raise _not_found(store_id, file_id)
    return found


async def update_attributes(connection: AsyncConnection, store_id: str, file_id: str, attributes: JsonObject) -> None:
    """Change what a search can filter a file by."""
    await connection.execute(update(_TABLE).where(*_is(store_id, file_id)).values(attributes=attributes))


async def delete(connection: AsyncConnection, store_id: str, file_id: str) -> None:
    """Take a file out of a vector store; the file itself stays.

    Raises:
        NotFoundError: It is not in this vector store.
    """
    if not await delete_listed(connection, _TABLE, *_is(store_id, file_id)):
        raise _not_found(store_id, file_id)


async def page(
    connection: AsyncConnection,
    store_id: str,
    query: PageQuery,
    *,
    status: str | None = None,
    batch_id: str | None = None,
) -> Page[VectorStoreFile]:
    """Return a page of a vector store's files: all, those that stand somewhere, those of a batch."""
    of = [_TABLE.c.vector_store_id == store_id]
    if status is not None:
        of.append(_TABLE.c.status == status)
    if batch_id is not None:
        of.append(_TABLE.c.batch_id == batch_id)
    return await read_page(connection, _TABLE, of, query, lambda row: from_row(VectorStoreFile, row))


async def attributes_of(connection: AsyncConnection, store_ids: Sequence[str]) -> Sequence[Row[tuple[str, JsonObject]]]:
    """Return the id and attributes of each file that can be searched."""
    statement = select(_TABLE.c.id, _TABLE.c.attributes).where(
        _TABLE.c.vector_store_id.in_(store_ids), _TABLE.c.status == "completed"
    )
    return (await connection.execute(statement)).all()


async def is_any_open(connection: AsyncConnection, store_ids: Sequence[str]) -> bool:
    """Whether a file of these vector stores is still to be indexed."""
    return bool(await connection.scalar(select(exists().where(_TABLE.c.vector_store_id.in_(store_ids), _IS_OPEN))))


async def is_any_claimable(connection: AsyncConnection, now: int) -> bool:
    """Whether `claim` would find a file: asked first, since looking needs no turn among the writers."""
    return bool(await connection.scalar(select(exists().where(_IS_OPEN, _TABLE.c.claimed_until <= now))))


async def claim(connection: AsyncConnection, now: int, until: int) -> VectorStoreFile | None:
    """Take the oldest file that is to be indexed and that no process works on; None if there is none.

    The `attempts` of what is returned tell this claim from all others of the file: `change_claimed` asks for them.
    """
    oldest = (
        select(_TABLE.c.seq)
        .where(_IS_OPEN, _TABLE.c.claimed_until <= now)
        .order_by(_TABLE.c.seq)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = update(_TABLE).where(_TABLE.c.seq == oldest, _IS_OPEN)
    values = {"claimed_until": until, "attempts": _TABLE.c.attempts + 1}
    row = (await connection.execute(taken.values(values).returning(_TABLE))).mappings().first()
    return None if row is None else from_row(VectorStoreFile, row)


async def change_claimed(connection: AsyncConnection, file: VectorStoreFile, changes: Mapping[str, Any]) -> bool:
    """Change a file that was claimed; False if it was deleted, cancelled, or claimed by somebody else since."""
    is_ours = (*_is(file.vector_store_id, file.id), _IS_OPEN, _TABLE.c.attempts == file.attempts)
    return (await connection.execute(update(_TABLE).where(*is_ours).values(**changes))).rowcount == 1


async def add_batch(connection: AsyncConnection, batch: FileBatch) -> None:
    """Add a batch; its files are added by `add`."""
    await insert_items(connection, _BATCHES, [batch])


async def get_batch(connection: AsyncConnection, store_id: str, batch_id: str) -> FileBatch:
    """Return one batch of a vector store.

    Raises:
        NotFoundError: The vector store has none with this id.
    """
    where = (_BATCHES.c.id == batch_id, _BATCHES.c.vector_store_id == store_id)
    found = await find_one(connection, FileBatch, _BATCHES, *where)
    if found is None:
        raise NotFoundError(f"No file batch found with id '{batch_id}' in vector store '{store_id}'.")
    return found


async def cancel_batch(connection: AsyncConnection, batch_id: str) -> None:
    """Cancel those files of a batch that are not indexed yet."""
    await connection.execute(update(_BATCHES).where(_BATCHES.c.id == batch_id).values(is_cancelled=True))
    await connection.execute(update(_TABLE).where(_TABLE.c.batch_id == batch_id, _IS_OPEN).values(status="cancelled"))


async def counted_batch(connection: AsyncConnection, batch_id: str) -> Counted:
    """Return what is counted of a batch's files."""
    return (await count_by(connection, _TABLE.c.batch_id, [batch_id]))[batch_id]


def _is(store_id: str, file_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.vector_store_id == store_id, _TABLE.c.id == file_id


def _not_found(store_id: str, file_id: str) -> NotFoundError:
    return NotFoundError(f"No file found with id '{file_id}' in vector store '{store_id}'.")
