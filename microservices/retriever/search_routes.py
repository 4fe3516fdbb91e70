"""`POST /v1/retrieval` and `POST /v1/reranking`, as OPEA's retriever and reranker have them."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import ORJSONResponse

from microservices.retriever.reranking import Reranker
from microservices.retriever.schemas import RerankingRequest, RetrievalRequest
from microservices.retriever.searching import Searcher
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.docs import body_docs
from servicekit.asgi.exchange import call_context
from servicekit.validation import parse_body


def add_search_routes(app: FastAPI) -> None:
    """Add both routes; they find searcher and reranker in the application's state."""

    @app.post(
        "/v1/retrieval",
        tags=["retriever"],
        summary="The passages that answer a question",
        openapi_extra=body_docs(RetrievalRequest),
    )
    async def retrieval(request: Request) -> ORJSONResponse:
        wanted = parse_body(await request.body(), RetrievalRequest)
        searcher: Searcher = request.app.state.searcher
        work = searcher.search(wanted, call_context(request.scope))
        found = await until_disconnect(request.scope, request.receive, work)
        return ORJSONResponse(found.to_json(wanted))

    @app.post(
        "/v1/reranking",
        tags=["retriever"],
        summary="The best of some passages, the best first",
        openapi_extra=body_docs(RerankingRequest),
    )
    async def reranking(request: Request) -> ORJSONResponse:
        wanted = parse_body(await request.body(), RerankingRequest)
        reranker: Reranker = request.app.state.reranker
        work = reranker.rerank(wanted)
        return ORJSONResponse(await until_disconnect(request.scope, request.receive, work))
