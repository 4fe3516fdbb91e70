"""Files of vector stores whose process died, was killed by them, or lost them on the way."""

from __future__ import annotations

import asyncio
import time

import pytest

from microservices.assistants.objects.file import File
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.objects.vector_store_file import VectorStoreFile
from microservices.assistants.search.indexing import Indexer
from microservices.assistants.search.resources import new_file
from microservices.assistants.search.service import DocumentSearch
from microservices.assistants.store import chunks, files, vector_store_files, vector_stores
from microservices.assistants.store.chunks import Chunk
from microservices.assistants.store.database import Database
from servicekit.documents.reading import ReadingLimits

_WAIT_SECONDS = 10.0
STORE, FILE = "vs_1", "file-1"


async def _add(database: Database, content: bytes = b"a zebra", name: str = "a.txt") -> None:
    async with database.write() as connection:
        await files.add(connection, File(FILE, "", 1, name, "assistants", len(content)))
        await files.add_part(connection, FILE, 0, content)
        await vector_stores.add(connection, VectorStore(STORE, "", int(time.time()), int(time.time())))
        await vector_store_files.add(connection, [new_file(STORE, FILE, None)])


async def _claimed(database: Database, until: int) -> VectorStoreFile:
    """Claim the file as another process would."""
    async with database.write() as connection:
        file = await vector_store_files.claim(connection, int(time.time()), until)
    assert file is not None
    return file


async def _until_done(database: Database) -> VectorStoreFile:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            async with database.read() as connection:
                file = await vector_store_files.get(connection, STORE, FILE)
            if file.status != "in_progress":
                return file
            await asyncio.sleep(0.01)


async def test_file_of_a_dead_process_is_taken_over(database: Database) -> None:
    """Its half of the chunks is thrown away, and no chunk is there twice."""
    await _add(database)
    dead = await _claimed(database, until=int(time.time()))
    async with database.write() as connection:
        await chunks.add(connection, STORE, FILE, [Chunk(0, 0, 3, None, "a z", "a z")])
    async with DocumentSearch(database) as search:
        assert [passage.text for passage in await search.find("", [STORE], "zebra", 5)] == ["a zebra"]
    async with database.write() as connection:
        assert len(await chunks.of_file(connection, STORE, FILE)) == 1
        assert not await vector_store_files.change_claimed(connection, dead, {"status": "failed"})


async def test_file_that_another_process_works_on_is_left_to_it(database: Database) -> None:
    """Until its claim ends nobody else begins."""
    await _add(database)
    await _claimed(database, until=int(time.time()) + 60)
    async with Indexer(database) as indexer:
        indexer.wake()
        await asyncio.sleep(0.2)
    async with database.read() as connection:
        file = await vector_store_files.get(connection, STORE, FILE)
    assert (file.status, file.attempts) == ("in_progress", 1)


async def test_file_that_ends_every_process_fails(database: Database) -> None:
    """After three processes that never came to the end, the fourth says so instead of trying."""
    await _add(database)
    for _ in range(3):
        await _claimed(database, until=0)
    async with Indexer(database):
        file = await _until_done(database)
    assert file.status == "failed"
    assert file.last_error == {
        "code": "server_error",
        "message": "Indexing was begun 3 times and never came to its end.",
    }


async def test_chunks_of_a_file_that_is_not_done_are_not_found(database: Database) -> None:
    """A search sees all of a file or nothing."""
    await _add(database)
    await _claimed(database, until=int(time.time()) + 60)
    async with database.write() as connection:
        await chunks.add(connection, STORE, FILE, [Chunk(0, 0, 7, None, "a zebra", "a zebra")])
    async with database.read() as connection:
        assert await chunks.found(connection, [1]) == {}


async def test_claim_is_one_processs_only(database: Database) -> None:
    """Of twenty that ask at once one gets the file."""
    await _add(database)

    async def claim() -> bool:
        async with database.write() as connection:
            now = int(time.time())
            return await vector_store_files.claim(connection, now, now + 60) is not None

    assert sum(await asyncio.gather(*(claim() for _ in range(20)))) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_file_that_is_deleted_while_it_is_read_is_let_go(database: Database) -> None:
    """The indexer goes on with the next file, and the deleted one leaves no chunk behind."""
    await _add(database, b"many words " * 60_000)
    async with Indexer(database) as indexer:
        await _until_begun(database)
        async with database.write() as connection:
            await files.delete(connection, "", FILE)
        await _add_second(database)
        indexer.wake()
        async with asyncio.timeout(_WAIT_SECONDS):
            while await _is_open(database):  # noqa: ASYNC110 - the database has no event for it
                await asyncio.sleep(0.01)
    async with database.read() as connection:
        assert len(await chunks.of_file(connection, STORE, "file-2")) == 1
        assert not await chunks.of_file(connection, STORE, FILE)


async def _add_second(database: Database) -> None:
    async with database.write() as connection:
        await files.add(connection, File("file-2", "", 1, "b.txt", "assistants", 1))
        await files.add_part(connection, "file-2", 0, b"next")
        await vector_store_files.add(connection, [new_file(STORE, "file-2", None)])


async def _is_open(database: Database) -> bool:
    async with database.read() as connection:
        return await vector_store_files.is_any_open(connection, [STORE])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_file_beyond_the_limits_fails(database: Database) -> None:
    """What would take too much is refused with the limit, not worked on."""
    await _add(database, b"word " * 1_000)
    async with Indexer(database, limits=ReadingLimits(characters=100)):
        file = await _until_done(database)
    assert file.last_error is not None
    assert file.last_error["code"] == "invalid_file"
    assert "at most 100 are read" in file.last_error["message"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_closing_does_not_wait_for_a_file_that_is_being_read(database: Database) -> None:
    """The end of the service leaves the file to the next start, where it is begun once more."""
    await _add(database, b"many words " * 200_000)
    async with Indexer(database):
        await _until_begun(database)
        closing = time.monotonic()
    assert time.monotonic() - closing < 1.0
    async with database.read() as connection:
        assert (await vector_store_files.get(connection, STORE, FILE)).status == "in_progress"


async def _until_begun(database: Database) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            async with database.read() as connection:
                if (await vector_store_files.get(connection, STORE, FILE)).attempts:
                    return
            await asyncio.sleep(0.005)
