"""From a question to passages: a ranking by words and one by meaning, brought together."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microservices.retriever.embedding import Embedder
from microservices.retriever.indexing import Indexer
from microservices.retriever.passages import Vectors
from microservices.retriever.schemas import RetrievalRequest
from microservices.retriever.store import Store
from microservices.retriever.words import telling_words
from servicekit.context import CallContext
from servicekit.documents.ranking import cosine, reciprocal_rank_fusion, unit_vector
from servicekit.errors import ServiceError

#: How many passages of each ranking take part in the fusion, at least.
_LEAST_DEPTH = 20
#: What an answer was found by.
HYBRID, FULL_TEXT = "hybrid", "full_text"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The passages by their likeness to a question.

    Attributes:
        vectors: Of the passages.
        cosines: Of each with the question, by the passages' numbers; the best first.
    """

    vectors: Vectors
    cosines: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a question.

    Attributes:
        mode: `HYBRID`, or `FULL_TEXT` where vectors could not be had.
        documents: Each passage as OPEA's TextDoc, with its `score`, and its `similarity` where there is one.
        problem: Why the vectors could not be had, or not all of them.
    """

    mode: str
    documents: list[dict[str, Any]]
    problem: str | None = None

    def to_json(self, request: RetrievalRequest) -> dict[str, Any]:
        """Return OPEA's SearchedDoc, and as `retrieval` how it was found."""
        how: dict[str, Any] = {"mode": self.mode}
        if self.problem is not None:
            how["notice"] = {"code": "embeddings_missing", "message": self.problem}
        return {
            "retrieved_docs": self.documents,
            "initial_query": request.text,
            "top_n": request.top_n,
            "retrieval": how,
        }


class Searcher:
    """Answers questions.

    Args:
        store: The passages.
        indexer: Sees to it that they have vectors.
        embedder: Makes the vectors of questions that bring none.
        wait_seconds: How long such a question waits for its vector.
    """

    def __init__(self, store: Store, indexer: Indexer, embedder: Embedder, wait_seconds: float) -> None:
        self._store = store
        self._indexer = indexer
        self._embedder = embedder
        self._wait_seconds = wait_seconds

    async def search(self, request: RetrievalRequest, context: CallContext) -> Found:
        """Find passages; without embeddings by full text alone, which the answer says.

        Raises:
            InternalError: The index cannot be used.
        """
        meaning, problem = await self._meaning(request, context)
        found = await asyncio.to_thread(self._ranked, request, meaning)
        return Found(FULL_TEXT if meaning is None else HYBRID, found, problem)

    async def _meaning(self, request: RetrievalRequest, context: CallContext) -> tuple[Meaning | None, str | None]:
        failure = await self._indexer.catch_up()
        vectors = await asyncio.to_thread(self._store.vectors)
        question: Sequence[float] | None = None
        if request.embedding is not None and vectors.fit(request.embedding, request.model):
            question = unit_vector(request.embedding)
        elif failure is None or vectors.by_key:
            try:
                question, vectors, failure = await self._own_vector(request.text, vectors, failure, context)
            except ServiceError as exc:
                failure = exc
        if question is None or not vectors.by_key:
            return None, _told("Found by full text alone", failure)
        meaning = await asyncio.to_thread(_meaning_of, vectors, question)
        return meaning, _told("Not every passage has its embedding", failure)

    async def _own_vector(
        self, text: str, vectors: Vectors, failure: ServiceError | None, context: CallContext
    ) -> tuple[array[float], Vectors, ServiceError | None]:
        """Return a vector of the question that can be compared, if need be after all passages were embedded again."""
        made = await self._embedder.embed([text], context, self._wait_seconds)
        if not vectors.by_key or vectors.fit(made.vectors[0], made.model):
            return made.vectors[0], vectors, failure
        failure = await self._indexer.begin_again()
        return made.vectors[0], await asyncio.to_thread(self._store.vectors), failure

    def _ranked(self, request: RetrievalRequest, meaning: Meaning | None) -> list[dict[str, Any]]:
        depth = max(_LEAST_DEPTH, request.fetch_k, request.k)
        rankings = [self._store.full_text(telling_words(request.text), depth)]
        if meaning is not None:
            rankings.append(list(meaning.cosines)[:depth])
        scores = dict(reciprocal_rank_fusion(rankings))
        keys = _chosen(request, list(scores), meaning)
        documents = []
        for passage in self._store.passages(keys[: request.k]):
            document = {**passage.to_json(), "score": round(scores[passage.key], 6)}
            if meaning is not None and passage.key in meaning.cosines:
                document["similarity"] = round(meaning.cosines[passage.key], 6)
            documents.append(document)
        return documents


def _meaning_of(vectors: Vectors, question: Sequence[float]) -> Meaning:
    # Of one model all have one length, unless somebody serves two models under one name.
    alike = ((key, vector) for key, vector in vectors.by_key.items() if len(vector) == len(question))
    cosines = {key: cosine(question, vector) for key, vector in alike}
    return Meaning(vectors, dict(sorted(cosines.items(), key=lambda item: -item[1])))


def _chosen(request: RetrievalRequest, keys: list[int], meaning: Meaning | None) -> list[int]:
    """Return which of the fused ranking are answered, as the search type has it; all without vectors."""
    if meaning is None or request.search_type == "similarity":
        return keys
    if request.search_type == "mmr":
        return _various(keys[: request.fetch_k], request, meaning)
    least = request.score_threshold
    if request.search_type == "similarity_distance_threshold":
        least = 1 - (request.distance_threshold or 0.0)
    return [key for key in keys if meaning.cosines.get(key, -1.0) >= least]


def _various(keys: list[int], request: RetrievalRequest, meaning: Meaning) -> list[int]:
    """Return the passages by maximal marginal relevance: like the question, and unlike those before.

    Carbonell and Goldstein, "The use of MMR", SIGIR 1998.
    """
    vectors = meaning.vectors.by_key
    weight = request.lambda_mult
    left = {key: -1.0 for key in keys if key in vectors}  # with the likeness to the nearest that is chosen
    chosen: list[int] = []
    while left and len(chosen) < request.k:
        best = max(left, key=lambda key: weight * meaning.cosines[key] - (1 - weight) * left[key])
        chosen.append(best)
        del left[best]
        left = {key: max(likeness, cosine(vectors[best], vectors[key])) for key, likeness in left.items()}
    return chosen


def _told(what: str, failure: ServiceError | None) -> str | None:
    return f"{what}: {failure.message}" if failure is not None else None
