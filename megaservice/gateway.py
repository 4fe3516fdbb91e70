"""The gateway: HTTP requests in, runs of a pipeline, HTTP answers out."""

from __future__ import annotations

import time
from typing import Any, cast

from fastapi import Request
from fastapi.responses import ORJSONResponse, Response, StreamingResponse

from megaservice.orchestration.errors import ScheduleError
from megaservice.orchestration.orchestrator import ServiceOrchestrator
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import Dependency
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.event_stream import EventSource, open_event_stream
from servicekit.asgi.request_id import call_context
from servicekit.context import CallContext
from servicekit.http.client import HttpClient
from servicekit.openai.chat import ChatRequest
from servicekit.validation import parse_body

#: Says beside the answer what the model said about itself, such as `out_of_domain`.
NOTICE_HEADER = "x-model-notice"


class Gateway:
    """Exposes one megaservice, the pipeline behind its orchestrator.

    Args:
        pipeline: Checked.
        http: The process's connection pool.
        request_timeout_seconds: The deadline of requests that bring none.
    """

    def __init__(self, pipeline: Pipeline, http: HttpClient, request_timeout_seconds: float) -> None:
        self.pipeline = pipeline
        self.megaservice = ServiceOrchestrator.for_pipeline(pipeline, http)
        self._request_timeout_seconds = request_timeout_seconds

    async def handle_request(self, request: Request) -> Response:
        """Answer one chat request, as JSON or as a stream of OpenAI chunks.

        Raises:
            ServiceError: Nothing was sent yet; the status says why.
            ClientGoneError: The client left; every branch of the run was cancelled.
        """
        inputs = _inputs(parse_body(await request.body(), ChatRequest))
        context = self._with_deadline(call_context(request.scope))
        answer = await until_disconnect(request.receive, self._answer(inputs, context))
        if isinstance(answer, StreamingResponse):
            headers = {NOTICE_HEADER: answer.headers[NOTICE_HEADER]} if NOTICE_HEADER in answer.headers else None
            events = cast("EventSource", answer.body_iterator)
            return await open_event_stream(request, events, headers, context.deadline)
        notice = answer.get("notice")
        return ORJSONResponse(answer, headers={NOTICE_HEADER: notice["code"]} if notice else None)

    async def problems(self) -> list[str]:
        """Return one sentence for each hard node that cannot answer now."""
        hard = [client for client in self.megaservice.clients.values() if client.spec.dependency is Dependency.HARD]
        return [problem for client in hard if (problem := await client.problem()) is not None]

    async def _answer(self, inputs: dict[str, Any], context: CallContext) -> dict[str, Any] | StreamingResponse:
        try:
            result_dict, _graph = await self.megaservice.schedule(inputs, context=context)
        except ScheduleError as exc:
            raise exc.error from exc
        return self.megaservice.answer(result_dict)

    def _with_deadline(self, context: CallContext) -> CallContext:
        latest = time.monotonic() + self._request_timeout_seconds
        return CallContext(context.request_id, min(context.deadline or latest, latest))


def _inputs(chat: ChatRequest) -> dict[str, Any]:
    """Return the body with `messages` as a list and without nulls, which mean "not set"."""
    return {**chat.model_dump(exclude_unset=True, exclude_none=True), "messages": chat.message_list()}
