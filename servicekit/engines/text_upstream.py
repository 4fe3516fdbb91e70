"""OpenAI's two other routes, `/completions` and `/embeddings`, towards an upstream that has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from servicekit.errors import ContextLengthError, InvalidRequestError, ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.openai.answers import decode_object
from servicekit.openai.chat import ChatObject
from servicekit.sse import DONE, SseDecoder

#: What a server answers that does not have the route, or not for this model.
_NOT_THERE = (404, 405, 501)
_TOO_LONG_TEXT = "is too large to process"

#: Turns an answer with an error status, and its body, into our error.
Explain = Callable[[Target, UpstreamResponse, bytes], Awaitable[ServiceError]]


class TextUpstream:
    """One of the two routes.

    Args:
        http: The process's connection pool.
        target: The URL, and what users call it.
        model: Written into answers as `model`.
        items: What an answer's list is called: `choices` or `data`.
        explain: How error answers are read.
    """

    def __init__(self, http: HttpClient, target: Target, model: str, items: str, explain: Explain) -> None:
        self._http = http
        self._target = target
        self._model = model
        self._items = items
        self._explain = explain

    async def ask(self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts) -> ChatObject:
        """Return the answer to a request.

        Raises:
            InvalidRequestError: The upstream does not have this route.
            ServiceError: Any other failure, naming the target.
        """
        response, body = await self._http.fetch(
            "POST", self._target, body=orjson.dumps(payload), headers=headers, timeouts=timeouts
        )
        if response.status != 200:
            raise await self._error(response, body)
        return self._checked(decode_object(body, self._target))

    async def stream(
        self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts
    ) -> AsyncGenerator[ChatObject]:
        """Yield the chunks of a streamed answer; a stream without `[DONE]` or a `finish_reason` is an error."""
        body = orjson.dumps({**payload, "stream": True})
        decoder, has_ended = SseDecoder(), False
        async with self._http.open("POST", self._target, body=body, headers=headers, timeouts=timeouts) as response:
            if response.status != 200:
                raise await self._error(response, await response.read())
            async with aclosing(response.iter_bytes()) as reads:
                async for data in reads:
                    for event in decoder.feed(data):
                        if event.data.strip() == DONE:
                            return
                        chunk = self._checked(decode_object(event.data, self._target))
                        has_ended = has_ended or any(item.get("finish_reason") for item in chunk[self._items])
                        yield chunk
        if not has_ended:
            raise UpstreamBadResponseError(f"{self._target} ended its stream without a finish_reason.", retryable=True)

    def _checked(self, document: dict[str, Any]) -> ChatObject:
        items = document.get(self._items)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UpstreamBadResponseError(f"{self._target} answered JSON without a list of {self._items}.")
        return {**document, "model": self._model}

    async def _error(self, response: UpstreamResponse, body: bytes) -> ServiceError:
        error = await self._explain(self._target, response, body)
        if _TOO_LONG_TEXT in error.message:  # llama.cpp calls it its own fault
            return ContextLengthError(error.message, param="input")
        if response.status in _NOT_THERE and not isinstance(error, InvalidRequestError):
            return InvalidRequestError(
                f"{self._target} answered {response.status}: it has no such route. Name a model that has it.",
                param="model",
            )
        return error
