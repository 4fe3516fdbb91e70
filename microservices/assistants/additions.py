"""Adds threads and messages to the store, within the caller's transaction: by a request of its own, or with a run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.message import Message
from microservices.assistants.objects.thread import Thread
from microservices.assistants.runs.new_run import NewMessage, NewThread
from microservices.assistants.search.resources import attach, resolved
from microservices.assistants.store import files, messages, threads
from servicekit.errors import InvalidRequestError
from servicekit.ids import new_id


async def add_thread(connection: AsyncConnection, owner: str, new: NewThread) -> Thread:
    """Make a thread with its first messages.

    Raises:
        InvalidRequestError: A file or vector store that it names is not there.
    """
    resources = await resolved(connection, owner, new.tool_resources)
    thread = Thread(new_id("thread_"), owner, int(time.time()), resources, new.metadata)
    await threads.insert(connection, thread)
    await add_messages(connection, owner, thread, new.messages)
    has_attachments = any(message.attachments for message in new.messages)
    return await threads.get(connection, owner, thread.id) if has_attachments else thread


async def add_messages(
    connection: AsyncConnection, owner: str, thread: Thread, new: Sequence[NewMessage]
) -> list[Message]:
    """Add messages to a thread; what is attached to them for file_search, its vector store gets.

    Raises:
        InvalidRequestError: A file that is attached or shown is not there.
    """
    made = [_message(thread.id, message) for message in new]
    await _check_images(connection, owner, made)
    for message in made:
        if message.attachments:
            await attach(connection, owner, thread, message.attachments)
            thread = await threads.get(connection, owner, thread.id)  # it may have got a vector store
    await messages.insert_many(connection, made)
    return made


def _message(thread_id: str, new: NewMessage) -> Message:
    return Message(
        id=new_id("msg_"),
        thread_id=thread_id,
        created_at=int(time.time()),
        role=new.role,
        content=new.content,
        attachments=new.attachments,
        metadata=new.metadata,
    )


async def _check_images(connection: AsyncConnection, owner: str, made: Sequence[Message]) -> None:
    blocks = [block for message in made for block in message.content if block["type"] == "image_file"]
    missing = await files.find_missing(connection, owner, [block["image_file"]["file_id"] for block in blocks])
    if missing is not None:
        raise InvalidRequestError(f"No file found with id '{missing}'. Upload it first.", param="content")
