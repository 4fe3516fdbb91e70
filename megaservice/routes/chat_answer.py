"""A pipeline's answer, rewritten while it is sent: from OpenAI's chat completion to the chat service's own words.

JSON: `{"text", "provider", "model", "finish_reason", "usage", "latency_ms"}`, and what a pipeline attaches.
Stream: `data: {"delta": "..."}` for each piece of text, then one event with the same fields as in JSON, then `[DONE]`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Send

from servicekit.asgi.json_answer import send_json
from servicekit.errors import ModelNotFoundError
from servicekit.models import ModelCatalog
from servicekit.openai.assembler import ChatAssembler
from servicekit.sse import DONE, DONE_EVENT, SseDecoder, encode_event

#: The fields of OpenAI's answers and chunks; what a pipeline attaches comes besides.
_OPENAI_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
#: Of an answer's head: what is sent in its place is another text of another length.
_FRAMING = frozenset({"content-type", "content-length"})


class ChatAnswer:
    """Says of one answer what the chat service tells.

    Args:
        catalog: Knows whose model it is.
        asked: The name that the request asked for; None for the default.
        started: When the request came, monotonic clock.
    """

    def __init__(self, catalog: ModelCatalog, asked: str | None, started: float) -> None:
        self._catalog = catalog
        self._asked = asked
        self._started = started

    def told(self, completion: dict[str, Any]) -> dict[str, Any]:
        """Return the fields for a whole `chat.completion`."""
        choice = completion["choices"][0] if completion.get("choices") else {}
        model = completion.get("model", "")
        return {
            "text": choice.get("message", {}).get("content") or "",
            "provider": provider_of(self._catalog, self._asked, model),
            "model": model,
            "finish_reason": choice.get("finish_reason"),
            "usage": completion.get("usage"),
            "latency_ms": round((time.monotonic() - self._started) * 1000, 1),
            **{name: value for name, value in completion.items() if name not in _OPENAI_FIELDS},
        }


class JsonAnswer:
    """The `send` of a JSON answer: holds the pipeline's until it is whole, then sends ours."""

    def __init__(self, answer: ChatAnswer, send: Send) -> None:
        self._answer = answer
        self._send = send
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Take an event of the pipeline's answer."""
        if message["type"] == "http.response.start":
            sent = Headers(raw=message["headers"])
            self._headers = {name: value for name, value in sent.items() if name not in _FRAMING}
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await send_json(self._send, self._answer.told(orjson.loads(self._body)), self._headers)


class StreamedAnswer:
    """The `send` of a streamed answer: each event of the pipeline's becomes one of ours, or none."""

    def __init__(self, answer: ChatAnswer, send: Send) -> None:
        self._answer = answer
        self._send = send
        self._decoder = SseDecoder()
        self._assembler = ChatAssembler()
        self._attached: dict[str, Any] = {}

    async def __call__(self, message: Message) -> None:
        """Take an event of the pipeline's answer."""
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = b"".join(self._rewritten(event.data) for event in self._decoder.feed(message.get("body", b"")))
        if body or not message.get("more_body", False):
            await self._send({**message, "body": body})

    def _rewritten(self, data: bytes) -> bytes:
        if data == DONE:
            told = self._answer.told({**self._assembler.completion(), **self._attached})
            return encode_event(orjson.dumps(told)) + DONE_EVENT
        chunk = orjson.loads(data)
        if "error" in chunk and "choices" not in chunk:
            return encode_event(data)
        self._attached.update({name: value for name, value in chunk.items() if name not in _OPENAI_FIELDS})
        text = self._assembler.add(chunk)
        return encode_event(orjson.dumps({"delta": text})) if text else b""


def provider_of(catalog: ModelCatalog, asked: str | None, answered: str) -> str | None:
    """Return who runs the model that answered; None if models.json does not say.

    Args:
        catalog: Of models.json.
        asked: The name that the request asked for; two aliases may have one model at two providers.
        answered: The answer's `model`.
    """
    with suppress(ModelNotFoundError):
        for deployment in catalog.alias(asked).deployments:
            if deployment.served_name(catalog.folder) == answered:
                return deployment.provider
    providers = {entry.provider for entry in catalog.entries() if entry.served_name(catalog.folder) == answered}
    return providers.pop() if len(providers) == 1 else None
