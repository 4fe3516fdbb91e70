"""Vector stores, by OpenAI's own SDK and by hand, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import openai
import pytest

from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.store import vector_stores
from microservices.assistants.store.database import Database
from tests.support.file_search import file_service, sdk_client, sdk_of, store_of, upload

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
KEYS = ("key-of-ada", "key-of-bob")


async def test_sdk_makes_changes_and_deletes_a_vector_store(database: Database) -> None:
    """Every field, null clears, and the files outlive it."""
    async with sdk_client(database) as client:
        file_id = await upload(client, "a.txt", "some text")
        made = await client.vector_stores.create(
            name="docs", description="All.", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 2}
        )
        assert (made.object, made.status, made.usage_bytes) == ("vector_store", "completed", 0)
        assert (made.name, made.metadata, made.file_counts.total) == ("docs", {"a": "b"}, 0)
        assert made.expires_at == (made.last_active_at or 0) + 2 * 86_400
        await client.vector_stores.files.create_and_poll(file_id, vector_store_id=made.id)
        changed = await client.vector_stores.update(made.id, name=None, metadata={"c": "d"}, expires_after=None)
        assert (changed.name, changed.metadata, changed.expires_after) == ("", {"c": "d"}, None)
        assert (changed.file_counts.completed, changed.usage_bytes) == (1, len("some text"))
        deleted = await client.vector_stores.delete(made.id)
        assert (deleted.object, deleted.deleted) == ("vector_store.deleted", True)
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.retrieve(made.id)
        assert (await client.files.retrieve(file_id)).id == file_id


async def test_sdk_makes_a_vector_store_of_files(database: Database) -> None:
    """They are indexed by and by; the same file twice is one."""
    async with sdk_client(database) as client:
        file_id = await upload(client, "a.txt", "some text")
        made = await client.vector_stores.create(file_ids=[file_id, file_id])
        assert (made.status, made.file_counts.in_progress, made.file_counts.total) == ("in_progress", 1, 1)
        await client.vector_stores.files.poll(file_id, vector_store_id=made.id)
        assert (await client.vector_stores.retrieve(made.id)).status == "completed"


async def test_sdk_lists_vector_stores(database: Database) -> None:
    """The newest first, over several pages, each with its own counts."""
    async with sdk_client(database) as client:
        full = await store_of(client, {"a.txt": "text"})
        empty = [(await client.vector_stores.create(name=str(number))).id for number in range(2)]
        listed = [store async for store in client.vector_stores.list(limit=2)]
        assert [store.id for store in listed] == [*reversed(empty), full]
        assert [store.file_counts.total for store in listed] == [0, 0, 1]


async def test_vector_stores_belong_to_the_key_that_made_them(database: Database) -> None:
    """Another key finds none of it, and can neither search it nor add its own file."""
    async with (
        file_service(database, api_keys=KEYS) as url,
        sdk_of(url, KEYS[0]) as ada,
        sdk_of(url, KEYS[1]) as bob,
    ):
        store = await store_of(ada, {"a.txt": "secret"})
        theirs = await upload(ada, "b.txt", "b")
        own_file, own_store = await upload(bob, "c.txt", "c"), (await bob.vector_stores.create()).id
        asked = (
            bob.vector_stores.retrieve(store),
            bob.vector_stores.update(store, name="mine"),
            bob.vector_stores.delete(store),
            bob.vector_stores.search(store, query="secret"),
            bob.vector_stores.files.create(store, file_id=own_file),
            bob.vector_stores.files.create(own_store, file_id=theirs),
            bob.vector_stores.file_batches.create(own_store, file_ids=[own_file, theirs]),
            bob.vector_stores.create(file_ids=[theirs]),
        )
        for request in asked:
            with pytest.raises(openai.NotFoundError):
                await request
        assert [item.id async for item in bob.vector_stores.list()] == [own_store]
        assert (await bob.vector_stores.retrieve(own_store)).file_counts.total == 0


async def test_adding_and_deleting_at_once_are_done_in_turn(database: Database) -> None:
    """Ten that add the same file, while it and its vector store are deleted: each is done, or finds nothing."""
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        upload_form: Any = {"files": {"file": ("a.txt", b"text")}, "data": {"purpose": "assistants"}}
        file = (await client.post("/files", **upload_form)).json()["id"]
        store = (await client.post("/vector_stores", json={})).json()["id"]
        adding = [client.post(f"/vector_stores/{store}/files", json={"file_id": file}) for _ in range(10)]
        assert {response.status_code for response in await asyncio.gather(*adding)} == {200}
        assert (await client.get(f"/vector_stores/{store}")).json()["file_counts"]["total"] == 1
        again = [client.post(f"/vector_stores/{store}/file_batches", json={"file_ids": [file]}) for _ in range(5)]
        gone = [client.delete(f"/files/{file}"), client.delete(f"/vector_stores/{store}")]
        statuses = [response.status_code for response in await asyncio.gather(*again, *gone)]
    assert set(statuses[:5]) <= {200, 404}
    assert statuses[5:] == [200, 200]


async def test_vector_store_that_nobody_used_expires(database: Database) -> None:
    """It says so, and a search finds nothing in it; using one in time puts its end off."""
    long_ago = int(time.time()) - 86_400 + 600
    async with sdk_client(database) as client:
        store = await store_of(client, {"a.txt": "the answer"})
        await client.vector_stores.update(store, expires_after={"anchor": "last_active_at", "days": 1})
        async with database.write() as connection:
            await vector_stores.note_activity(connection, [store], long_ago)
        assert (await client.vector_stores.search(store, query="answer")).data
        assert ((await client.vector_stores.retrieve(store)).last_active_at or 0) > long_ago
        async with database.write() as connection:
            await vector_stores.note_activity(connection, [store], long_ago - 86_400)
        assert (await client.vector_stores.retrieve(store)).status == "expired"
        assert not (await client.vector_stores.search(store, query="answer")).data


@ON_SQLITE
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"name": 7}, "name"),
        ("", {"nam": "x"}, "nam"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("", {"metadata": {"k": "v" * 513}}, "metadata.k"),
        ("", {"file_ids": ["file-x"] * 2001}, "file_ids"),
        ("", {"chunking_strategy": {"type": "static"}}, "chunking_strategy"),
        ("/vs_1/files", {}, "file_id"),
        ("/vs_1/files", {"file_id": "f", "attributes": {"k": ["v"]}}, "attributes.k"),
        (
            "/vs_1/files",
            {"file_id": "f", "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99}}},
            "chunking_strategy.static",
        ),
        ("/vs_1/file_batches", {}, "body"),
        ("/vs_1/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, "body"),
        ("/vs_1/search", {}, "query"),
        ("/vs_1/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/vs_1/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        ("/vs_1/search", {"query": "x", "filters": {"type": "in", "key": "k", "value": "v"}}, "filters"),
    ],
)
async def test_bodies_are_refused_with_the_place(
    path: str, body: dict[str, Any], param: str, database: Database
) -> None:
    """A value that does not fit is a 400 that names it, before anything is looked up."""
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        response = await client.post(f"/v1/vector_stores{path}", json=body)
    assert response.status_code == 400, response.text
    assert str(response.json()["error"]["param"]).startswith(param)


@ON_SQLITE
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/vector_stores/vs_1"),
        ("POST", "/vector_stores/vs_1"),
        ("DELETE", "/vector_stores/vs_1"),
        ("GET", "/vector_stores/vs_1/files"),
        ("GET", "/vector_stores/STORE/files/file-1"),
        ("GET", "/vector_stores/STORE/files/file-1/content"),
        ("DELETE", "/vector_stores/STORE/files/file-1"),
        ("GET", "/vector_stores/STORE/file_batches/vsfb_1"),
        ("POST", "/vector_stores/STORE/file_batches/vsfb_1/cancel"),
        ("GET", "/vector_stores/STORE/file_batches/vsfb_1/files"),
        ("GET", "/vector_stores/%00"),
        ("GET", "/files/%0a"),
    ],
)
async def test_unknown_ids_are_not_found(method: str, path: str, database: Database) -> None:
    """404 in OpenAI's shape, with and without /v1."""
    async with database.write() as connection:
        await vector_stores.add(connection, VectorStore("vs_mine", "", 1, 1))
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for prefix in ("", "/v1"):
            response = await client.request(method, prefix + path.replace("STORE", "vs_mine"))
            assert response.status_code == 404, response.text
            assert response.json()["error"]["code"] == "not_found"
