"""The grader's routes: `POST /v1/grade` and `GET /v1/models`."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse

from microservices.grader.judging import Judge
from microservices.grader.schemas import GradeRequest
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.exchange import call_context
from servicekit.validation import parse_body

#: For /docs; the body is parsed by hand, so that a bad one gets the same error as everywhere.
_REQUEST_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": GradeRequest.model_json_schema()}}}
}


def grader_routes() -> APIRouter:
    """Build the routes; they find the judge in the application's state."""
    router = APIRouter(tags=["grader"])
    created = int(time.time())

    @router.post("/v1/grade", summary="Judge a candidate against its source", openapi_extra=_REQUEST_BODY)
    async def grade(request: Request) -> ORJSONResponse:
        judge = _judge_of(request)
        wanted = parse_body(await request.body(), GradeRequest)
        work = judge.grade(wanted, call_context(request.scope))
        result = await until_disconnect(request.scope, request.receive, work)
        return ORJSONResponse(result.to_json(judge.model, judge.ignored(wanted)))

    @router.get("/v1/models", summary="The model that judges here")
    async def models(request: Request) -> dict[str, Any]:
        judge = _judge_of(request)
        model = {"id": judge.model, "object": "model", "created": created, "owned_by": judge.owner}
        return {"object": "list", "data": [model]}

    return router


def _judge_of(request: Request) -> Judge:
    judge: Judge = request.app.state.judge
    return judge
