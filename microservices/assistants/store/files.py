"""The files of the store, and their content in parts. A file that has expired is not there any more."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.file import File
from microservices.assistants.store import file_tables
from microservices.assistants.store.former_places import delete_listed
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import delete_where, find_one, from_row, insert_items
from servicekit.errors import NotFoundError

_TABLE = file_tables.files
_PARTS = file_tables.file_parts
#: A database takes so many values in one statement.
_IDS_PER_QUERY = 500


async def add(connection: AsyncConnection, file: File) -> None:
    """Add a file, without its content."""
    await insert_items(connection, _TABLE, [file])


async def add_part(connection: AsyncConnection, file_id: str, number: int, data: bytes) -> None:
    """Add the next part of a file's content; the first is number 0."""
    await connection.execute(insert(_PARTS).values(file_id=file_id, number=number, data=data))


async def get(connection: AsyncConnection, owner: str, file_id: str) -> File:
    """Return one file of an owner.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    found = await find_one(connection, File, _TABLE, _TABLE.c.id == file_id, *_are_of(owner))
    if found is None:
        raise not_found(file_id)
    return found


async def find_missing(connection: AsyncConnection, owner: str, file_ids: Sequence[str]) -> str | None:
    """Return the first of these ids under which an owner has no file; the others stay until the transaction ends."""
    there: set[str] = set()
    for start in range(0, len(file_ids), _IDS_PER_QUERY):
        asked = file_ids[start : start + _IDS_PER_QUERY]
        statement = select(_TABLE.c.id).where(_TABLE.c.id.in_(asked), *_are_of(owner))
        there.update(await connection.scalars(statement.with_for_update(read=True, key_share=True)))
    return next((file_id for file_id in file_ids if file_id not in there), None)


async def part(connection: AsyncConnection, file_id: str, number: int) -> bytes | None:
    """Return a part of a file's content; None behind the last one."""
    found: bytes | None = await connection.scalar(
        select(_PARTS.c.data).where(_PARTS.c.file_id == file_id, _PARTS.c.number == number)
    )
    return found


async def content(connection: AsyncConnection, file_id: str) -> bytes:
    """Return the whole content of a file."""
    statement = select(_PARTS.c.data).where(_PARTS.c.file_id == file_id).order_by(_PARTS.c.number)
    return b"".join(await connection.scalars(statement))


async def name_of(connection: AsyncConnection, file_id: str) -> str:
    """Return a file's name; "" if it was deleted."""
    return await connection.scalar(select(_TABLE.c.filename).where(_TABLE.c.id == file_id)) or ""


async def delete(connection: AsyncConnection, owner: str, file_id: str) -> None:
    """Delete a file, out of every vector store, too.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    if not await delete_listed(connection, _TABLE, _TABLE.c.id == file_id, *_are_of(owner)):
        raise not_found(file_id)


async def delete_expired(connection: AsyncConnection) -> None:
    """Delete the files that have expired."""
    await delete_where(connection, _TABLE, _TABLE.c.expires_at <= int(time.time()))


async def page(connection: AsyncConnection, owner: str, query: PageQuery, purpose: str | None = None) -> Page[File]:
    """Return a page of an owner's files, or of those with one purpose."""
    of = [*_are_of(owner), *([] if purpose is None else [_TABLE.c.purpose == purpose])]
    return await read_page(connection, _TABLE, of, query, lambda row: from_row(File, row))


def not_found(file_id: str) -> NotFoundError:
    """Return the error that says that there is no such file."""
    return NotFoundError(f"No file found with id '{file_id}'.", param="file_id")


def _are_of(owner: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    is_there = or_(_TABLE.c.expires_at.is_(None), _TABLE.c.expires_at > int(time.time()))
    return _TABLE.c.owner == owner, is_there
