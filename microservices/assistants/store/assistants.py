"""The assistants of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.store import tables
from microservices.assistants.store.former_places import delete_listed
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import find_one, from_row, insert_items, update_item
from servicekit.errors import NotFoundError

_TABLE = tables.assistants


async def insert(connection: AsyncConnection, assistant: Assistant) -> None:
    """Add an assistant."""
    await insert_items(connection, _TABLE, [assistant])


async def get(connection: AsyncConnection, owner: str, assistant_id: str) -> Assistant:
    """Return one assistant of an owner.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    found = await find_one(connection, Assistant, _TABLE, *_is(owner, assistant_id))
    if found is None:
        raise _not_found(assistant_id)
    return found


async def update(connection: AsyncConnection, assistant_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of an assistant that is there."""
    await update_item(connection, _TABLE, assistant_id, changes)


async def delete(connection: AsyncConnection, owner: str, assistant_id: str) -> None:
    """Delete an assistant; its runs and messages stay.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    if not await delete_listed(connection, _TABLE, *_is(owner, assistant_id)):
        raise _not_found(assistant_id)


async def page(connection: AsyncConnection, owner: str, query: PageQuery) -> Page[Assistant]:
    """Return a page of an owner's assistants."""
    return await read_page(connection, _TABLE, [_TABLE.c.owner == owner], query, lambda row: from_row(Assistant, row))


def _is(owner: str, assistant_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.id == assistant_id, _TABLE.c.owner == owner


def _not_found(assistant_id: str) -> NotFoundError:
    return NotFoundError(f"No assistant found with id '{assistant_id}'.")
