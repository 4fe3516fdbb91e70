"""From an uploaded file to what a search finds: formats, chunks, batches, on SQLite and PostgreSQL."""

from __future__ import annotations

import httpx
import openai
import pytest

from microservices.assistants.store import chunks, vector_store_files
from microservices.assistants.store.database import Database
from servicekit.documents.reading import text_of
from tests.support.file_search import file_service, sdk_client, sdk_of, store_of, upload
from tests.support.pdf import pdf_of

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
_STATIC: openai.types.StaticFileChunkingStrategyObjectParam = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20},
}


async def test_sdk_uploads_into_a_vector_store(database: Database) -> None:
    """`upload_and_poll` ends with a file that is found, its fields and its text shown."""
    async with sdk_client(database) as client:
        store = (await client.vector_stores.create()).id
        file = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("a.md", b"# Tea\n\nGreen tea is brewed at 80 degrees."), attributes={"n": 1.5}
        )
        assert (file.status, file.last_error, file.attributes) == ("completed", None, {"n": 1.5})
        assert file.chunking_strategy is not None
        assert file.chunking_strategy.to_dict() == {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        }
        assert (file.object, file.usage_bytes) == ("vector_store.file", 41)
        [piece] = (await client.vector_stores.files.content(file.id, vector_store_id=store)).data
        assert piece.text == "# Tea\n\nGreen tea is brewed at 80 degrees."
        changed = await client.vector_stores.files.update(file.id, vector_store_id=store, attributes={"kind": "tea"})
        assert changed.attributes == {"kind": "tea"}


async def test_pdf_is_found_by_its_pages_text(database: Database) -> None:
    """A PDF's text is read, and the chunk knows its page."""
    async with sdk_client(database) as client:
        store = (await client.vector_stores.create()).id
        pdf = ("b.pdf", pdf_of(["The first page is about otters.", "The second page is about badgers."]))
        file = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=pdf, chunking_strategy=_STATIC
        )
        assert file.status == "completed"
        [found] = (await client.vector_stores.search(store, query="badgers")).data
    assert "second page" in found.content[0].text
    assert found.filename == "b.pdf"


@ON_SQLITE
@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("broken.pdf", pdf_of(["text"])[:200], "invalid_file", "Is it whole?"),
        ("rubbish.txt", bytes(range(256)), "invalid_file", "no UTF-8 text"),
        ("nul.txt", b"a\0b", "invalid_file", "NUL"),
        ("empty.txt", b"", "invalid_file", "has no text"),
        ("scanned.pdf", pdf_of([""]), "invalid_file", "Is it scanned?"),
        ("letter.docx", b"PK\3\4", "unsupported_file", ".docx"),
    ],
)
async def test_file_that_cannot_be_read_fails_with_the_reason(
    name: str, content: bytes, code: str, words: str, database: Database
) -> None:
    """The file's status is failed, the reason in OpenAI's code and our words; the vector store counts it."""
    async with sdk_client(database) as client:
        store = (await client.vector_stores.create()).id
        file = await client.vector_stores.files.upload_and_poll(vector_store_id=store, file=(name, content))
        assert (file.status, file.usage_bytes) == ("failed", 0)
        assert file.last_error is not None
        assert file.last_error.code == code
        assert words in file.last_error.message
        assert (await client.vector_stores.retrieve(store)).file_counts.failed == 1


async def test_chunks_are_stretches_of_the_text(database: Database) -> None:
    """Offsets point into the file's text; the content endpoint shows each part of it once."""
    text = "\n\n".join(f"Paragraph {number} says something of interest, è vero." for number in range(60))
    async with sdk_client(database) as client:
        store = (await client.vector_stores.create()).id
        file = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("a.txt", text.encode()), chunking_strategy=_STATIC
        )
        pieces = (await client.vector_stores.files.content(file.id, vector_store_id=store)).data
    async with database.read() as connection:
        stored = await chunks.of_file(connection, store, file.id)
    document = text_of(text.encode(), "a.txt").text
    assert len(stored) > 5
    assert all(document[start:end] == chunk for start, end, chunk in stored)
    assert "".join("".join(piece.text or "" for piece in pieces).split()) == "".join(document.split())


async def test_file_that_is_deleted_leaves_every_vector_store(database: Database) -> None:
    """Neither listed nor found, in any of them."""
    async with sdk_client(database) as client:
        file_id = await upload(client, "a.txt", "a unicorn")
        stores = [(await client.vector_stores.create(file_ids=[file_id])).id for _ in range(2)]
        for store in stores:
            await client.vector_stores.files.poll(file_id, vector_store_id=store)
            assert (await client.vector_stores.search(store, query="unicorn")).data
        await client.files.delete(file_id)
        for store in stores:
            assert not (await client.vector_stores.search(store, query="unicorn")).data
            assert [file async for file in client.vector_stores.files.list(store)] == []
            assert (await client.vector_stores.retrieve(store)).file_counts.total == 0


async def test_file_that_is_taken_out_stays_a_file(database: Database) -> None:
    """Out of one vector store, still in the other, still a file."""
    async with sdk_client(database) as client:
        first, second = await store_of(client, {"a.txt": "a unicorn"}), (await client.vector_stores.create()).id
        [file] = [item async for item in client.vector_stores.files.list(first)]
        await client.vector_stores.files.create_and_poll(file.id, vector_store_id=second)
        deleted = await client.vector_stores.files.delete(file.id, vector_store_id=first)
        assert (deleted.object, deleted.deleted) == ("vector_store.file.deleted", True)
        assert not (await client.vector_stores.search(first, query="unicorn")).data
        assert (await client.vector_stores.search(second, query="unicorn")).data
        assert (await client.files.retrieve(file.id)).filename == "a.txt"


async def test_file_that_is_added_again_is_indexed_anew(database: Database) -> None:
    """With other chunks and attributes, and found once."""
    async with sdk_client(database) as client:
        store = await store_of(client, {"a.txt": "a unicorn and a dragon"})
        [file] = [item async for item in client.vector_stores.files.list(store)]
        again = await client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store, chunking_strategy=_STATIC, attributes={"n": 2}
        )
        assert (again.status, again.attributes) == ("completed", {"n": 2})
        assert len((await client.vector_stores.search(store, query="unicorn")).data) == 1
        assert (await client.vector_stores.retrieve(store)).file_counts.total == 1


async def test_batch_tells_of_its_files(database: Database) -> None:
    """Counts by status; each file with its own attributes; a filter of the list."""
    async with sdk_client(database) as client:
        good, bad = await upload(client, "a.txt", "good"), await upload(client, "b.txt", b"\xff\0")
        store = (await client.vector_stores.create()).id
        batch = await client.vector_stores.file_batches.create(
            store, files=[{"file_id": good, "attributes": {"k": "v"}}, {"file_id": bad}]
        )
        batch = await client.vector_stores.file_batches.poll(batch.id, vector_store_id=store)
        assert (batch.object, batch.status) == ("vector_store.files_batch", "completed")
        assert (batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total) == (1, 1, 2)
        files = client.vector_stores.file_batches.list_files
        assert {item.id async for item in files(batch.id, vector_store_id=store)} == {good, bad}
        [done] = [item async for item in files(batch.id, vector_store_id=store, filter="completed")]
        assert (done.id, done.attributes) == (good, {"k": "v"})
        with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
            await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)


async def test_batch_that_is_cancelled_stops(database: Database) -> None:
    """What was not indexed is cancelled, and stays so."""
    async with file_service(database) as url, sdk_of(url) as client:
        store = (await client.vector_stores.create()).id
        # Large enough that not all of them are indexed before the second request is there.
        files = [await upload(client, f"{number}.txt", "many words " * 20_000) for number in range(4)]
        batch = await client.vector_stores.file_batches.create(store, file_ids=files)
        cancelled = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
        assert cancelled.status == "cancelled"
        assert cancelled.file_counts.cancelled >= 1
        assert cancelled.file_counts.in_progress == 0
        again = await client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store)
        assert (again.status, again.file_counts) == ("cancelled", cancelled.file_counts)
    async with database.read() as connection:
        assert not await vector_store_files.is_any_open(connection, [store])


@ON_SQLITE
async def test_polling_is_told_how_long_to_wait(database: Database) -> None:
    """While a file is being indexed its answer carries the header that SDKs obey."""
    async with file_service(database) as url, sdk_of(url) as client:
        store = (await client.vector_stores.create()).id
        file = await upload(client, "a.txt", "many words " * 50_000)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as plain:
            await plain.post(f"/vector_stores/{store}/files", json={"file_id": file})
            response = await plain.get(f"/vector_stores/{store}/files/{file}")
    assert response.json()["status"] == "in_progress"
    assert response.headers["openai-poll-after-ms"] == "50"
