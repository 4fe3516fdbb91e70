"""The threads of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import tables
from microservices.assistants.store.rows import delete_where, find_one, insert_items, update_item
from servicekit.errors import NotFoundError

_TABLE = tables.threads


async def insert(connection: AsyncConnection, thread: Thread) -> None:
    """Add a thread."""
    await insert_items(connection, _TABLE, [thread])


async def get(connection: AsyncConnection, owner: str, thread_id: str) -> Thread:
    """Return one thread of an owner.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    return _found(await find_one(connection, Thread, _TABLE, *_is(owner, thread_id)), thread_id)


async def lock(connection: AsyncConnection, owner: str, thread_id: str) -> Thread:
    """Return a thread that nobody else adds to, runs on or deletes until the transaction ends.

    Whoever adds a message or a run locks the thread first: of the two, the second sees what the first did.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    return _found(await find_one(connection, Thread, _TABLE, *_is(owner, thread_id), locked=True), thread_id)


async def update(connection: AsyncConnection, thread_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of a thread that is there."""
    await update_item(connection, _TABLE, thread_id, changes)


async def delete(connection: AsyncConnection, owner: str, thread_id: str) -> None:
    """Delete a thread with its messages, runs, run steps and events.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    if not await delete_where(connection, _TABLE, *_is(owner, thread_id)):
        raise _not_found(thread_id)


def _is(owner: str, thread_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.id == thread_id, _TABLE.c.owner == owner


def _found(thread: Thread | None, thread_id: str) -> Thread:
    if thread is None:
        raise _not_found(thread_id)
    return thread


def _not_found(thread_id: str) -> NotFoundError:
    return NotFoundError(f"No thread found with id '{thread_id}'.")
