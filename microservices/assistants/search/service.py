"""Finds passages: by words always, and by meaning where an embedding model is configured."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.search.embedder import Embedder
from microservices.assistants.search.filters import fulfils
from microservices.assistants.search.indexing import Indexer
from microservices.assistants.search.passages import Passage
from microservices.assistants.search.words import coverage, query_words
from microservices.assistants.store import chunk_search, chunks, vector_store_files, vector_stores
from microservices.assistants.store.chunks import ChunkVector, FoundChunk
from microservices.assistants.store.database import Database
from servicekit.documents.ranking import cosine, reciprocal_rank_fusion, vector_from_bytes
from servicekit.errors import InvalidRequestError, ServiceError

_log = logging.getLogger(__name__)

#: How long a search waits for files that are being indexed: who attaches one asks about it at once.
_INDEXING_SECONDS = 10.0
_INDEXING_POLL_SECONDS = 0.02
#: Both rankings are this much longer than what is wanted, so that they meet.
_CANDIDATES = 4
#: Until an embedding service that failed is asked again.
_EMBEDDING_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage, with what searches can filter its file by."""

    passage: Passage
    attributes: JsonObject


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for.

    Attributes:
        text: In the user's words; anything goes.
        limit: How many passages at most.
        score_threshold: Passages with lower scores are left out, 0.0 to 1.0.
        condition: What the attributes of the files must fulfil, see `filters.py`; None: nothing.
    """

    text: str
    limit: int
    score_threshold: float = 0.0
    condition: Mapping[str, Any] | None = None


class DocumentSearch:
    """Searches vector stores, and keeps them searchable; use it as `async with`.

    Args:
        database: The store.
        embedder: Makes vectors of chunks and questions; None: full text only.
    """

    def __init__(self, database: Database, embedder: Embedder | None = None) -> None:
        self._database = database
        self._embedder = embedder
        self._indexer = Indexer(database, embedder)
        self._embed_after = 0.0

    async def __aenter__(self) -> Self:
        await self._indexer.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._indexer.__aexit__(*exc_info)

    def wake(self) -> None:
        """Tell it that files were added to a vector store."""
        self._indexer.wake()

    async def find(
        self, owner: str, vector_store_ids: Sequence[str], question: str, limit: int, score_threshold: float = 0.0
    ) -> list[Passage]:
        """Return the best passages, best first; unknown, foreign and expired vector stores are left out."""
        found = await self.answer(owner, vector_store_ids, Question(question, limit, score_threshold))
        return [item.passage for item in found]

    async def answer(self, owner: str, vector_store_ids: Sequence[str], question: Question) -> list[FoundPassage]:
        """Return the best passages with the attributes of their files, best first.

        Files that are being indexed are waited for, for seconds at most. A score is 1.0 at most: of full text alone
        the part of the question's words that the best passage has, and for the others less in proportion to their
        ranks; with vectors, too, how near a passage is to the first place of both rankings.
        """
        stores = await self._usable(owner, vector_store_ids)
        ids = [store.id for store in stores]
        if not ids:
            return []
        await self._until_indexed(ids)
        vector = await self._vector_of(question.text)
        async with self._database.read() as connection:
            file_ids = await _files_that_fulfil(connection, ids, question.condition)
            ranked = await _ranked_by_words(connection, ids, file_ids, question)
            if vector is not None and self._embedder is not None:
                near = await _ranked_by_meaning(
                    connection, ids, file_ids, self._embedder.model, vector, question.limit * _CANDIDATES
                )
                ranked = reciprocal_rank_fusion([[seq for seq, _ in ranked], near]) if near else ranked
            wanted = [pair for pair in ranked if pair[1] >= question.score_threshold]
            there = await chunks.found(connection, [seq for seq, _ in wanted])
        passages = [_passage(there[seq], score) for seq, score in wanted if seq in there]
        return _different(passages)[: question.limit]

    async def _usable(self, owner: str, store_ids: Sequence[str]) -> list[VectorStore]:
        """Return the vector stores that can be searched; their use is noted."""
        now = int(time.time())
        async with self._database.read() as connection:
            found = await vector_stores.of_owner(connection, owner, store_ids)
        stores = [store for store in found if not store.is_expired(now)]
        if stale := [store.id for store in stores if vector_stores.needs_note(store, now)]:
            async with self._database.write() as connection:
                await vector_stores.note_activity(connection, stale, now)
        return stores

    async def _until_indexed(self, store_ids: Sequence[str]) -> None:
        deadline = time.monotonic() + _INDEXING_SECONDS
        while await self._is_indexing(store_ids) and time.monotonic() < deadline:
            self._indexer.wake()
            await asyncio.sleep(_INDEXING_POLL_SECONDS)

    async def _is_indexing(self, store_ids: Sequence[str]) -> bool:
        async with self._database.read() as connection:
            return await vector_store_files.is_any_open(connection, store_ids)

    async def _vector_of(self, question: str) -> array[float] | None:
        """Return the question's vector; None where there is no embedding model, or it does not answer."""
        if self._embedder is None or not question.strip() or time.monotonic() < self._embed_after:
            return None
        try:
            return await self._embedder.of_question(question)
        except InvalidRequestError as exc:  # this question's fault, such as its length
            _log.warning("full text answers a question alone: %s", exc.message)
        except ServiceError as exc:
            _log.warning("full text answers alone for now: %s", exc.message)
            self._embed_after = time.monotonic() + _EMBEDDING_PAUSE_SECONDS
        return None


async def _files_that_fulfil(
    connection: AsyncConnection, store_ids: Sequence[str], condition: Mapping[str, Any] | None
) -> list[str] | None:
    if condition is None:
        return None
    files = await vector_store_files.attributes_of(connection, store_ids)
    return [file_id for file_id, attributes in files if fulfils(attributes, condition)]


async def _ranked_by_words(
    connection: AsyncConnection, store_ids: Sequence[str], file_ids: list[str] | None, question: Question
) -> list[tuple[int, float]]:
    """Return numbers of chunks with scores of 0.0 to 1.0, best first."""
    words = query_words(question.text)
    found = await chunk_search.by_words(connection, store_ids, file_ids, words, question.limit * _CANDIDATES)
    there = await chunks.found(connection, [seq for seq, _ in found])
    found = [item for item in found if item.seq in there]
    if not found or found[0].score <= 0:
        return [(seq, 0.0) for seq, _ in found]
    best = found[0]
    factor = coverage(words, there[best.seq].words) / best.score
    return [(seq, min(1.0, max(0.0, score * factor))) for seq, score in found]


async def _ranked_by_meaning(
    connection: AsyncConnection,
    store_ids: Sequence[str],
    file_ids: list[str] | None,
    model: str,
    vector: array[float],
    limit: int,
) -> list[int]:
    """Return the numbers of the chunks whose vectors are nearest, nearest first."""
    best: list[tuple[float, int]] = []
    if file_ids == []:
        return []
    async for some in chunks.vectors(connection, store_ids, file_ids, model):
        near = await asyncio.to_thread(_similarities, vector, some)
        best = sorted([*best, *near], reverse=True)[:limit]
    return [seq for _, seq in best]


def _similarities(vector: array[float], some: Sequence[ChunkVector]) -> list[tuple[float, int]]:
    """Return the cosine of each chunk with the question; vectors of another length are another model's."""
    size_bytes = len(vector) * vector.itemsize
    return [
        (cosine(vector, vector_from_bytes(item.embedding)), item.seq)
        for item in some
        if len(item.embedding) == size_bytes
    ]


def _different(passages: Sequence[FoundPassage]) -> list[FoundPassage]:
    """Return the passages without repetitions: a file may be in several of the vector stores."""
    return list({(item.passage.file_id, item.passage.text): item for item in reversed(passages)}.values())[::-1]


def _passage(found: FoundChunk, score: float) -> FoundPassage:
    return FoundPassage(Passage(found.file_id, found.filename, round(score, 6), found.text), found.attributes)
