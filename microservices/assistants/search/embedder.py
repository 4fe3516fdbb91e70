"""Vectors of texts, by an OpenAI-compatible service: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from servicekit.documents.ranking import unit_vector
from servicekit.errors import InvalidRequestError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.http.upstream_errors import error_from_answer

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

    def __init__(self, client: HttpClient, url: str, model: str, api_key: str | None = None) -> None:
        self.model = model
        self._client = client
        self._target = Target(f"the embedding service (model '{model}')", f"{url.rstrip('/')}/embeddings")
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    async def of_question(self, question: str) -> array[float]:
        """Return the unit vector of a question; raises as `of_texts` does, after seconds at the latest."""
        return (await self._ask([question[:_MAX_CHARACTERS]], _QUESTION_TIMEOUTS))[0]

    async def of_texts(self, texts: Sequence[str]) -> list[array[float]]:
        """Return the unit vector of each text, in as many requests as their sizes need.

        Raises:
            InvalidRequestError: The service refuses a text, for instance as too long.
            ServiceError: It is not there, too slow, or answers something else than vectors.
        """
        vectors: list[array[float]] = []
        for batch in _batches(texts):
            vectors += await self._ask(batch, _CHUNK_TIMEOUTS)
        return vectors

    async def _ask(self, texts: Sequence[str], timeouts: Timeouts) -> list[array[float]]:
        body = orjson.dumps({"model": self.model, "input": texts, "encoding_format": "float"})
        response, data = await self._client.fetch(
            "POST", self._target, body=body, headers=self._headers, timeouts=timeouts
        )
        if response.status >= 400:
            raise error_from_answer(self._target, response.status, response.headers, data)
        return self._vectors(data, len(texts))

    def _vectors(self, data: bytes, count: int) -> list[array[float]]:
        try:
            items: list[Any] = sorted(orjson.loads(data)["data"], key=lambda item: item["index"])
            vectors = [unit_vector(item["embedding"]) for item in items]
        except (ValueError, TypeError, LookupError, InvalidRequestError) as exc:
            raise UpstreamBadResponseError(f"{self._target} answered no embeddings: {exc}.") from exc
        sizes = {len(vector) for vector in vectors}
        if len(vectors) != count or len(sizes) != 1 or 0 in sizes:
            raise UpstreamBadResponseError(
                f"{self._target} answered {len(vectors)} embeddings of {sorted(sizes)} numbers; "
                f"{count} of one length were expected."
            )
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
