"""The retriever as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from microservices.retriever.dataprep_routes import add_dataprep_routes
from microservices.retriever.embedding import Embedder
from microservices.retriever.indexing import Indexer
from microservices.retriever.library import Library
from microservices.retriever.reranking import Reranker
from microservices.retriever.search_routes import add_search_routes
from microservices.retriever.searching import Searcher
from microservices.retriever.settings import IN_MEMORY, RetrieverSettings
from microservices.retriever.store import Store
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.documents.chunking import ChunkingStrategy
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError, InvalidRequestError
from servicekit.http.client import HttpClient

INFO = ServiceInfo(
    title="retriever",
    description="Keeps documents, finds the passages that answer a question by words and by meaning, and reranks them.",
)


def create_app(settings: RetrieverSettings) -> FastAPI:
    """Build the application; its lifespan opens the index and reads the folder of documents.

    Raises:
        ConfigurationError: The overlap of passages is more than half of one.
    """
    strategy = _strategy(settings)
    client = HttpClient(transport=settings.http_transport)
    embedder = Embedder(client, settings.embedding_url, settings.embedding_model, settings.embedding_key)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            store = await asyncio.to_thread(_opened, settings)
            indexer = Indexer(store, embedder, settings.embedding_wait_seconds)
            library = Library(store, strategy)
            try:
                await asyncio.to_thread(library.read_folder, PROJECT_ROOT / settings.documents_dir)
                app.state.searcher = Searcher(store, indexer, embedder, settings.embedding_wait_seconds)
                app.state.reranker = Reranker(store)
                app.state.library = library
                yield
            finally:
                await indexer.close()
                await asyncio.to_thread(store.close)

    async def readiness() -> Sequence[str]:
        return []  # without embeddings full text answers; nothing else is needed

    app = create_service_app(INFO, settings, lifespan, readiness)
    add_search_routes(app)
    add_dataprep_routes(app)
    return app


def _opened(settings: RetrieverSettings) -> Store:
    folder = None if settings.data_dir == IN_MEMORY else PROJECT_ROOT / settings.data_dir
    return Store(folder, settings.max_passages)


def _strategy(settings: RetrieverSettings) -> ChunkingStrategy:
    try:
        return ChunkingStrategy(settings.chunk_size_tokens, settings.chunk_overlap_tokens)
    except InvalidRequestError as exc:
        raise ConfigurationError(f"RETRIEVER_CHUNK_SIZE_TOKENS, RETRIEVER_CHUNK_OVERLAP_TOKENS: {exc.message}") from exc
