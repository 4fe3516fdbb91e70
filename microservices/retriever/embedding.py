"""Asks an embeddings service for vectors, and leaves it alone for a while when it failed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import SecretStr

from servicekit.context import CallContext
from servicekit.errors import InvalidRequestError, UpstreamError, UpstreamTimeoutError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.openai.embeddings import Embeddings, EmbeddingsUpstream

_CONNECT_SECONDS = 2.0
#: A service that failed is not asked again by every question.
_PAUSE_SECONDS = 5.0
#: A text that a model refuses is tried again by its first half, until it is shorter than this.
_SHORTEST_CHARACTERS = 32


class Embedder:
    """The client of one embeddings service.

    Args:
        http: The process's connection pool.
        url: Of the service.
        model: Asked for; None leaves the choice to the service.
        api_key: Sent as `Authorization: Bearer`.
    """

    def __init__(self, http: HttpClient, url: str, model: str | None, api_key: SecretStr | None) -> None:
        self._upstream = EmbeddingsUpstream(http, Target("the embeddings service", url), model, api_key)
        self._failure: UpstreamError | None = None
        self._failed_at = 0.0

    async def embed(self, texts: Sequence[str], context: CallContext, limit_seconds: float) -> Embeddings:
        """Return the vectors of texts, in one call if that goes.

        A text that is too long for the model is embedded by its beginning: half of it, or half of that, ...

        Args:
            texts: At least one.
            context: Id and deadline of the request.
            limit_seconds: How long the service may take for a call, if the request has that long.

        Raises:
            ServiceError: The service failed, naming it, now or a moment ago; or its answer is none of an embeddings
                service.
        """
        if self._failure is not None and time.monotonic() - self._failed_at < _PAUSE_SECONDS:
            raise UpstreamError(self._failure.message, code=self._failure.code, retryable=True)
        self._failure = None
        try:
            return await self._all(texts, context, limit_seconds)
        except UpstreamError as exc:
            if context.remaining_seconds() != 0:  # else it may have been the request that was in a hurry
                self._failure, self._failed_at = exc, time.monotonic()
            raise

    async def _all(self, texts: Sequence[str], context: CallContext, limit_seconds: float) -> Embeddings:
        try:
            return await self._asked(texts, context, limit_seconds)
        except InvalidRequestError as exc:
            if exc.code == "model_not_found":
                raise
        found = [await self._shortened(text, context, limit_seconds) for text in texts]
        return Embeddings(found[-1].model, [embeddings.vectors[0] for embeddings in found])

    async def _shortened(self, text: str, context: CallContext, limit_seconds: float) -> Embeddings:
        while True:
            try:
                return await self._asked([text], context, limit_seconds)
            except InvalidRequestError:
                if len(text) < 2 * _SHORTEST_CHARACTERS:
                    raise
                text = text[: len(text) // 2]

    async def _asked(self, texts: Sequence[str], context: CallContext, limit_seconds: float) -> Embeddings:
        left = context.remaining_seconds()
        seconds = limit_seconds if left is None else min(left, limit_seconds)
        if seconds <= 0:
            raise UpstreamTimeoutError(f"{self._upstream.target}: the request's time ran out before it was asked.")
        timeouts = Timeouts(_CONNECT_SECONDS, seconds, seconds, seconds)
        return await self._upstream.embed(texts, timeouts, context.headers())
