"""Sees to it that passages have vectors: asked for when a question first needs them, by one task at a time."""

from __future__ import annotations

import asyncio
import time

from microservices.retriever.embedding import Embedder
from microservices.retriever.store import Store
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamBadResponseError, UpstreamTimeoutError

#: Passages that go out in one call; few, since the vector of a question may have to wait for them.
_BATCH = 8
#: How long one call may take.
_BATCH_SECONDS = 60.0


class Indexer:
    """Owns the task that asks for missing vectors; it goes on when the question that began it is answered.

    Args:
        store: What has vectors, and what has none.
        embedder: Whom to ask.
        wait_seconds: How long a question waits for the task.
    """

    def __init__(self, store: Store, embedder: Embedder, wait_seconds: float) -> None:
        self._store = store
        self._embedder = embedder
        self._wait_seconds = wait_seconds
        self._task: asyncio.Task[None] | None = None
        self._failure: ServiceError | None = None
        self._begun_at = 0.0

    async def close(self) -> None:
        """Stop the task; what it has not done is done when it is needed again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def catch_up(self) -> ServiceError | None:
        """Have every passage embedded; return why some are not."""
        if self._task is None or self._task.done():
            if not await asyncio.to_thread(self._store.without_vector, 1):
                return None
            if self._task is None or self._task.done():  # another question may have begun it meanwhile
                self._task, self._begun_at = asyncio.create_task(self._work(), name="embed passages"), time.monotonic()
        # The task belongs to no question: it must not end with the one that waits.
        left = self._begun_at + self._wait_seconds - time.monotonic()
        await asyncio.wait({self._task}, timeout=max(0.0, left))
        if not self._task.done():
            return UpstreamTimeoutError(f"passages are still being embedded after {self._wait_seconds:g} s.")
        return self._failure

    async def begin_again(self) -> ServiceError | None:
        """Drop all vectors, which another model made, and have them made again; return why some are not."""
        await asyncio.to_thread(self._store.forget_vectors)
        return await self.catch_up()

    async def _work(self) -> None:
        self._failure = None
        context = CallContext("embed-passages")
        model: str | None = None
        try:
            while pending := await asyncio.to_thread(self._store.without_vector, _BATCH):
                found = await self._embedder.embed([text for _, text in pending], context, _BATCH_SECONDS)
                if model not in (None, found.model):  # else each would drop the other's vectors for ever
                    raise UpstreamBadResponseError(
                        f"The embeddings service answers by turns as '{model}' and '{found.model}', whose vectors "
                        "cannot be compared; set RETRIEVER_EMBEDDING_MODEL to one of them."
                    )
                model = found.model
                rows = [(key, vector.tobytes()) for (key, _), vector in zip(pending, found.vectors, strict=True)]
                await asyncio.to_thread(self._store.add_vectors, model, rows)
        except ServiceError as exc:
            self._failure = exc
