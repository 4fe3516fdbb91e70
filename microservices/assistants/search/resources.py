"""What file_search looks into, as assistants, threads and messages name it, within the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.thread import Thread
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.objects.vector_store_file import VectorStoreFile
from microservices.assistants.store import files, threads, vector_store_files, vector_stores
from servicekit.documents.chunking import ChunkingStrategy
from servicekit.errors import InvalidRequestError
from servicekit.ids import new_id


async def resolved(connection: AsyncConnection, owner: str, tool_resources: JsonObject | None) -> JsonObject | None:
    """Return tool resources whose vector stores are all there: those given inline are made.

    Args:
        connection: To write with.
        owner: Whose files and vector stores may be named.
        tool_resources: As they were asked for, already of the right shape.

    Raises:
        InvalidRequestError: A file or vector store that is named is not there, or is somebody else's.
    """
    wanted = (tool_resources or {}).get("file_search")
    if not tool_resources or not wanted:
        return tool_resources
    ids: list[str] = list(wanted.get("vector_store_ids") or [])
    there = {store.id for store in await vector_stores.of_owner(connection, owner, ids)}
    if missing := [store_id for store_id in ids if store_id not in there]:
        raise InvalidRequestError(
            f"No vector store found with id '{missing[0]}'.", param="tool_resources.file_search.vector_store_ids"
        )
    for inline in wanted.get("vector_stores") or []:
        store = await add_store(connection, owner, metadata=inline.get("metadata"))
        param = "tool_resources.file_search.vector_stores[0].file_ids"
        await _check_files(connection, owner, inline.get("file_ids") or [], param)
        await _add_files(connection, store.id, inline.get("file_ids") or [], inline.get("chunking_strategy"))
        ids.append(store.id)
    return {**tool_resources, "file_search": {"vector_store_ids": ids}}


async def attach(connection: AsyncConnection, owner: str, thread: Thread, attachments: Sequence[JsonObject]) -> None:
    """Add what is attached to a message for file_search to its thread's vector store, which is made if need be.

    Args:
        connection: To write with; the thread is locked in it.
        owner: The thread's.
        thread: As it is in the store.
        attachments: A message's, `{"file_id", "tools": [{"type"}]}`.

    Raises:
        InvalidRequestError: A file that is attached is not there, or is somebody else's.
    """
    resources = thread.tool_resources or {}
    ids: list[str] = (resources.get("file_search") or {}).get("vector_store_ids") or []
    stores = await vector_stores.of_owner(connection, owner, ids[:1])
    if stores:
        await vector_stores.lock(connection, owner, stores[0].id)
    await _check_files(connection, owner, [item["file_id"] for item in attachments], "attachments")
    wanted = [item["file_id"] for item in attachments if _is_searched(item)]
    if not wanted:
        return
    store = stores[0] if stores else await add_store(connection, owner)
    if not stores:
        changed = {**resources, "file_search": {"vector_store_ids": [store.id]}}
        await threads.update(connection, thread.id, {"tool_resources": changed})
    there = await vector_store_files.not_failed(connection, store.id, wanted)
    await _add_files(connection, store.id, [file_id for file_id in wanted if file_id not in there], None)


async def add_store(
    connection: AsyncConnection,
    owner: str,
    *,
    name: str | None = None,
    description: str | None = None,
    expires_after: JsonObject | None = None,
    metadata: dict[str, str] | None = None,
) -> VectorStore:
    """Make a vector store without files."""
    now = int(time.time())
    store = VectorStore(new_id("vs_"), owner, now, now, name or "", description, expires_after, metadata or {})
    await vector_stores.add(connection, store)
    return store


def new_file(
    store_id: str,
    file_id: str,
    strategy: JsonObject | None,
    *,
    attributes: JsonObject | None = None,
    batch_id: str | None = None,
) -> VectorStoreFile:
    """Return a file of a vector store that is to be indexed.

    Args:
        store_id: The vector store.
        file_id: The file.
        strategy: `{"type": "auto"}`, `{"type": "static", "static": {...}}`, or None for auto.
        attributes: What searches can filter by.
        batch_id: With which it is added.
    """
    is_static = strategy is not None and strategy["type"] == "static"
    sizes: dict[str, Any] = strategy["static"] if strategy and is_static else asdict(ChunkingStrategy())
    chunking = {"type": "static", "static": sizes}
    now = int(time.time())
    return VectorStoreFile(file_id, store_id, now, chunking, attributes=attributes or {}, batch_id=batch_id)


def _is_searched(attachment: JsonObject) -> bool:
    tools = attachment.get("tools") or []
    return any(tool["type"] == "file_search" for tool in tools)


async def _check_files(connection: AsyncConnection, owner: str, file_ids: Sequence[str], param: str) -> None:
    missing = await files.find_missing(connection, owner, file_ids)
    if missing is not None:
        raise InvalidRequestError(f"No file found with id '{missing}'. Upload it first.", param=param)


async def _add_files(
    connection: AsyncConnection, store_id: str, file_ids: Sequence[str], strategy: JsonObject | None
) -> None:
    different = dict.fromkeys(file_ids)
    await vector_store_files.add(connection, [new_file(store_id, file_id, strategy) for file_id in different])
