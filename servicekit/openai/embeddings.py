"""Vectors of texts by an OpenAI-compatible service: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from pydantic import SecretStr

from servicekit.documents.ranking import unit_vector
from servicekit.errors import InvalidRequestError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.http.upstream_errors import error_from_answer
from servicekit.openai.answers import decode_object
from servicekit.secret_mask import known_secrets

_NO_HEADERS: Mapping[str, str] = {}


class Embeddings(NamedTuple):
    """What one model made of texts.

    Attributes:
        model: Its name, as the service tells it.
        vectors: Unit vectors of one length, in the order of the texts.
    """

    model: str
    vectors: list[array[float]]


class EmbeddingsUpstream:
    """One `/embeddings` URL.

    Args:
        http: The process's connection pool.
        target: The URL, and what users call it.
        model: Asked for; None leaves the choice to the service.
        api_key: Sent as `Authorization: Bearer`, if there is one.
    """

    def __init__(self, http: HttpClient, target: Target, model: str | None, api_key: SecretStr | None) -> None:
        self._http = http
        self.target = target
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            known_secrets().add(api_key.get_secret_value())  # an error may repeat it
            self._headers["authorization"] = f"Bearer {api_key.get_secret_value()}"

    async def embed(
        self, texts: Sequence[str], timeouts: Timeouts, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Embeddings:
        """Return the vectors of texts, in one call.

        Args:
            texts: At least one.
            timeouts: Bounds of the waits.
            headers: Besides those of every call.

        Raises:
            InvalidRequestError: The service refuses a text, for instance as too long, or the model.
            ServiceError: It is not there, too slow, or answers something else than vectors; naming the target.
        """
        payload: dict[str, Any] = {"input": list(texts), "encoding_format": "float"}
        if self._model is not None:
            payload["model"] = self._model
        response, body = await self._http.fetch(
            "POST", self.target, body=orjson.dumps(payload), headers={**self._headers, **headers}, timeouts=timeouts
        )
        if response.status != 200:
            raise error_from_answer(self.target, response.status, response.headers, body)
        return self._read(decode_object(body, self.target), len(texts))

    def _read(self, document: Mapping[str, Any], count: int) -> Embeddings:
        """Return the vectors of an answer, which may list them in any order."""
        try:
            items = sorted(document["data"], key=lambda item: item["index"])
            vectors = [unit_vector(map(float, item["embedding"])) for item in items]
        except (KeyError, TypeError, ValueError, InvalidRequestError) as exc:
            raise UpstreamBadResponseError(f"{self.target} answered no list of embeddings: {exc!r}.") from exc
        sizes = {len(vector) for vector in vectors}
        if len(vectors) != count or len(sizes) != 1 or 0 in sizes:
            found = f"{len(vectors)} vectors for {count} texts, of {sorted(sizes)} numbers"
            raise UpstreamBadResponseError(f"{self.target} answered {found}; one for each is expected, of one length.")
        return Embeddings(str(document.get("model") or self._model or "unnamed"), vectors)
