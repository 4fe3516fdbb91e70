"""`POST /v1/completions` and `POST /v1/embeddings`, in OpenAI's form, for the engines that have them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import ORJSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.docs import body_docs
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.exchange import call_context
from servicekit.engines.registry import EngineRegistry
from servicekit.openai.chat import ChatObject
from servicekit.openai.dimensions import check_dimensions
from servicekit.sse import DONE_EVENT, encode_event
from servicekit.validation import parse_body

_Text = Annotated[str, Field(min_length=1)]
_Tokens = Annotated[list[int], Field(min_length=1)]
#: One text or its tokens, or several of either.
_Texts = _Text | Annotated[list[_Text], Field(min_length=1)] | _Tokens | Annotated[list[_Tokens], Field(min_length=1)]


class CompletionRequest(BaseModel):
    """A request to continue a text."""

    model_config = ConfigDict(extra="allow", strict=True)

    prompt: _Texts
    model: str | None = None
    stream: bool = False
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=16)
    logprobs: int | None = Field(None, ge=0, le=5)
    seed: int | None = None
    stop: str | list[str] | None = None


class EmbeddingRequest(BaseModel):
    """A request to turn texts into vectors."""

    model_config = ConfigDict(extra="allow", strict=True)

    input: _Texts
    model: str | None = None
    encoding_format: str | None = Field(None, pattern="^(float|base64)$")
    dimensions: int | None = Field(None, ge=1)


def add_text_routes(app: FastAPI, registry: EngineRegistry) -> None:
    """Add both routes, which answer with the registry's engines."""

    @app.post(
        "/v1/completions", tags=["text"], summary="Continue a text (OpenAI)", openapi_extra=body_docs(CompletionRequest)
    )
    async def completions(request: Request) -> Response:
        wanted = parse_body(await request.body(), CompletionRequest)
        engine, context = registry.engine_for(wanted.model), call_context(request.scope)
        if wanted.stream:
            events = _encoded(engine.complete_stream(_payload(wanted), context))
            return await open_event_stream(request.scope, request.receive, events)
        work = engine.complete(_payload(wanted), context)
        return ORJSONResponse(await until_disconnect(request.scope, request.receive, work))

    @app.post(
        "/v1/embeddings",
        tags=["text"],
        summary="Turn texts into vectors (OpenAI)",
        openapi_extra=body_docs(EmbeddingRequest),
    )
    async def embeddings(request: Request) -> Response:
        wanted = parse_body(await request.body(), EmbeddingRequest)
        work = registry.engine_for(wanted.model).embed(_payload(wanted), call_context(request.scope))
        answer = await until_disconnect(request.scope, request.receive, work)
        check_dimensions(answer, wanted.dimensions)
        return ORJSONResponse(answer)


def _payload(wanted: CompletionRequest | EmbeddingRequest) -> dict[str, Any]:
    return wanted.model_dump(exclude_unset=True, exclude_none=True, exclude={"model", "stream"})


async def _encoded(chunks: AsyncGenerator[ChatObject]) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield encode_event(orjson.dumps(chunk))
    yield DONE_EVENT
