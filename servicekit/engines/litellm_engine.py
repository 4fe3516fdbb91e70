"""An engine behind LiteLLM: groq, fireworks_ai, openai, anthropic and every other provider that it knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from pydantic import SecretStr

from servicekit.context import CallContext
from servicekit.engines.litellm_errors import error_from_litellm
from servicekit.engines.litellm_parameters import lacking_parameters
from servicekit.engines.litellm_texts import read_vectors, text_upstream_of
from servicekit.engines.litellm_thread import LiteLLMThread
from servicekit.engines.openai_compatible import OpenAICompatibleEngine
from servicekit.engines.request_fields import CHAT, EMBEDDINGS, LITELLM, RequestFields
from servicekit.errors import ConfigurationError, ServiceError, UpstreamTimeoutError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.http.failures import timed_out
from servicekit.model_profile import ModelProfile
from servicekit.models import Deployment
from servicekit.openai.answers import read_completion
from servicekit.openai.chat import ChatObject
from servicekit.openai.chunks import ChunkReader
from servicekit.sse import ServerSentEvent

Result = TypeVar("Result")


class LiteLLMEngine:
    """Answers through one provider of LiteLLM.

    Args:
        deployment: Provider, model, address and key.
        thread: Where the library runs; not closed here.
        client: The process's HTTP client, for texts to continue; not closed here.
        timeouts: Of each call; a request's deadline shortens the total.
    """

    def __init__(
        self, deployment: Deployment, thread: LiteLLMThread, client: HttpClient, timeouts: Timeouts | None = None
    ) -> None:
        self.model = deployment.model
        self.owner = deployment.provider
        self.profile: ModelProfile | None = None
        self._deployment = deployment
        self._thread = thread
        self._client = client
        self._text_engine: OpenAICompatibleEngine | None = None
        self._timeouts = timeouts or Timeouts()
        self._key: SecretStr | None = None
        place = deployment.base_url or deployment.provider
        self._target = Target(f"{deployment.provider}'s model '{deployment.model}'", place)
        self._fields = RequestFields(self._target.name, LITELLM)
        self._library: Any = None

    async def start(self) -> None:
        """Import the library, and see that the provider's key is there.

        Raises:
            ConfigurationError: LiteLLM is not installed, or a variable that the provider needs is not set.
        """
        try:
            self._library = await self._thread.start()
        except ConfigurationError as exc:
            raise ConfigurationError(f"Model '{self.model}' of {self.owner}: {exc.problems[0]}") from exc
        lacking = await asyncio.to_thread(lacking_parameters, self._library, self.owner, self.model)
        self._fields = RequestFields(self._target.name, LITELLM, lacking)
        self._key = await asyncio.to_thread(self._deployment.api_key)
        if self._key is None:
            missing = await asyncio.to_thread(self._missing_variables)
            if missing:
                raise ConfigurationError(
                    f"Model '{self.model}' of {self.owner}: {', '.join(missing)} is not set. Set it in the environment "
                    "or in .env, or name another variable as its api_key_env in compose/models.json."
                )

    async def close(self) -> None:
        """Do nothing: the thread is the registry's."""

    async def problem(self) -> str | None:
        """Return None: a provider is not asked before there is a question, since answers may cost money."""
        return None

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer with a `chat.completion`; see `Engine.chat`.

        Raises:
            ServiceError: Whatever went wrong, as in docs/errors.md.
        """
        answer = await self._within(self._ask(payload, context), "total", self._bounds(context).total_seconds)
        return read_completion(answer.model_dump_json(exclude_none=True).encode(), self._target, self.model)

    async def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with `chat.completion.chunk`s; see `Engine.chat_stream`.

        Raises:
            ServiceError: Whatever went wrong, also after chunks were yielded.
        """
        bounds = self._bounds(context)
        ends = asyncio.get_running_loop().time() + bounds.total_seconds
        asked = self._ask(payload, context, stream=True, stream_options={"include_usage": True})
        stream = await self._within(asked, "first-token", min(bounds.first_byte_seconds, bounds.total_seconds))
        reader = ChunkReader(self._target, self.model)
        wait, kind = bounds.first_byte_seconds, "first-token"
        try:
            while True:
                left = ends - asyncio.get_running_loop().time()
                bound = (kind, wait) if wait <= left else ("total", max(0.0, left))
                try:
                    chunk = await self._within(stream.__anext__(), *bound)
                except StopAsyncIteration:
                    break
                wait, kind = bounds.idle_seconds, "idle"
                if _is_invented(chunk, stream):
                    continue
                event = ServerSentEvent(data=chunk.model_dump_json(exclude_none=True).encode())
                for checked in reader.read(event):
                    yield _without_usage(checked)
        finally:
            await self._thread.run(_close(stream))
        for checked in reader.end(was_cut=False):
            yield checked

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Continue a text, where the provider has the route; see `Engine.complete`. Raises as `chat` does."""
        return await self._texts().complete(payload, context)

    def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Continue a text, piece by piece; see `Engine.complete_stream`. Raises as `chat` does."""
        return self._texts().complete_stream(payload, context)

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Turn texts into vectors, where the provider does; see `Engine.embed`. Raises as `chat` does."""
        # The library's own reading of base64 depends on the provider, so it is always asked for numbers.
        fields = self._fields.chosen(EMBEDDINGS, payload, context.configured)
        asked = self._library.aembedding(**{**fields, **self._place(), "encoding_format": "float"})
        answer = await self._within(asked, "total", self._bounds(context).total_seconds)
        return read_vectors(answer.model_dump(), self._target, self.model, payload.get("encoding_format"))

    def _texts(self) -> OpenAICompatibleEngine:
        """Return who continues texts; why not the library: docs/decisions/0014-litellm.md."""
        if self._text_engine is None:
            upstream = text_upstream_of(self._deployment, self._library, self._key, self._timeouts)
            self._text_engine = OpenAICompatibleEngine(upstream, self._client)
        return self._text_engine

    def _ask(self, payload: ChatObject, context: CallContext, **more: Any) -> Coroutine[Any, Any, Any]:
        chosen = self._fields.chosen(CHAT, payload, context.configured)
        fields = {name: value for name, value in chosen.items() if value is not None}
        call: Coroutine[Any, Any, Any] = self._library.acompletion(
            **{**fields, **more, **self._place(), "messages": payload["messages"]}
        )
        return call

    def _place(self) -> dict[str, Any]:
        """Return what every call of the library says: which model, where, with which key, for how long, how often."""
        return {
            "model": f"{self.owner}/{self.model}",
            "api_base": self._deployment.base_url,
            "api_key": self._key.get_secret_value() if self._key else None,
            "timeout": self._timeouts.total_seconds,
            "max_retries": 0,  # who asks decides about another try
            "num_retries": 0,
        }

    async def _within(self, work: Coroutine[Any, Any, Result], kind: str, seconds: float) -> Result:
        """Run a call of the library; its failures and its time-out become ours."""
        try:
            async with asyncio.timeout(seconds):
                return await self._thread.run(work)
        except TimeoutError as exc:
            bounds = Timeouts(seconds, seconds, seconds, seconds)
            raise timed_out(self._target, kind, bounds) from exc
        except (ServiceError, StopAsyncIteration):
            raise
        except Exception as exc:  # the border to a library whose exceptions have no common class  # noqa: BLE001
            raise error_from_litellm(exc, self._target, self._key) from None  # its chain may carry the key

    def _bounds(self, context: CallContext) -> Timeouts:
        left = context.remaining_seconds()
        if left is None:
            return self._timeouts
        if left <= 0:
            raise UpstreamTimeoutError(f"{self._target}: the request's time ran out before it was asked.")
        known = self._timeouts
        return Timeouts(
            known.connect_seconds, known.first_byte_seconds, known.idle_seconds, min(left, known.total_seconds)
        )

    def _missing_variables(self) -> list[str]:
        if self._deployment.api_key_env is not None:
            return [self._deployment.api_key_env]
        found = self._library.validate_environment(model=f"{self.owner}/{self.model}")
        return list(found["missing_keys"])


def _is_invented(chunk: Any, stream: Any) -> bool:  # noqa: ANN401 - the library's
    """Whether LiteLLM made up the `finish_reason` of a stream that ended without one."""
    reasons = [choice.finish_reason for choice in chunk.choices]
    return any(reasons) and getattr(stream, "received_finish_reason", True) is None


def _without_usage(chunk: ChatObject) -> ChatObject:
    return {name: value for name, value in chunk.items() if name != "usage"}


async def _close(stream: Any) -> None:  # noqa: ANN401 - the library's
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
