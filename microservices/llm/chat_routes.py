"""`POST /v1/chat/completions`, JSON and SSE, in OpenAI's exact form."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import ORJSONResponse, Response

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.docs import body_docs
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.exchange import call_context
from servicekit.engines.base import Engine
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import UpstreamBadResponseError
from servicekit.openai.chat import ChatObject, ChatRequest
from servicekit.sse import DONE_EVENT, encode_event
from servicekit.validation import parse_body

#: Carries the code of an answer's notice, for clients that do not look into the body.
NOTICE_HEADER = "x-model-notice"


def add_chat_routes(app: FastAPI, registry: EngineRegistry) -> None:
    """Add the chat route, which answers with the registry's engines."""

    @app.post(
        "/v1/chat/completions",
        tags=["chat"],
        summary="Answer a conversation (OpenAI)",
        openapi_extra=body_docs(ChatRequest),
    )
    async def chat_completions(request: Request) -> Response:
        chat_request = parse_body(await request.body(), ChatRequest)
        engine = registry.engine_for(chat_request.model)
        if chat_request.stream:
            return await _stream(request, engine, chat_request)
        return await _complete(request, engine, chat_request)


async def _complete(request: Request, engine: Engine, chat_request: ChatRequest) -> Response:
    work = engine.chat(_payload(chat_request), call_context(request.scope))
    answer = await until_disconnect(request.scope, request.receive, work)
    return ORJSONResponse(answer, headers=_notice_headers(answer))


async def _stream(request: Request, engine: Engine, chat_request: ChatRequest) -> Response:
    chunks = engine.chat_stream(_payload(chat_request), call_context(request.scope))
    try:
        first = await until_disconnect(request.scope, request.receive, _first(chunks))
    except BaseException:
        await chunks.aclose()
        raise
    events = _encode(first, chunks, with_usage=chat_request.wants_stream_usage)
    return await open_event_stream(request.scope, request.receive, events, _notice_headers(first))


async def _first(chunks: AsyncGenerator[ChatObject]) -> ChatObject:
    """Wait for the first chunk: it decides about the headers."""
    async for chunk in chunks:
        return chunk
    raise UpstreamBadResponseError("The engine's stream ended before its first chunk.")


async def _encode(first: ChatObject, chunks: AsyncGenerator[ChatObject], *, with_usage: bool) -> AsyncGenerator[bytes]:
    """Write chunks as events, `[DONE]` last; the usage only where it was asked for, as OpenAI does."""
    async with aclosing(chunks):
        yield _event(first, with_usage)
        async for chunk in chunks:
            if chunk["choices"] or with_usage:
                yield _event(chunk, with_usage)
    yield DONE_EVENT


def _event(chunk: ChatObject, with_usage: bool) -> bytes:
    if with_usage:
        chunk.setdefault("usage", None)
    return encode_event(orjson.dumps(chunk))


def _payload(chat_request: ChatRequest) -> dict[str, Any]:
    return {"messages": chat_request.message_list(), **chat_request.sampling()}


def _notice_headers(answer: ChatObject) -> dict[str, str]:
    notice = answer.get("notice")
    return {NOTICE_HEADER: notice["code"]} if notice else {}
