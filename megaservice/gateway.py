"""The gateway: HTTP requests in, runs of a pipeline, HTTP answers out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from megaservice.interactions import Interaction, interaction_of
from megaservice.nodes.readiness import Need
from megaservice.orchestration.answer_stream import AnswerStream
from megaservice.orchestration.orchestrator import ServiceOrchestrator
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import Dependency
from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.exchange import call_context, exchange_of
from servicekit.asgi.json_answer import answer_json
from servicekit.context import CallContext
from servicekit.http.client import HttpClient
from servicekit.openai.answers import own_fields

#: Says beside the answer what the model said about itself, such as `out_of_domain`.
NOTICE_HEADER = "x-model-notice"


class Gateway:
    """Exposes one megaservice, the pipeline behind its orchestrator.

    Args:
        pipeline: Checked.
        http: The process's connection pool.
        request_timeout_seconds: The deadline of requests that bring none.
        record: Is told of each request that is over; must not block.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        http: HttpClient,
        request_timeout_seconds: float,
        record: Callable[[Interaction], None] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.megaservice = ServiceOrchestrator.for_pipeline(pipeline, http)
        #: How many requests it answers at this moment; one that was replaced drains meanwhile.
        self.running = 0
        self._request_timeout_seconds = request_timeout_seconds
        self._record = record
        self._passed_headers = sorted({name for node in pipeline.spec.nodes.values() for name in node.headers})

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline.spec.name

    async def answer(self, scope: Scope, receive: Receive, send: Send, body: dict[str, Any]) -> None:
        """Answer one chat request, as JSON or as a stream of OpenAI chunks.

        Args:
            scope: The request's.
            receive: The request's; its body must have been read.
            send: The request's.
            body: The request's, checked against `ChatRequest`.

        Raises:
            ServiceError: Nothing was sent yet; the status says why.
            ClientGoneError: The client left; every branch of the run was cancelled.
        """
        context, inputs = self._context(scope), self._inputs(body)
        answer: dict[str, Any] | AnswerStream | None = None
        failure: BaseException | None = None
        try:
            answer = await until_disconnect(scope, receive, self.megaservice.answer(inputs, context))
            if isinstance(answer, AnswerStream):
                response = await open_event_stream(scope, receive, answer, answer.headers, context.deadline)
                await response(scope, receive, send)
                failure = answer.failure
                return
            await answer_json(scope, send, answer, _notice_header(answer))
        except BaseException as exc:
            failure = exc
            raise
        finally:
            if self._record is not None:
                told = answer.run if isinstance(answer, AnswerStream) else answer
                self._record(interaction_of(self.pipeline, exchange_of(scope), inputs, told, failure))
            failure = None  # a traceback and its frame would hold each other

    def needs(self) -> Iterator[Need]:
        """Yield the addresses of each hard node that has any."""
        for name, client in self.megaservice.clients.items():
            if client.spec.dependency is Dependency.HARD and client.spec.endpoints:
                yield Need(name, client.spec.endpoints)

    def _context(self, scope: Scope) -> CallContext:
        """Return the request's context with a deadline, and with those of its headers that a node asks for."""
        context = call_context(scope)
        latest = time.monotonic() + self._request_timeout_seconds
        deadline = min(context.deadline or latest, latest)
        if not self._passed_headers:
            return CallContext(context.request_id, deadline)
        sent = Headers(scope=scope)
        headers = {name: sent[name] for name in self._passed_headers if name in sent}
        return CallContext(context.request_id, deadline, headers)

    def _inputs(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body with `messages` as a list and without nulls, which mean "not set".

        A `model` that is this pipeline's name has done its work: it names no model of a node.
        """
        inputs = {name: value for name, value in body.items() if value is not None}
        if inputs.get("model") == self.name:
            del inputs["model"]
        if isinstance(inputs["messages"], str):
            inputs["messages"] = [{"role": "user", "content": inputs["messages"]}]
        return inputs


def _notice_header(answer: dict[str, Any]) -> dict[str, str] | None:
    """Return the header of an answer's notice; nobody has checked yet what a service said that is no chat."""
    notice = own_fields(answer).get("notice") if "notice" in answer else None
    return {NOTICE_HEADER: notice["code"]} if notice else None
