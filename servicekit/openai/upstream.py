"""Speaks OpenAI chat to an upstream, and turns every way in which it can fail into one of our errors.

Used by the engines (towards Ollama, vLLM, llama.cpp, ...) and by the gateway's chat nodes (towards the LLM
microservice).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from servicekit.errors import ServiceError, UpstreamBadResponseError, UpstreamError
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.http.upstream_errors import describe_error_body, error_from_answer, json_object
from servicekit.openai.assembler import ChatAssembler
from servicekit.sse import DONE, ServerSentEvent, SseDecoder

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a chat stream: its bytes as they came, decoded, and the text that it adds."""

    data: bytes
    document: dict[str, Any]
    text: str


class ChatUpstream:
    """One OpenAI-compatible `/chat/completions` URL.

    Args:
        http: The process's connection pool.
        target: The URL, and what users call it.
        headers: Sent with every request, such as `authorization`.
    """

    def __init__(self, http: HttpClient, target: Target, headers: Mapping[str, str] | None = None) -> None:
        self._http = http
        self.target = target
        self._headers = {**_JSON, **(headers or {})}

    async def complete(
        self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts
    ) -> dict[str, Any]:
        """Ask for a `chat.completion`.

        Raises:
            ServiceError: Any failure, naming the target; an answer without choices is one.
        """
        response, body = await self._http.fetch(
            "POST",
            self.target,
            body=orjson.dumps({**payload, "stream": False}),
            headers={**self._headers, **headers},
            timeouts=timeouts,
        )
        if response.status >= 400:
            raise error_from_answer(self.target, response.status, response.headers, body)
        document = json_object(self.target, body)
        choices = document.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0].get("message"), dict):
            raise UpstreamBadResponseError(f"{self.target} answered 200 without 'choices'; is it an OpenAI chat API?")
        return document

    def stream(self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts) -> ChatStream:
        """Ask for a stream; the request goes out when it is iterated. Usage is always asked for."""
        body = orjson.dumps({**payload, "stream": True, "stream_options": {"include_usage": True}})
        return ChatStream(self._http, self.target, body, {**self._headers, **headers}, timeouts)


class ChatStream:
    """One streamed answer: iterate `chunks`, then read `assembled`."""

    def __init__(
        self, http: HttpClient, target: Target, body: bytes, headers: Mapping[str, str], timeouts: Timeouts
    ) -> None:
        self._http = http
        self._target = target
        self._body = body
        self._headers = headers
        self._timeouts = timeouts
        self.assembled = ChatAssembler()

    async def chunks(self) -> AsyncGenerator[list[Chunk]]:
        """Yield the chunks of each read, `[DONE]` excluded; closing the generator cancels the upstream's work.

        Raises:
            ServiceError: Any failure before or within the stream; a stream that just stops is one.
        """
        async with self._http.open(
            "POST", self._target, body=self._body, headers=self._headers, timeouts=self._timeouts
        ) as response:
            if response.status >= 400:
                raise error_from_answer(self._target, response.status, response.headers, await response.read())
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise await self._not_a_stream(response)
            async with aclosing(self._decoded(response)) as batches:
                async for batch in batches:
                    yield batch

    async def _decoded(self, response: UpstreamResponse) -> AsyncGenerator[list[Chunk]]:
        decoder = SseDecoder()
        async with aclosing(response.iter_bytes()) as reads:
            async for read in reads:
                events = decoder.feed(read)
                ended = any(event.data == DONE for event in events)
                batch = [self._chunk(event) for event in events if event.data != DONE]
                if batch:
                    yield batch
                if ended:
                    self._check_complete(ended=True)
                    await response.drain()
                    return
        if decoder.has_partial_event:
            raise UpstreamBadResponseError(f"{self._target} cut its stream in the middle of an event.", retryable=True)
        self._check_complete(ended=False)

    def _chunk(self, event: ServerSentEvent) -> Chunk:
        try:
            document = orjson.loads(event.data)
        except orjson.JSONDecodeError as exc:
            raise UpstreamBadResponseError(
                f"{self._target} streamed an event that is not valid JSON: {exc.msg}."
            ) from exc
        if event.event == "error" or not isinstance(document, dict) or document.get("error"):
            raise self._error_event(event.data)
        return Chunk(event.data, document, self.assembled.add(document))

    def _error_event(self, data: bytes) -> ServiceError:
        words, _ = describe_error_body(data)
        return UpstreamError(f"{self._target} reported an error in its stream: {words}", retryable=True)

    def _check_complete(self, *, ended: bool) -> None:
        """A stream is whole if every choice has a finish_reason, or if at least `[DONE]` follows a chunk."""
        if self.assembled.finished or (ended and self.assembled.started):
            return
        what = "without a single chunk" if ended else "without finish_reason and [DONE]"
        raise UpstreamBadResponseError(f"{self._target} ended its stream {what}.", retryable=True)

    async def _not_a_stream(self, response: UpstreamResponse) -> ServiceError:
        kind = response.headers.get("content-type", "nothing")
        words, _ = describe_error_body(await response.read())
        return UpstreamBadResponseError(
            f"{self._target} was asked for an event stream and answered {response.status} with {kind}: {words}"
        )
