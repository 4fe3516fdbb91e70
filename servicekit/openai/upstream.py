"""Speaks OpenAI chat to an upstream, and turns every way in which it can fail into one of our errors.

Used by the engines (towards Ollama, vLLM, llama.cpp, ...) and by the gateway's chat nodes (towards the LLM
microservice).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson

from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.http.response import Sink
from servicekit.http.upstream_errors import error_from_answer
from servicekit.openai.answers import decode_object, read_completion
from servicekit.openai.chat import ChatObject
from servicekit.openai.chunks import ChunkReader, ParsedChunks
from servicekit.openai.plain_form import PlainChunks
from servicekit.sse import ServerSentEvent, SseDecoder

#: Turns an answer with an error status, and its body, into our error.
Explain = Callable[[UpstreamResponse, bytes], Awaitable[ServiceError]]


class ChatUpstream:
    """One OpenAI-compatible `/chat/completions` URL.

    Args:
        http: The process's connection pool.
        target: The URL, and what users call it.
        model: Written into answers as `model`; None keeps the upstream's.
        explain: How error answers are read, where there is more to say than their own words.
    """

    def __init__(
        self, http: HttpClient, target: Target, model: str | None = None, explain: Explain | None = None
    ) -> None:
        self._http = http
        self._target = target
        self._model = model
        self._explain = explain or self._own_words

    async def complete(self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts) -> ChatObject:
        """Ask for a `chat.completion`.

        Args:
            payload: The request's body, without `stream`.
            headers: Of the request.
            timeouts: Bounds of the waits.

        Raises:
            ServiceError: Any failure, naming the target; an answer that says nothing is one.
        """
        response, body = await self._http.fetch(
            "POST", self._target, body=orjson.dumps(payload), headers=_json(headers), timeouts=timeouts
        )
        if response.status != 200:
            raise await self._explain(response, body)
        return read_completion(body, self._target, self._model)

    def stream(self, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts) -> ChatStream:
        """Return the streamed answer; the request goes out when it is read. Arguments as in `complete`."""
        options = {**(payload.get("stream_options") or {}), "include_usage": True}
        body = orjson.dumps({**payload, "stream": True, "stream_options": options})
        block = self._http.open("POST", self._target, body=body, headers=_json(headers), timeouts=timeouts)
        return ChatStream(block, ChunkReader(self._target, self._model), self._check_stream)

    async def _check_stream(self, response: UpstreamResponse) -> None:
        """Raise unless the answer is an event stream."""
        if response.status != 200:
            raise await self._explain(response, await response.read())
        if response.headers.get("content-type", "").startswith("application/json"):
            decode_object(await response.read(), self._target)  # an error object says more than we can
            raise UpstreamBadResponseError(f"{self._target} answered JSON where a stream was asked for.")

    async def _own_words(self, response: UpstreamResponse, body: bytes) -> ServiceError:
        return error_from_answer(self._target, response.status, response.headers, body)


class ChatStream:
    """One streamed answer.

    Args:
        block: The call.
        reader: Checks its chunks.
        check: Raises unless the answer is an event stream.
    """

    def __init__(
        self,
        block: AbstractAsyncContextManager[UpstreamResponse],
        reader: ChunkReader,
        check: Callable[[UpstreamResponse], Awaitable[None]],
    ) -> None:
        self._block = block
        self._reader = reader
        self._check = check
        self._decoder = SseDecoder()
        self._relay: tuple[Sink, Callable[[str], None]] | None = None

    @property
    def attached(self) -> dict[str, Any]:
        """What chunks without choices carried besides OpenAI's fields, such as a pipeline's grade."""
        return self._reader.attached

    def relay_to(self, sink: Sink, taken: Callable[[str], None]) -> None:
        """Offer to a sink what adds text and nothing else, as it arrives; all else is still in `batches`.

        Args:
            sink: Takes encoded events; False leaves them to whoever reads the batches.
            taken: Is told the text of what the sink took.
        """
        self._relay = (sink, taken)

    async def batches(self) -> AsyncGenerator[ParsedChunks | PlainChunks]:
        """Yield the chunks of each read; the last one carries `usage` with empty `choices`.

        Closing the generator cancels the upstream's work.

        Raises:
            ServiceError: Any failure before or within the stream; a stream that just stops, or says nothing, is one.
        """
        decoder, reader = self._decoder, self._reader
        is_relayed = False
        try:
            async with self._block as response:
                await self._check(response)
                while not reader.done and (data := await response.next_part()):
                    if (text := self._plain_text(data)) is None:
                        for chunks in _checked(decoder.feed(data), reader):
                            yield chunks
                        continue
                    yield PlainChunks(data, text)
                    if self._relay is not None and not is_relayed:
                        is_relayed = True
                        response.relay_to(self._relayed(*self._relay))
                if rest := reader.end(was_cut=decoder.has_partial_event and not reader.done):
                    yield ParsedChunks(rest)
                await response.drain()
        finally:
            self._relay = None  # it holds whoever holds this stream

    def _plain_text(self, data: bytes) -> str | None:
        """Return the text of a read that adds text and nothing else; None of any other."""
        form = self._reader.plain_form
        return form.text_of_read(data) if form is not None and self._decoder.is_between_events else None

    def _relayed(self, sink: Sink, taken: Callable[[str], None]) -> Sink:
        """Return what takes a part of the body if it adds text and nothing else, and the sink takes it."""
        decoder, form = self._decoder, self._reader.plain_form
        assert form is not None  # a plain part was read before  # noqa: S101
        text_of_read = form.text_of_read

        def take(data: bytes) -> bool:
            text = text_of_read(data)
            if text is None or not decoder.is_between_events or not sink(data):
                return False
            taken(text)
            return True

        return take


def _checked(events: list[ServerSentEvent], reader: ChunkReader) -> Iterator[ParsedChunks | PlainChunks]:
    """Yield the chunks of one read's events, plain ones together; what came before a failing event is not lost."""
    chunks: list[ChatObject] = []
    plain: list[bytes] = []
    try:
        for event in events:
            if reader.plain_form is not None and not event.event and reader.plain_form.fits(event.data):
                if chunks:
                    yield ParsedChunks(chunks)
                    chunks = []
                plain.append(event.data)
                continue
            if plain:
                run, plain = plain, []
                yield _plain(run, reader)
            chunks += reader.read(event)
    except ServiceError:
        if chunks:
            yield ParsedChunks(chunks)
        raise
    if plain:
        yield _plain(plain, reader)
    if chunks:
        yield ParsedChunks(chunks)


def _plain(chunks: list[bytes], reader: ChunkReader) -> ParsedChunks | PlainChunks:
    """Return chunks that fit the stream's form; checked one by one if one of them is of another form after all."""
    text = None if reader.plain_form is None else reader.plain_form.text_of(chunks)
    if text is not None:
        return PlainChunks.of_events(chunks, text)
    return ParsedChunks([chunk for data in chunks for chunk in reader.read(ServerSentEvent(data))])


def _json(headers: Mapping[str, str]) -> dict[str, str]:
    return {"content-type": "application/json", **headers}
