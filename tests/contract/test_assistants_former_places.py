"""Lists go on behind what was deleted, over SQLite and PostgreSQL alike."""

from __future__ import annotations

import time

import pytest

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.store import assistants, former_places
from microservices.assistants.store.database import Database
from microservices.assistants.store.paging import PageQuery
from servicekit.errors import NotFoundError
from tests.support.assistants_store import OWNER


async def _with_assistants(database: Database, count: int) -> None:
    async with database.write() as connection:
        for number in range(count):
            await assistants.insert(connection, Assistant(f"asst_{number}", OWNER, 1, "m"))


async def test_loop_that_deletes_what_it_lists_reaches_the_end(database: Database) -> None:
    """Each next page begins behind the last object of the one before, though that is gone: as SDKs' loops ask."""
    await _with_assistants(database, 5)
    query, seen = PageQuery(limit=2), []
    while True:
        async with database.read() as connection:
            page = await assistants.page(connection, OWNER, query)
        for assistant in page.items:
            seen.append(assistant.id)
            async with database.write() as connection:
                await assistants.delete(connection, OWNER, assistant.id)
        if not page.has_more:
            break
        query = PageQuery(limit=2, after=seen[-1])
    assert seen == ["asst_4", "asst_3", "asst_2", "asst_1", "asst_0"]


async def test_object_deleted_twice_keeps_its_last_place(database: Database) -> None:
    """An id can come back by an import, and go again."""
    for _ in range(2):
        await _with_assistants(database, 2)
        async with database.write() as connection:
            await assistants.delete(connection, OWNER, "asst_1")
            await assistants.delete(connection, OWNER, "asst_0")
    await _with_assistants(database, 1)
    async with database.read() as connection:
        page = await assistants.page(connection, OWNER, PageQuery(order="asc", after="asst_1"))
    assert [assistant.id for assistant in page.items] == ["asst_0"]


async def test_places_are_forgotten_after_a_time(database: Database) -> None:
    """What nobody will ask for again goes; then the id is unknown."""
    await _with_assistants(database, 1)
    async with database.write() as connection:
        await assistants.delete(connection, OWNER, "asst_0")
        await former_places.prune(connection, int(time.time()) - 60)
        assert not (await assistants.page(connection, OWNER, PageQuery(after="asst_0"))).items
        await former_places.prune(connection, int(time.time()) + 60)
        with pytest.raises(NotFoundError):
            await assistants.page(connection, OWNER, PageQuery(after="asst_0"))
