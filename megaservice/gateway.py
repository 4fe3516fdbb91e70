"""The gateway: HTTP requests in, runs of a pipeline, HTTP answers out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from fastapi import Request
from fastapi.responses import ORJSONResponse, Response, StreamingResponse

from megaservice.orchestration.errors import ScheduleError
from megaservice.orchestration.orchestrator import ServiceOrchestrator
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import Dependency
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.event_stream import EventSource, open_event_stream
from servicekit.asgi.exchange import call_context
from servicekit.context import CallContext
from servicekit.http.client import HttpClient
from servicekit.openai.chat import ChatRequest

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
        #: How many requests it answers at this moment.
        self.running = 0
        self._request_timeout_seconds = request_timeout_seconds
        self._passed_headers = sorted({name for node in pipeline.spec.nodes.values() for name in node.headers})

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline.spec.name

    @contextmanager
    def in_work(self) -> Iterator[None]:
        """Count a request for as long as its answer takes; a gateway that was replaced drains meanwhile."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def answer(self, request: Request, chat: ChatRequest) -> Response:
        """Answer one chat request, as JSON or as a stream of OpenAI chunks.

        Args:
            request: Its body must have been read.
            chat: The body, checked.

        Raises:
            ServiceError: Nothing was sent yet; the status says why.
            ClientGoneError: The client left; every branch of the run was cancelled.
        """
        context = self._context(request)
        answer = await until_disconnect(request.scope, request.receive, self._run(self._inputs(chat), context))
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

    async def _run(self, inputs: dict[str, Any], context: CallContext) -> dict[str, Any] | StreamingResponse:
        try:
            result_dict, _graph = await self.megaservice.schedule(inputs, context=context)
        except ScheduleError as exc:
            raise exc.error from exc
        return self.megaservice.answer(result_dict)

    def _context(self, request: Request) -> CallContext:
        """Return the request's context with a deadline, and with those of its headers that a node asks for."""
        context = call_context(request.scope)
        latest = time.monotonic() + self._request_timeout_seconds
        deadline = min(context.deadline or latest, latest)
        if not self._passed_headers:
            return CallContext(context.request_id, deadline)
        headers = {name: request.headers[name] for name in self._passed_headers if name in request.headers}
        return CallContext(context.request_id, deadline, headers)

    def _inputs(self, chat: ChatRequest) -> dict[str, Any]:
        """Return the body with `messages` as a list and without nulls, which mean "not set".

        A `model` that is this pipeline's name has done its work: it names no model of a node.
        """
        given = chat.model_dump(exclude_unset=True, exclude_none=True)
        if chat.model == self.name:
            del given["model"]
        return {**given, "messages": chat.message_list()}
