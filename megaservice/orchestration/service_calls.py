"""Calls to services that are registered by hand: JSON out; JSON, audio or a stream of events back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from megaservice.nodes.base import StreamPart, bounded
from megaservice.orchestration.llm_parameters import text_in
from megaservice.orchestration.text_chunks import ChunkWriter, TextChunks, TokenChunks
from megaservice.orchestration.upstream_events import UpstreamEvents
from megaservice.pipeline.spec import TimeoutSpec
from servicekit.context import CallContext
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, UpstreamResponse
from servicekit.http.upstream_errors import error_from_answer
from servicekit.openai.answers import read_completion
from servicekit.sse import SseDecoder

_EVENT_STREAM = "text/event-stream"
_AUDIO = "audio/wav"
_TIMEOUTS = TimeoutSpec()


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One request to one service.

    Attributes:
        http: The process's connection pool.
        target: The service.
        payload: The body, JSON-like.
        api_key: Sent as `Authorization`, None sends none.
        context: Request id and deadline.
        is_chat: Whether the service speaks OpenAI chat; then its answer is checked as such.
        is_rewritten: Whether an overridden `align_generator` will read the stream.
    """

    http: HttpClient
    target: Target
    payload: Any
    api_key: str | None
    context: CallContext
    is_chat: bool
    is_rewritten: bool = False

    async def fetch(self) -> Any:  # noqa: ANN401 - whatever the service answers
        """Return the whole answer: decoded JSON, or the bytes of audio.

        Raises:
            ServiceError: Any failure, naming the service; a chat answer that says nothing is one.
        """
        async with self.http.open("POST", self.target, **self._options()) as response:
            await self._check(response)
            kind = _content_type(response)
            if kind == _EVENT_STREAM:  # not asked for, but some always stream
                events = UpstreamEvents(self.target)
                async with aclosing(self._events(response, events)) as parts:
                    async for _part in parts:
                        pass
                return events.whole
            body = await response.read()
        return body if kind == _AUDIO else self._decoded(body)

    def stream(self, finish: Callable[[Any], Any]) -> ServiceStream:
        """Return the streamed answer; the request goes out when it is iterated.

        Args:
            finish: Makes the node's output of the whole answer.
        """
        return ServiceStream(self, finish)

    async def parts(self, events: UpstreamEvents) -> AsyncGenerator[StreamPart]:
        """Send the request and yield the events as they come; closing the generator cancels the service's work.

        A service that answers JSON where a stream was asked for has said all at once: its text becomes OPEA's tokens,
        or OpenAI's chunks where it is a completion or a hook reads them, for such hooks look for JSON.
        """
        async with self.http.open("POST", self.target, **self._options()) as response:
            await self._check(response)
            if _content_type(response) == _EVENT_STREAM:
                async with aclosing(self._events(response, events)) as parts:
                    async for part in parts:
                        yield part
                await response.drain()
                return
            document = self._decoded(await response.read())
        for part in self._parts_of(document):
            yield part

    def _parts_of(self, document: Any) -> list[StreamPart]:  # noqa: ANN401 - any JSON
        text = text_in(document)
        if not text:
            raise UpstreamBadResponseError(f"{self.target} answered neither a stream nor a text.")
        as_chunks = self.is_rewritten or "choices" in document
        writer: ChunkWriter = TextChunks({"model": document.get("model")}) if as_chunks else TokenChunks()
        return [*writer.parts(text), *writer.end()]

    async def _events(self, response: UpstreamResponse, events: UpstreamEvents) -> AsyncGenerator[StreamPart]:
        decoder = SseDecoder()
        async with aclosing(response.iter_bytes()) as reads:
            async for data in reads:
                for event in decoder.feed(data):
                    for part in events.read(event):
                        yield part
                if events.done:
                    break
        for part in events.end(was_cut=decoder.has_partial_event and not events.done):
            yield part

    async def _check(self, response: UpstreamResponse) -> None:
        if not 200 <= response.status < 300:
            raise error_from_answer(self.target, response.status, response.headers, await response.read())

    def _decoded(self, body: bytes) -> Any:  # noqa: ANN401 - any JSON
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise UpstreamBadResponseError(f"{self.target} answered broken JSON: {exc.msg}.") from exc
        # OPEA's own LLM service answers a TextDoc at OpenAI's path, too.
        if self.is_chat and not (isinstance(document, dict) and document.get("text")):
            read_completion(body, self.target)  # only its checks: the answer travels on as it came
        return document

    def _options(self) -> dict[str, Any]:
        headers = {"content-type": "application/json", **self.context.headers()}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        body = orjson.dumps(self.payload, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
        return {"body": body, "headers": headers, "timeouts": bounded(_TIMEOUTS, self.context)}


class ServiceStream:
    """The streamed answer of one service.

    Args:
        request: What to ask.
        finish: Makes the node's output of the whole answer.
    """

    def __init__(self, request: ServiceRequest, finish: Callable[[Any], Any]) -> None:
        self._request = request
        self._finish = finish
        self._events = UpstreamEvents(request.target)
        self._texts: list[str] = []

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield one part for each event, as it came."""
        async with aclosing(self._request.parts(self._events)) as parts:
            async for part in parts:
                self._texts.append(part.text)
                yield part

    def headers(self) -> dict[str, str]:
        """Return no headers."""
        return {}

    def whole(self) -> dict[str, Any]:
        """Return the answer as JSON mode would have had it, before any hook."""
        whole = self._events.whole
        return whole if "choices" in whole else {"text": "".join(self._texts)}

    def output(self) -> Any:  # noqa: ANN401 - a hook may make anything of it
        """Return the node's output; after the last part."""
        return self._finish(self.whole())


def _content_type(response: UpstreamResponse) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return what orjson can write in place of a value that it cannot."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")
