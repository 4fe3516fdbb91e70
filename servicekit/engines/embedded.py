"""An engine of our own: llama.cpp in a child process, spoken to as an OpenAI-compatible upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from servicekit.context import CallContext
from servicekit.engines.gguf import read_gguf_facts
from servicekit.engines.hub_download import fetch_at_start
from servicekit.engines.hub_reference import HubReference
from servicekit.engines.json_refusal import check_json_is_possible
from servicekit.engines.llama_process import EmbeddedOptions, LlamaProcess
from servicekit.engines.llama_server import LlamaServer
from servicekit.engines.notices import NoticeMarker
from servicekit.engines.openai_compatible import OpenAICompatibleEngine, Upstream
from servicekit.engines.request_fields import LLAMA_CPP, RequestFields
from servicekit.errors import (
    OverloadedError,
    UpstreamBadResponseError,
    UpstreamUnreachableError,
)
from servicekit.http.client import HttpClient, Timeouts
from servicekit.model_profile import ModelProfile, load_profile
from servicekit.openai.chat import ChatObject
from servicekit.openai.dimensions import shortened

#: How long a call may wait until llama.cpp takes it.
_QUEUE_SECONDS = 60.0
#: After a broken connection, how long to wait for the news that the process has ended.
_NEWS_SECONDS = 0.5


class EmbeddedEngine:
    """Answers with one GGUF model.

    Args:
        path: The GGUF file; a `<name>.profile.json` beside it says what the model knows about itself.
        client: The process's HTTP client; it is not closed here.
        options: Threads, slots, limits.
        timeouts: Of each call.
        source: Where the start fetches the file from, if it is not there.
    """

    owner = "llama.cpp"

    def __init__(
        self,
        path: Path,
        client: HttpClient,
        options: EmbeddedOptions | None = None,
        timeouts: Timeouts | None = None,
        source: HubReference | None = None,
    ) -> None:
        self.model = path.stem
        self._source = source
        self.profile: ModelProfile | None = None
        self._path = path
        self._client = client
        self._options = options or EmbeddedOptions()
        self._timeouts = timeouts or Timeouts()
        self._server = LlamaServer(path, self.model, self._options)
        self._label = f"llama.cpp of model '{self.model}'"
        self._fields = RequestFields(self._label, LLAMA_CPP)
        self._places = asyncio.Semaphore(self._options.max_calls)

    async def start(self) -> None:
        """Load the model; fetch it first, if it is one of Hugging Face that is not in the cache.

        Raises:
            ConfigurationError: The file is missing, no GGUF, incomplete, or nothing that llama.cpp can load.
        """
        if self._source is not None:
            await fetch_at_start(self._source, self._client)
        facts = await asyncio.to_thread(read_gguf_facts, self._path)
        self.profile = await asyncio.to_thread(load_profile, self._path)
        await self._server.start(facts)

    async def close(self) -> None:
        """End llama.cpp; running calls fail."""
        await self._server.close()

    async def problem(self) -> str | None:
        """Return why there is no answering llama.cpp, None if there is one."""
        process = self._server.process
        return self._server.problem if process is None else await self._upstream(process).problem()

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer with a `chat.completion`; see `Engine.chat`.

        Raises:
            UpstreamUnreachableError: llama.cpp is not running, or crashed meanwhile.
            OverloadedError: Too many calls are waiting.
            InvalidRequestError: JSON is wanted of a model that cannot write it.
            ServiceError: Whatever llama.cpp says, as in docs/errors.md.
        """
        check_json_is_possible(self.profile, {**context.configured, **payload})
        async with self._place(context), self._running() as process:
            answer = await self._upstream(process).chat(payload, context)
        return NoticeMarker(self.profile, payload["messages"]).completion(answer)

    async def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with `chat.completion.chunk`s; see `Engine.chat_stream`. Raises as `chat` does."""
        check_json_is_possible(self.profile, {**context.configured, **payload})
        marker = NoticeMarker(self.profile, payload["messages"])
        async with (
            self._place(context),
            self._running() as process,
            aclosing(self._upstream(process).chat_stream(payload, context)) as chunks,
        ):
            async for chunk in chunks:
                for marked in marker.chunk(chunk):
                    yield marked

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Continue a text as the model does by itself, without its chat template. Raises as `chat` does."""
        async with self._place(context), self._running() as process:
            return await self._upstream(process).complete(payload, context)

    async def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Continue a text, piece by piece. Raises as `chat` does."""
        async with (
            self._place(context),
            self._running() as process,
            aclosing(self._upstream(process).complete_stream(payload, context)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Turn texts into vectors: the mean over the tokens of each. Raises as `chat` does.

        llama.cpp leaves `dimensions` out; the vectors of a model that was trained for it are cut here.
        """
        async with self._place(context), self._running() as process:
            answer = await self._upstream(process).embed(payload, context)
        is_sound = self.profile is not None and self.profile.matryoshka
        return shortened(answer, {**context.configured, **payload}.get("dimensions")) if is_sound else answer

    def _upstream(self, process: LlamaProcess) -> OpenAICompatibleEngine:
        """Return an engine for this child; the next one has another port and key."""
        upstream = Upstream(
            model=self.model,
            base_url=process.base_url,
            label=self._label,
            api_key=process.api_key,
            timeouts=self._timeouts,
            fields=self._fields,
            # llama.cpp ties a thread to each open connection and closes idle ones without warning; a new
            # connection costs a fifth of a millisecond.
            keeps_connections=False,
        )
        return OpenAICompatibleEngine(upstream, self._client)

    @asynccontextmanager
    async def _place(self, context: CallContext) -> AsyncIterator[None]:
        """Wait for one of the places at llama.cpp, so that its threads are never short."""
        left = context.remaining_seconds()
        try:
            async with asyncio.timeout(_QUEUE_SECONDS if left is None else min(left, _QUEUE_SECONDS)):
                await self._places.acquire()
        except TimeoutError as exc:
            raise OverloadedError(
                f"{self._label} has {self._options.max_calls} calls to answer already.",
                retry_after_seconds=1,
            ) from exc
        try:
            yield
        finally:
            self._places.release()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[LlamaProcess]:
        """Give the running child; a connection that its crash broke becomes an error that says so."""
        process = self._server.process
        if process is None:
            raise UpstreamUnreachableError(f"{self._server.problem}. Try again in a moment.")
        try:
            yield process
        except (UpstreamUnreachableError, UpstreamBadResponseError) as exc:
            if await self._server.has_ended(process, _NEWS_SECONDS):
                raise UpstreamUnreachableError(f"{self._server.problem}. Try again in a moment.") from exc
            raise
