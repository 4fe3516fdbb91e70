"""The ServiceOrchestrator: comps' class, with pipelines whose streams and failures are right.

Stock's contract stays: `add` chains, `flow_to` returns a bool, `schedule` returns `(result_dict, runtime_graph)` with
keys such as `llm/MicroService`, and a streamed result is a `StreamingResponse` whose `body_iterator` is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from comps import ServiceOrchestrator as StockOrchestrator
from comps.cores.mega.dag import DAG as RuntimeGraph
from comps.cores.proto.docarray import LLMParams
from fastapi.responses import StreamingResponse

from megaservice.nodes.base import NodeClient, StreamPart
from megaservice.nodes.factory import make_clients
from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.definitions import NodeService
from megaservice.orchestration.errors import ScheduleError
from megaservice.orchestration.observer import MetricsObserver
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.pipeline import Pipeline
from servicekit.asgi.event_stream import error_event
from servicekit.context import CallContext
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient
from servicekit.ids import new_id


class ServiceOrchestrator(StockOrchestrator):  # type: ignore[misc]  # comps has no types
    """Manages the microservices of a DAG; see `for_pipeline` for the DAGs that come from a file.

    Services that are added by hand, without a pipeline, run as in stock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pipeline: Pipeline | None = None
        self._clients: dict[str, NodeClient] = {}

    @classmethod
    def for_pipeline(cls, pipeline: Pipeline, http: HttpClient) -> ServiceOrchestrator:
        """Register a definition for each node of a pipeline, and its edges.

        Args:
            pipeline: Checked.
            http: The process's connection pool; must be open when requests come.
        """
        orchestrator = cls()
        services = {name: NodeService(name, pipeline.spec.nodes[name]) for name in pipeline.dag.nodes}
        for service in services.values():
            orchestrator.add(service)
        clients = make_clients(pipeline.spec.nodes, http)
        orchestrator._clients = {name: clients[name] for name in pipeline.dag.nodes}
        for source, target in pipeline.dag.edges:
            orchestrator.flow_to(services[source], services[target])
        orchestrator._pipeline = pipeline
        return orchestrator

    @property
    def clients(self) -> Mapping[str, NodeClient]:
        """The client of each node."""
        return self._clients

    async def schedule(
        self,
        initial_inputs: Mapping[str, Any],
        llm_parameters: LLMParams | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], RuntimeGraph]:
        """Run one request through the DAG.

        Args:
            initial_inputs: The caller's body. `stream: true` asks for a streamed answer.
            llm_parameters: Only those that were set explicitly count; they beat the inputs.
            kwargs: `context`, a `CallContext`; the others are stock's.

        Returns:
            The outputs by service name, and the graph that ran. Streamed: the answer node's output is a
            `StreamingResponse`; the attached outputs travel in its last chunk.

        Raises:
            ScheduleError: The run failed before its answer began.
        """
        if self._pipeline is None:
            parameters = LLMParams() if llm_parameters is None else llm_parameters
            result: tuple[dict[str, Any], RuntimeGraph] = await super().schedule(initial_inputs, parameters, **kwargs)
            return result
        inputs = _with_explicit_parameters(initial_inputs, llm_parameters)
        context = kwargs.get("context") or CallContext(new_id("req_"))
        run = PipelineRun(self._pipeline, self._clients, inputs, context, MetricsObserver(self.metrics))
        try:
            if inputs.get("stream"):
                return await self._streamed(run, self._pipeline), self._runtime_graph()
            outputs = await run.finish()
        except ServiceError as exc:
            raise ScheduleError(exc) from exc
        return {self._key(node): output for node, output in outputs.items()}, self._runtime_graph()

    def answer(self, result_dict: Mapping[str, Any]) -> dict[str, Any] | StreamingResponse:
        """Return what the client sees of a result: the composed JSON answer, or the stream.

        Args:
            result_dict: From `schedule`, on an orchestrator made by `for_pipeline`.
        """
        assert self._pipeline is not None  # made by for_pipeline  # noqa: S101
        answer = result_dict[self._key(self._pipeline.answer_node)]
        if isinstance(answer, StreamingResponse):
            return answer
        outputs = {node: result_dict[key] for node in self._clients if (key := self._key(node)) in result_dict}
        return compose_answer(self._pipeline, outputs)

    async def _streamed(self, run: PipelineRun, pipeline: Pipeline) -> dict[str, Any]:
        stream, first = await run.start_stream()
        response = StreamingResponse(
            AnswerStream(run, first), media_type="text/event-stream", headers=dict(stream.headers()) if stream else None
        )
        return {self._key(pipeline.answer_node): response}

    def _key(self, node: str) -> str:
        return f"{node}/MicroService"

    def _runtime_graph(self) -> RuntimeGraph:
        graph = RuntimeGraph()
        graph.graph.update({node: set(targets) for node, targets in self.graph.items()})
        return graph


class AnswerStream:
    """The `body_iterator` of a streamed answer: encoded events; a failure becomes one error event, without `[DONE]`.

    Closing it cancels the run, also when it was never read: a generator that has not started could not.
    """

    def __init__(self, run: PipelineRun, first: StreamPart) -> None:
        self._run = run
        self._events = _with_error_event(run.events(first))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next event(s), encoded."""
        return await anext(self._events)

    async def aclose(self) -> None:
        """Cancel what still runs."""
        await self._events.aclose()
        await self._run.close()


async def _with_error_event(events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(events):
            async for encoded in events:
                yield encoded
    except ServiceError as exc:
        yield error_event(exc)


def _with_explicit_parameters(inputs: Mapping[str, Any], parameters: LLMParams | None) -> Mapping[str, Any]:
    """Explicitly set parameters beat inputs, inputs beat defaults; defaults are not sent at all."""
    if parameters is None:
        return inputs
    return {**inputs, **{name: getattr(parameters, name) for name in parameters.model_fields_set}}
