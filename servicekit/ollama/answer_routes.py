"""`POST /api/generate`, `/api/chat` and `/api/embed`: answered by the engines, for Ollama's clients."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse, Response

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.docs import body_docs
from servicekit.asgi.exchange import call_context
from servicekit.engines.base import Engine
from servicekit.engines.registry import EngineRegistry
from servicekit.ollama.answers import AnswerWriter, as_chat_chunks, as_completion, embedded, with_calls
from servicekit.ollama.names import engine_named
from servicekit.ollama.ndjson import Lines, in_ollamas_way, line_stream
from servicekit.ollama.requests import ChatRequest, EmbedRequest, GenerateRequest
from servicekit.ollama.vectors import shortened
from servicekit.openai.chat import ChatObject
from servicekit.openai.chat import ChatRequest as OpenAIRequest
from servicekit.validation import check_object, parse_body


def answer_routes(registry: EngineRegistry) -> APIRouter:
    """Build the routes that ask a model."""
    router = APIRouter(tags=["ollama"])

    @router.post("/api/generate", summary="Answer a prompt (Ollama)", openapi_extra=body_docs(GenerateRequest))
    async def generate(request: Request) -> Response:
        async def answer() -> Response:
            wanted = parse_body(await request.body(), GenerateRequest)
            if wanted.is_continued:
                return await _continue(request, engine_named(registry, wanted.model), wanted)
            payload = {"messages": wanted.messages(), **wanted.parameters()}
            return await _answer(request, engine_named(registry, wanted.model), payload, wanted.stream, is_chat=False)

        return await in_ollamas_way(answer)

    @router.post("/api/chat", summary="Answer a conversation (Ollama)", openapi_extra=body_docs(ChatRequest))
    async def chat(request: Request) -> Response:
        async def answer() -> Response:
            wanted = parse_body(await request.body(), ChatRequest)
            payload = {"messages": wanted.openai_messages(), **wanted.parameters()}
            return await _answer(request, engine_named(registry, wanted.model), payload, wanted.stream, is_chat=True)

        return await in_ollamas_way(answer)

    _add_embedding_routes(router, registry)
    return router


def _add_embedding_routes(router: APIRouter, registry: EngineRegistry) -> None:
    @router.post("/api/embed", summary="Turn texts into vectors (Ollama)", openapi_extra=body_docs(EmbedRequest))
    async def embed(request: Request) -> Response:
        return await in_ollamas_way(lambda: _embed(request, registry, lambda vectors: vectors))

    @router.post("/api/embeddings", summary="The older form of /api/embed", openapi_extra=body_docs(EmbedRequest))
    async def embeddings(request: Request) -> Response:
        return await in_ollamas_way(
            lambda: _embed(request, registry, lambda vectors: {"embedding": vectors["embeddings"][0]})
        )


async def _embed(
    request: Request, registry: EngineRegistry, write: Callable[[dict[str, Any]], dict[str, Any]]
) -> Response:
    wanted = parse_body(await request.body(), EmbedRequest)
    started_ns = time.monotonic_ns()
    work = engine_named(registry, wanted.model).embed(wanted.payload(), call_context(request.scope))
    answer = await until_disconnect(request.scope, request.receive, work)
    return ORJSONResponse(write(shortened(embedded(answer, started_ns), wanted.dimensions)))


async def _answer(
    request: Request, engine: Engine, payload: dict[str, Any], is_stream: bool, *, is_chat: bool
) -> Response:
    writer = AnswerWriter(is_chat)
    if not payload["messages"]:  # Ollama's way to load a model
        return ORJSONResponse(writer.loaded(engine.model))
    check_object(payload, OpenAIRequest)
    context = call_context(request.scope)
    if is_stream:
        return await line_stream(request, _written(engine.chat_stream(payload, context), writer))
    answer = await until_disconnect(request.scope, request.receive, engine.chat(payload, context))
    return ORJSONResponse(with_calls(writer.whole(answer)))


async def _continue(request: Request, engine: Engine, wanted: GenerateRequest) -> Response:
    """Answer `raw` prompts and those with a `suffix`."""
    payload, context, writer = wanted.completion_payload(), call_context(request.scope), AnswerWriter(is_chat=False)
    if wanted.stream:
        counted = {**payload, "stream_options": {"include_usage": True}}
        chunks = as_chat_chunks(engine.complete_stream(counted, context))
        return await line_stream(request, _written(chunks, writer))
    answer = await until_disconnect(request.scope, request.receive, engine.complete(payload, context))
    return ORJSONResponse(writer.whole(as_completion(answer)))


async def _written(source: AsyncGenerator[ChatObject], writer: AnswerWriter) -> Lines:
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            line = writer.piece(chunk)
            if line is not None:
                yield line
    yield with_calls(writer.last())
