"""Makes the files of vector stores searchable: text, chunks, words; then vectors, where there is an embedding model.

What is to be done stands in the database, so it survives the process, and several share it: each claims one file at a
time, for a while that it prolongs as long as it lives.

    in_progress ──▶ completed     its chunks are there, and are found by their words from now on
         │  └─────▶ failed        `last_error` says why: the file, or too many attempts
         └────────▶ cancelled     its batch was

Vectors are made afterwards, beside the traffic: an embedding service that is down delays no file.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.vector_store_file import VectorStoreFile
from microservices.assistants.search.abandoned_thread import in_abandoned_thread
from microservices.assistants.search.embedder import Embedder
from microservices.assistants.search.words import words_of
from microservices.assistants.store import chunks, files, vector_store_files
from microservices.assistants.store.chunks import Chunk, ChunkVector
from microservices.assistants.store.database import Database
from servicekit.documents.chunking import ChunkingStrategy, chunked
from servicekit.documents.reading import ReadingLimits, text_of
from servicekit.errors import InvalidRequestError, ServiceError

_log = logging.getLogger(__name__)

#: How often the database is looked at for files that another process, or a dead one, left.
_POLL_SECONDS = 1.0
#: After this long without a sign of life a file is another process's.
_CLAIM_SECONDS = 10
_PROLONG_SECONDS = 3.0
_MAX_ATTEMPTS = 3
#: Of one transaction, in chunks: others write in between.
_CHUNKS_PER_WRITE = 50
_CHUNKS_PER_EMBEDDING = 32
#: Until a failed embedding service is asked again.
_EMBEDDING_PAUSE_SECONDS = 30.0
_EXPIRY_SECONDS = 600.0
#: Of one file's text and chunks, in a thread.
_READING_SECONDS = 120.0
#: What the upload took is read; the other bounds are the reader's own.
_LIMITS = ReadingLimits(size_bytes=1_000_000_000, seconds=30.0)
#: A vector for a text that the model refuses: none, and it is not asked again.
_REFUSED = b""
#: A text that every embedding model takes.
_HARMLESS = "text"


class _LostClaimError(Exception):
    """The file was deleted, cancelled, or claimed by another process: nothing more is to be done with it here."""


class Indexer:
    """Indexes files until it is closed; use it as `async with`.

    Args:
        database: The store.
        embedder: Makes the vectors; None: full text only.
        limits: How much of one file is worked on.
    """

    def __init__(self, database: Database, embedder: Embedder | None = None, limits: ReadingLimits = _LIMITS) -> None:
        self._database = database
        self._embedder = embedder
        self._limits = limits
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._may_lack_vectors = embedder is not None
        self._embed_after = 0.0
        self._expire_after = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="indexer")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._task is not None  # entered before  # noqa: S101
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def wake(self) -> None:
        """Tell it that there may be a file to index, so that it looks at once."""
        self._news.set()

    async def _work(self) -> None:
        while True:
            self._news.clear()
            try:
                has_more = await self._index_next() or await self._embed_next()
                await self._delete_expired()
            except Exception:  # noqa: BLE001 - the border of a worker loop: the next file is to be indexed all the same
                _log.exception("indexing failed; it is tried again")
                has_more = False
            if not has_more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._news.wait()

    async def _index_next(self) -> bool:
        """Index one file, if there is one to be indexed; whether there was."""
        now = int(time.time())
        async with self._database.read() as connection:
            if not await vector_store_files.is_any_claimable(connection, now):
                return False
        async with self._database.write() as connection:
            file = await vector_store_files.claim(connection, now, now + _CLAIM_SECONDS)
        if file is None:
            return False
        with suppress(_LostClaimError):
            await self._index(file)
        return True

    async def _index(self, file: VectorStoreFile) -> None:
        if file.attempts > _MAX_ATTEMPTS:
            message = f"Indexing was begun {_MAX_ATTEMPTS} times and never came to its end."
            await self._finish(file, {"status": "failed", "last_error": _error("server_error", message)})
            return
        async with self._prolonged(file):
            try:
                made = await self._chunks_of(file)
            except InvalidRequestError as exc:
                await self._finish(file, {"status": "failed", "last_error": _error(exc.code, exc.message)})
                return
            except TimeoutError:
                message = f"Reading the file took more than {_READING_SECONDS:g} s. Split it."
                await self._finish(file, {"status": "failed", "last_error": _error("invalid_file", message)})
                return
            await self._store(file, made)

    async def _chunks_of(self, file: VectorStoreFile) -> list[Chunk]:
        async with self._database.read() as connection:
            data = await files.content(connection, file.id)
            name = await files.name_of(connection, file.id)
        strategy = ChunkingStrategy(**file.chunking_strategy["static"])
        async with asyncio.timeout(_READING_SECONDS):
            return await in_abandoned_thread(partial(_read, data, name, strategy, self._limits))

    async def _store(self, file: VectorStoreFile, made: Sequence[Chunk]) -> None:
        """Store the chunks a few at a time, then say that they are all there: until then no search finds them."""
        async with self._claimed(file, {}) as connection:
            await chunks.delete(connection, file.vector_store_id, file.id)  # those of an attempt before
        for start in range(0, len(made), _CHUNKS_PER_WRITE):
            async with self._claimed(file, {}) as connection:
                some = made[start : start + _CHUNKS_PER_WRITE]
                await chunks.add(connection, file.vector_store_id, file.id, some)
        size_bytes = sum(len(chunk.text.encode()) for chunk in made)
        await self._finish(file, {"status": "completed", "usage_bytes": size_bytes})
        self._may_lack_vectors = self._embedder is not None

    async def _finish(self, file: VectorStoreFile, changes: JsonObject) -> None:
        async with self._claimed(file, changes):
            pass

    @asynccontextmanager
    async def _claimed(self, file: VectorStoreFile, changes: JsonObject) -> AsyncGenerator[AsyncConnection]:
        """Give a transaction in which the file is ours, and changed.

        Raises:
            _LostClaimError: It is not.
        """
        until = int(time.time()) + _CLAIM_SECONDS
        async with self._database.write() as connection:
            if not await vector_store_files.change_claimed(connection, file, {"claimed_until": until, **changes}):
                raise _LostClaimError
            yield connection

    @asynccontextmanager
    async def _prolonged(self, file: VectorStoreFile) -> AsyncGenerator[None]:
        """Keep the claim for as long as the block takes."""
        prolonging = asyncio.create_task(self._prolong(file))
        try:
            yield
        finally:
            prolonging.cancel()
            await asyncio.gather(prolonging, return_exceptions=True)

    async def _prolong(self, file: VectorStoreFile) -> None:
        while True:
            await asyncio.sleep(_PROLONG_SECONDS)
            await self._finish(file, {})

    async def _embed_next(self) -> bool:
        """Make the vectors of some chunks that have none; whether there are more."""
        embedder = self._embedder
        if embedder is None or not self._may_lack_vectors or time.monotonic() < self._embed_after:
            return False
        async with self._database.read() as connection:
            lacking = await chunks.without_vector(connection, embedder.model, _CHUNKS_PER_EMBEDDING)
        if not lacking:
            self._may_lack_vectors = False
            return False
        try:
            vectors = await _vectors_of(embedder, lacking)
        except ServiceError as exc:
            _log.warning("no vectors for now, full text answers alone: %s", exc.message)
            self._embed_after = time.monotonic() + _EMBEDDING_PAUSE_SECONDS
            return False
        async with self._database.write() as connection:
            await chunks.set_vectors(connection, embedder.model, vectors)
        return True

    async def _delete_expired(self) -> None:
        if time.monotonic() >= self._expire_after:
            self._expire_after = time.monotonic() + _EXPIRY_SECONDS
            async with self._database.write() as connection:
                await files.delete_expired(connection)


async def _vectors_of(embedder: Embedder, lacking: Sequence[tuple[int, str]]) -> list[ChunkVector]:
    """Return the vectors of chunks; one that the model refuses alone gets an empty one.

    Raises:
        ServiceError: The service is not there, answers nonsense, or refuses whatever it is asked.
    """
    try:
        vectors = await embedder.of_texts([text for _, text in lacking])
        return [ChunkVector(seq, vector.tobytes()) for (seq, _), vector in zip(lacking, vectors, strict=True)]
    except InvalidRequestError as exc:
        if len(lacking) == 1:
            await embedder.of_texts([_HARMLESS])  # an unknown model is not this text's fault
            _log.warning("the embedding model refuses a chunk, which full text still finds: %s", exc.message)
            return [ChunkVector(lacking[0][0], _REFUSED)]
    middle = len(lacking) // 2
    return await _vectors_of(embedder, lacking[:middle]) + await _vectors_of(embedder, lacking[middle:])


def _read(data: bytes, name: str, strategy: ChunkingStrategy, limits: ReadingLimits) -> list[Chunk]:
    """Return the chunks of a file; computes for seconds, so it belongs in a thread.

    Raises:
        InvalidRequestError: It cannot be read; the code is one of OpenAI's for files of a vector store.
    """
    return [
        Chunk(number, chunk.start, chunk.end, chunk.page, chunk.text, " ".join(words_of(chunk.text)))
        for number, chunk in enumerate(chunked(text_of(data, name, limits), strategy))
    ]


def _error(code: str, message: str) -> JsonObject:
    return {"code": code, "message": message}
