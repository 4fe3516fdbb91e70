"""The endpoints that the pipelines declare."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from megaservice.gateway import Gateway
from servicekit.asgi.docs import body_docs
from servicekit.openai.chat import ChatRequest


def pipeline_router(gateways: Sequence[Gateway]) -> APIRouter:
    """Build the routes: each endpoint of each pipeline runs that pipeline."""
    router = APIRouter(tags=["pipelines"])
    # The body is checked by the gateway itself, so FastAPI is only told how to show it.
    body = body_docs(ChatRequest)
    for gateway in gateways:
        for path in gateway.pipeline.spec.endpoints:
            router.add_api_route(
                path,
                gateway.handle_request,
                methods=["POST"],
                summary=gateway.pipeline.spec.description or gateway.pipeline.spec.name,
                response_model=None,
                openapi_extra=body,
            )
    return router
