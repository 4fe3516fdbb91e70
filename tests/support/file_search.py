"""The routes of files and vector stores on a test's database, and what is uploaded to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai
from fastapi import FastAPI

from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.http.client import HttpClient
from servicekit.settings import ServiceSettings
from tests.support import scripts
from tests.support.scripted_upstream import Reply, Script
from tests.support.serving import serving

if TYPE_CHECKING:
    from microservices.assistants.store.database import Database

EMBEDDING_MODEL = "embedding-model"
#: A small library, in several languages and scripts.
LIBRARY = {
    "refunds.md": "# Refunds\n\nCustomers get their money back within thirty days, if the goods are undamaged.",
    "moon.txt": "The moon orbits the earth in about 27 days. Tides follow the moon.",
    "città.txt": "La città è piena di perché. Il caffè costa un euro.",
    "日本.txt": "東京は日本の首都です。人口は約千四百万人です。",
}


@asynccontextmanager
async def file_service(database: Database, embeddings_url: str | None = None, **settings: Any) -> AsyncIterator[str]:
    """Serve files and vector stores alone on a database, without runs, and give the base URL."""
    # Here, for test files that need no service import this file, too.
    from microservices.assistants.routes.files import file_routes  # noqa: PLC0415
    from microservices.assistants.routes.vector_stores import vector_store_routes  # noqa: PLC0415
    from microservices.assistants.search.embedder import Embedder  # noqa: PLC0415
    from microservices.assistants.search.service import DocumentSearch  # noqa: PLC0415

    client = HttpClient()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        embedder = None if embeddings_url is None else Embedder(client, embeddings_url, EMBEDDING_MODEL)
        async with client, DocumentSearch(database, embedder) as search:
            app.state.search = search
            yield

    chosen = ServiceSettings.model_validate(settings)
    app = create_service_app(ServiceInfo("files", "Of a test."), chosen, lifespan, _is_ready)
    app.state.database, app.state.has_keys = database, bool(chosen.api_keys)
    for prefix in ("", "/v1"):
        app.include_router(file_routes(), prefix=prefix)
        app.include_router(vector_store_routes(), prefix=prefix)
    async with serving(app) as url:
        yield url


async def _is_ready() -> Sequence[str]:
    return ()


@asynccontextmanager
async def sdk_client(
    database: Database, embeddings_url: str | None = None, **settings: Any
) -> AsyncIterator[openai.AsyncOpenAI]:
    """Give the SDK's client of a service on a database."""
    async with file_service(database, embeddings_url, **settings) as url, sdk_of(url) as client:
        yield client


def sdk_of(url: str, key: str = "unused") -> openai.AsyncOpenAI:
    """Return the SDK's client of a service."""
    # Without certificates, which nobody shows here and whose list takes its time.
    plain = openai.DefaultAsyncHttpxClient(trust_env=False, verify=False)
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20, http_client=plain)


async def upload(client: openai.AsyncOpenAI, name: str, content: str | bytes) -> str:
    """Upload a file and return its id."""
    data = content.encode() if isinstance(content, str) else content
    return (await client.files.create(file=(name, data), purpose="assistants")).id


async def store_of(client: openai.AsyncOpenAI, texts: dict[str, str] | None = None, **fields: Any) -> str:
    """Make a vector store of texts by their files' names, wait until it can be searched, and return its id."""
    files = [await upload(client, name, text) for name, text in (LIBRARY if texts is None else texts).items()]
    store = await client.vector_stores.create(name="library")
    batch = await client.vector_stores.file_batches.create_and_poll(store.id, file_ids=files, **fields)
    assert batch.status == "completed"
    return store.id


def embeddings(vector_of: Callable[[str], Sequence[float]]) -> Script:
    """Answer requests for embeddings, each text's by a function."""

    async def answer(reply: Reply) -> None:
        texts = reply.request.json["input"]
        data = [
            {"object": "embedding", "index": index, "embedding": list(vector_of(text))}
            for index, text in enumerate(texts)
        ]
        document = {"object": "list", "model": reply.request.json["model"], "data": data}
        await scripts.answer(200, document)(reply)

    return answer
