"""Files, by OpenAI's own SDK and by hand, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

from microservices.assistants.store.database import Database
from tests.support.file_search import file_service, sdk_client, sdk_of, upload

#: Where the database makes no difference.
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
KEYS = ("key-of-ada", "key-of-bob")


async def test_sdk_uploads_and_reads_a_file(database: Database) -> None:
    """Every field of the object, and the very bytes back, over several parts of the database."""
    content = bytes(range(256)) * 10_000
    async with sdk_client(database) as client:
        made = await client.files.create(file=("données è.bin", content), purpose="assistants")
        assert (made.filename, made.bytes, made.purpose) == ("données è.bin", len(content), "assistants")
        assert (made.object, made.status, made.expires_at) == ("file", "processed", None)
        assert await client.files.retrieve(made.id) == made
        assert (await client.files.content(made.id)).content == content
        assert (await client.files.wait_for_processing(made.id)).id == made.id


async def test_sdk_lists_files_by_purpose_and_page(database: Database) -> None:
    """The newest first; the SDK turns the pages; another purpose's files are left out."""
    async with sdk_client(database) as client:
        ids = [await upload(client, f"{number}.txt", "text") for number in range(3)]
        other = await client.files.create(file=("x.jsonl", b"{}"), purpose="batch")
        assert [file.id async for file in client.files.list(limit=2)] == [other.id, *reversed(ids)]
        assert [file.id async for file in client.files.list(purpose="assistants", order="asc")] == ids


async def test_sdk_deletes_a_file(database: Database) -> None:
    """It is gone, content and all; a second deletion is a 404."""
    async with sdk_client(database) as client:
        file_id = await upload(client, "a.txt", "text")
        deleted = await client.files.delete(file_id)
        assert (deleted.id, deleted.deleted, deleted.object) == (file_id, True, "file")
        for request in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError, match=f"No file found with id '{file_id}'"):
                await request(file_id)


async def test_sdk_uploads_an_empty_file(database: Database) -> None:
    """A file without a byte is kept as it is."""
    async with sdk_client(database) as client:
        file_id = await upload(client, "empty.txt", "")
        assert (await client.files.retrieve(file_id)).bytes == 0
        assert (await client.files.content(file_id)).content == b""


async def test_file_expires_when_it_was_asked_for(database: Database) -> None:
    """`expires_after` counts from the creation."""
    async with sdk_client(database) as client:
        expiry: Any = {"anchor": "created_at", "seconds": 3600}
        made = await client.files.create(file=("a.txt", b"x"), purpose="user_data", expires_after=expiry)
    assert made.expires_at == pytest.approx(made.created_at + 3600, abs=1)


async def test_files_belong_to_the_key_that_uploaded_them(database: Database) -> None:
    """Another key finds nothing under the id, and nothing in the list."""
    async with (
        file_service(database, api_keys=KEYS) as url,
        sdk_of(url, KEYS[0]) as ada,
        sdk_of(url, KEYS[1]) as bob,
    ):
        file_id = await upload(ada, "a.txt", "mine")
        for request in (bob.files.retrieve, bob.files.content, bob.files.delete):
            with pytest.raises(openai.NotFoundError):
                await request(file_id)
        assert [file.id async for file in bob.files.list()] == []
        assert [file.id async for file in ada.files.list()] == [file_id]


@ON_SQLITE
@pytest.mark.parametrize(
    ("files", "data", "param"),
    [
        ({"file": ("a.txt", b"x")}, {"purpose": "nonsense"}, "purpose"),
        ({"file": ("a.txt", b"x")}, {}, "purpose"),
        ({"other": ("a.txt", b"x")}, {"purpose": "assistants"}, "file"),
        ({"purpose": (None, b"assistants")}, {"file": "no file, but a field"}, "file"),
        ({"file": ("n" * 300, b"x")}, {"purpose": "assistants"}, "file"),
        ({"file": ("a", b"x")}, {"purpose": "batch", "expires_after[anchor]": "now"}, "expires_after.anchor"),
        (
            {"file": ("a", b"x")},
            {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "1e9"},
            "expires_after.seconds",
        ),
    ],
    ids=["purpose", "no-purpose", "no-file", "field", "long-name", "anchor", "seconds"],
)
async def test_upload_is_refused_with_the_place(
    files: dict[str, Any], data: dict[str, str], param: str, database: Database
) -> None:
    """A wrong upload is a 400 that names the part."""
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        response = await client.post("/v1/files", files=files, data=data)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


# Starlette leaves the spool of a cut form to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"file": "x"}', "application/json"),
        (b"rubbish", "multipart/form-data; boundary=x"),
        (b"rubbish", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
            "multipart/form-data; boundary=x",
        ),
    ],
    ids=["json", "rubbish", "no-boundary", "cut"],
)
async def test_upload_that_is_no_form_is_refused(body: bytes, content_type: str, database: Database) -> None:
    """Bodies that are no multipart form are 400 in OpenAI's shape, not a failure."""
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        response = await client.post("/v1/files", content=body, headers={"content-type": content_type})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@ON_SQLITE
async def test_file_over_the_limit_is_refused(database: Database) -> None:
    """413, with the setting that changes it."""
    async with sdk_client(database, max_body_bytes=5_000) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await upload(client, "a.txt", "x" * 6_000)
        assert (caught.value.status_code, caught.value.code) == (413, "payload_too_large")


@ON_SQLITE
async def test_name_of_an_upload_has_no_folders(database: Database) -> None:
    """What some clients send before the name is left out, whichever slashes it has."""
    async with sdk_client(database) as client:
        for name in ("../../etc/passwd.txt", "C:\\Users\\ada\\passwd.txt"):
            made = await client.files.create(file=(name, b"x"), purpose="assistants")
            assert made.filename == "passwd.txt"


@ON_SQLITE
@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "order=up", "after=file-unknown", "purpose=%00"])
async def test_list_refuses_pages_that_are_none(query: str, database: Database) -> None:
    """A bad page parameter is named."""
    async with file_service(database) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        response = await client.get(f"/files?{query}")
    assert response.status_code in (400, 404)
    assert response.json()["error"]["param"] == query.split("=", maxsplit=1)[0]
