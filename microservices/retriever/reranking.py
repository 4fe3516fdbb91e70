"""Puts passages in the order in which they answer a question: by its words, and by meaning where vectors are there.

This is no cross-encoder, which would read question and passage together. It is arithmetic over what the index has.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from microservices.retriever.schemas import PassageDoc, RerankingRequest
from microservices.retriever.store import Store
from microservices.retriever.words import stems, telling_words
from servicekit.documents.ranking import cosine, unit_vector

#: What the words count against the meaning: a small embedding model knows names and numbers badly.
_WORDS_SHARE = 2 / 3
#: BM25's two constants, as most have them (Robertson and Zaragoza, 2009).
_SATURATION, _LENGTH_SHARE = 1.2, 0.75
_DIGITS = 6


class Reranker:
    """Reranks passages, those of the store by their vectors, too.

    Args:
        store: Holds the vectors of the passages whose `id` it gave.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def rerank(self, request: RerankingRequest) -> dict[str, Any]:
        """Return the best passages, as OPEA's RerankedDoc and LLMParamsDoc at once.

        Raises:
            InternalError: The index cannot be used.
        """
        return await asyncio.to_thread(self._reranked, request)

    def _reranked(self, request: RerankingRequest) -> dict[str, Any]:
        by_words = word_scores(request.initial_query, [passage.text for passage in request.retrieved_docs])
        by_meaning = self._meaning_scores(request)
        scores = [
            words if meaning is None else _WORDS_SHARE * words + (1 - _WORDS_SHARE) * meaning
            for words, meaning in zip(by_words, by_meaning, strict=True)
        ]
        best = sorted(zip(scores, request.retrieved_docs, strict=True), key=lambda pair: -pair[0])[: request.top_n]
        documents = [_document(passage, score) for score, passage in best]
        return {
            "reranked_docs": documents,
            "initial_query": request.initial_query,
            "query": request.initial_query,
            "documents": [document["text"] for document in documents],
        }

    def _meaning_scores(self, request: RerankingRequest) -> Sequence[float | None]:
        """Return each passage's likeness to the question, the least like 0 and the most like 1."""
        nothing = [None] * len(request.retrieved_docs)
        if request.embedding is None:
            return nothing
        vectors = self._store.vectors()
        if not vectors.fit(request.embedding, request.model):
            return nothing
        question = unit_vector(request.embedding)
        keys = self._store.keys_of(passage.id for passage in request.retrieved_docs if passage.id is not None)
        found = [vectors.by_key.get(keys.get(passage.id or "", -1)) for passage in request.retrieved_docs]
        if not found or any(vector is None for vector in found):  # words and meaning only count where all have both
            return nothing
        cosines = [cosine(question, vector) for vector in found if vector is not None]
        least, most = min(cosines), max(cosines)
        return [(value - least) / (most - least) if most > least else 1.0 for value in cosines]


def word_scores(question: str, texts: Sequence[str]) -> list[float]:
    """Return how well each text fits the question's telling words: BM25 among these texts alone, scaled to 0..1.

    Rare words count more, repetitions ever less, and long texts need more of them. 1 could only be reached by a text
    that repeats every word for ever.
    """
    wanted = list(dict.fromkeys(stem for word in telling_words(question) for stem in stems(word)))
    counts = [Counter(stems(text)) for text in texts]
    lengths = [counter.total() for counter in counts]
    average = max(1.0, sum(lengths) / max(1, len(lengths)))
    weights = {stem: _rarity(sum(stem in counter for counter in counts), len(texts)) for stem in wanted}
    total = sum(weights.values()) or 1.0
    return [
        sum(weight * _frequency(counter[stem], length / average) for stem, weight in weights.items()) / total
        for counter, length in zip(counts, lengths, strict=True)
    ]


def _rarity(count: int, total: int) -> float:
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


def _frequency(count: int, relative_length: float) -> float:
    return count / (count + _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * relative_length))


def _document(passage: PassageDoc, score: float) -> dict[str, Any]:
    given = passage.model_dump(exclude={"score", "id"})
    named = {"id": passage.id} if passage.id is not None else {}
    return {**named, **given, "score": round(score, _DIGITS)}
