"""Vectors of questions and chunks, by an embedding service, in calls that are bounded."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.openai.embeddings import EmbeddingsUpstream

#: Bounds of one request, in texts and in characters of all of them.
_MAX_TEXTS = 32
_MAX_CHARACTERS = 100_000
#: A question waits for its vector no longer than this; full text answers alone then.
_QUESTION_TIMEOUTS = Timeouts(connect_seconds=1.0, first_byte_seconds=5.0, idle_seconds=5.0, total_seconds=5.0)
#: Chunks are embedded beside the traffic.
_CHUNK_TIMEOUTS = Timeouts(connect_seconds=5.0, first_byte_seconds=60.0, idle_seconds=30.0, total_seconds=120.0)


class Embedder:
    """Asks a service for the vectors of texts.

    Args:
        client: The process's.
        url: The service's base URL; `/embeddings` is asked.
        model: Which of its models.
        api_key: Sent as `Authorization: Bearer`, if there is one.
    """

    def __init__(self, client: HttpClient, url: str, model: str, api_key: SecretStr | None = None) -> None:
        self.model = model
        target = Target(f"the embedding service (model '{model}')", f"{url.rstrip('/')}/embeddings")
        self._upstream = EmbeddingsUpstream(client, target, model, api_key)

    async def of_question(self, question: str) -> array[float]:
        """Return the unit vector of a question; raises as `of_texts` does, after seconds at the latest."""
        return (await self._upstream.embed([question[:_MAX_CHARACTERS]], _QUESTION_TIMEOUTS)).vectors[0]

    async def of_texts(self, texts: Sequence[str]) -> list[array[float]]:
        """Return the unit vector of each text, in as many requests as their sizes need.

        Raises:
            InvalidRequestError: The service refuses a text, for instance as too long.
            ServiceError: It is not there, too slow, or answers something else than vectors.
        """
        vectors: list[array[float]] = []
        for batch in _batches(texts):
            vectors += (await self._upstream.embed(batch, _CHUNK_TIMEOUTS)).vectors
        return vectors


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in groups that one request takes."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _MAX_TEXTS or size + len(text) > _MAX_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
