"""An engine behind an OpenAI-compatible URL: Ollama, vLLM, TGI, FastChat, llama.cpp's server, OpenAI itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from servicekit.context import CallContext
from servicekit.engines.request_fields import CHAT, COMPLETIONS, EMBEDDINGS, RequestFields, Route
from servicekit.engines.text_upstream import TextUpstream
from servicekit.engines.upstream_probe import PROBE_TIMEOUTS, ProbedServer, ProbeState, model_names, probe
from servicekit.errors import (
    InvalidRequestError,
    ServiceError,
    UpstreamError,
    UpstreamTimeoutError,
)
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.http.upstream_errors import error_from_answer
from servicekit.model_profile import ModelProfile
from servicekit.openai.chat import ChatObject
from servicekit.openai.upstream import ChatUpstream

_CHAT_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an engine's answers come from.

    Attributes:
        model: The model's name there; also what answers carry, see `answers_as`.
        base_url: Up to and including `/v1`.
        label: What error messages call it.
        api_key: Sent as `Authorization: Bearer`.
        fields: Chooses what of a request it is sent; None for a server of which no more is known.
        timeouts: Of each call; a request's deadline shortens the total.
        keeps_connections: Whether a connection is used for more than one call.
        is_ollama: Whether it is an Ollama, which must have pulled the model.
        answers_as: What answers carry as `model`, if that is not `model`.
    """

    model: str
    base_url: str
    label: str
    api_key: SecretStr | None = None
    fields: RequestFields | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    keeps_connections: bool = True
    is_ollama: bool = False
    answers_as: str | None = None

    def target(self, path: str) -> Target:
        """Return whom a call of this path goes to, as error messages name it."""
        return Target(self.label, self.base_url.rstrip("/") + path)


class OpenAICompatibleEngine:
    """Answers through one upstream.

    Args:
        upstream: Address, model and limits.
        client: The process's HTTP client; it is not closed here.
    """

    def __init__(self, upstream: Upstream, client: HttpClient) -> None:
        self.model = upstream.answers_as or upstream.model
        self.owner = urlsplit(upstream.base_url).hostname or "upstream"
        self.profile: ModelProfile | None = None
        self._upstream = upstream
        self._fields = upstream.fields or RequestFields(upstream.label)
        self._client = client
        self._chat = ChatUpstream(client, upstream.target(_CHAT_PATH), self.model, self._explain_chat)
        self._completions = self._text_upstream("/completions", "choices")
        self._embeddings = self._text_upstream("/embeddings", "data")

    async def start(self) -> None:
        """Do nothing: an upstream that is not there yet may come later, and `problem` says so meanwhile."""

    async def close(self) -> None:
        """Do nothing: the client is the process's, and each call frees its connection."""

    async def problem(self) -> str | None:
        """Ask the upstream for its models: it must answer, take our key and, if it is an Ollama, have the model."""
        result = await probe(self._client, self._probed())
        return None if result.state in (ProbeState.READY, ProbeState.UNLISTED) else result.message

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer with a `chat.completion`; see `Engine.chat`.

        Raises:
            ServiceError: Whatever went wrong, as in docs/errors.md.
        """
        body, headers = self._chat_body(payload, context), self._headers(context.headers())
        return await self._chat.complete(body, headers, self._timeouts(context))

    async def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with `chat.completion.chunk`s; see `Engine.chat_stream`.

        Raises:
            ServiceError: Whatever went wrong, also after chunks were yielded.
        """
        body, headers = self._chat_body(payload, context), self._headers(context.headers())
        stream = self._chat.stream(body, headers, self._timeouts(context))
        async with aclosing(stream.batches()) as batches:
            async for batch in batches:
                for chunk in batch.documents():
                    yield chunk

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Continue a text; see `Engine.complete`. Raises as `chat` does."""
        body = self._body(COMPLETIONS, payload, context)
        return await self._completions.ask(body, self._headers(context.headers()), self._timeouts(context))

    async def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Continue a text, piece by piece; see `Engine.complete_stream`. Raises as `chat_stream` does."""
        body, headers = self._body(COMPLETIONS, payload, context), self._headers(context.headers())
        async with aclosing(self._completions.stream(body, headers, self._timeouts(context))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Turn texts into vectors; see `Engine.embed`. Raises as `chat` does."""
        body = self._body(EMBEDDINGS, payload, context)
        return await self._embeddings.ask(body, self._headers(context.headers()), self._timeouts(context))

    def _text_upstream(self, path: str, items: str) -> TextUpstream:
        return TextUpstream(self._client, self._upstream.target(path), self.model, items, self._explain)

    def _chat_body(self, payload: ChatObject, context: CallContext) -> dict[str, Any]:
        return {"messages": payload["messages"], **self._body(CHAT, payload, context)}

    def _body(self, route: Route, payload: ChatObject, context: CallContext) -> dict[str, Any]:
        return {**self._fields.chosen(route, payload, context.configured), "model": self._upstream.model}

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        headers = {"content-type": "application/json", **more}
        if self._upstream.api_key is not None:
            headers["authorization"] = f"Bearer {self._upstream.api_key.get_secret_value()}"
        if not self._upstream.keeps_connections:
            headers["connection"] = "close"
        return headers

    def _timeouts(self, context: CallContext) -> Timeouts:
        left = context.remaining_seconds()
        if left is None:
            return self._upstream.timeouts
        if left <= 0:
            raise UpstreamTimeoutError(f"{self._upstream.label}: the request's time ran out before it was asked.")
        return self._upstream.timeouts._replace(total_seconds=min(left, self._upstream.timeouts.total_seconds))

    async def _explain_chat(self, response: UpstreamResponse, body: bytes) -> ServiceError:
        return await self._explain(self._upstream.target(_CHAT_PATH), response, body)

    async def _explain(self, target: Target, response: UpstreamResponse, body: bytes) -> ServiceError:
        """Read an error answer; what a wrong name or address needs to be put right is added to its words."""
        error = error_from_answer(target, response.status, response.headers, self._without_key(body))
        if error.code == "model_not_found":
            message = error.message + await self._model_remedy()
            return InvalidRequestError(message, param="model", code=error.code)
        if response.status == 404:
            return UpstreamError(f"{error.message} (Does its base_url end in /v1?)")
        return error

    async def _model_remedy(self) -> str:
        names = await self._upstream_models()
        there = f" The models there are: {', '.join(names)}." if names else ""
        return f"{there} Pull '{self.model}' there, or name another model."

    async def _upstream_models(self) -> list[str]:
        """Return the upstream's model names; none if it does not tell, since this only completes an error."""
        target = self._upstream.target("/models")
        try:
            _, body = await self._client.fetch("GET", target, headers=self._headers({}), timeouts=PROBE_TIMEOUTS)
        except ServiceError:
            return []
        return model_names(body) or []

    def _probed(self) -> ProbedServer:
        upstream = self._upstream
        return ProbedServer(upstream.label, upstream.base_url, upstream.model, self._headers({}), upstream.is_ollama)

    def _without_key(self, body: bytes) -> bytes:
        """Mask our key where an upstream repeats it."""
        secret = self._upstream.api_key.get_secret_value() if self._upstream.api_key else ""
        return body.replace(secret.encode(), b"***") if secret else body
