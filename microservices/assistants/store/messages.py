"""The messages of the store; whose they are is their thread's matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.message import Message
from microservices.assistants.store import tables
from microservices.assistants.store.former_places import delete_listed
from microservices.assistants.store.paging import Page, PageQuery, read_page
from microservices.assistants.store.rows import find_one, from_row, insert_items, update_item
from servicekit.errors import NotFoundError

_TABLE = tables.messages


async def insert(connection: AsyncConnection, message: Message) -> None:
    """Add a message to its thread."""
    await insert_items(connection, _TABLE, [message])


async def insert_many(connection: AsyncConnection, messages: Sequence[Message]) -> None:
    """Add messages, in their order."""
    await insert_items(connection, _TABLE, messages)


async def get(connection: AsyncConnection, thread_id: str, message_id: str) -> Message:
    """Return one message of a thread.

    Raises:
        NotFoundError: The thread has none with this id.
    """
    found = await find_one(connection, Message, _TABLE, *_is(thread_id, message_id))
    if found is None:
        raise _not_found(message_id)
    return found


async def update(connection: AsyncConnection, message_id: str, changes: Mapping[str, Any]) -> None:
    """Change fields of a message that is there."""
    await update_item(connection, _TABLE, message_id, changes)


async def delete(connection: AsyncConnection, thread_id: str, message_id: str) -> None:
    """Delete a message.

    Raises:
        NotFoundError: The thread has none with this id.
    """
    if not await delete_listed(connection, _TABLE, *_is(thread_id, message_id)):
        raise _not_found(message_id)


async def page(
    connection: AsyncConnection, thread_id: str, query: PageQuery, run_id: str | None = None
) -> Page[Message]:
    """Return a page of a thread's messages, or of those that one run made."""
    of = [_TABLE.c.thread_id == thread_id]
    if run_id is not None:
        of.append(_TABLE.c.run_id == run_id)
    return await read_page(connection, _TABLE, of, query, lambda row: from_row(Message, row))


async def recent(connection: AsyncConnection, thread_id: str, limit: int | None) -> list[Message]:
    """Return the last messages of a thread, or all of them (None), the oldest first."""
    statement = select(_TABLE).where(_TABLE.c.thread_id == thread_id).order_by(_TABLE.c.seq.desc()).limit(limit)
    rows = (await connection.execute(statement)).mappings().all()
    return [from_row(Message, row) for row in reversed(rows)]


def _is(thread_id: str, message_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.id == message_id, _TABLE.c.thread_id == thread_id


def _not_found(message_id: str) -> NotFoundError:
    return NotFoundError(f"No message found with id '{message_id}'.")
